"""The Kafka log against a real broker: death, damage, retention, poison, and other people's producers."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kafka import TopicPartition
from kafka.admin import ConfigResource

from contracts.events import EVENT_TYPE
from feedback import dead_letters
from feedback.errors import FeedbackReplaced, FeedbackUnavailable
from feedback.kafka import KafkaReader
from feedback.log import Cursor, Record
from tests.broker import Broker
from tests.feedback.log_contract import bodies, read_all
from tests.feedback.topic import Topic, UnreadableName

pytestmark = pytest.mark.real
WAIT_SECONDS = 40.0


@pytest.fixture
def topic(broker: Broker) -> Topic:
    return Topic(broker)


@pytest.fixture
def reader(topic: Topic) -> Iterator[KafkaReader]:
    reader = topic.reader()
    yield reader
    reader.close()


def test_a_dead_broker_reads_as_no_news_and_comes_back(own_broker: Broker) -> None:
    topic = Topic(own_broker)
    reader, written = topic.reader(), bodies(5)
    cursor: Cursor = {}
    topic.send(written)
    assert len(read_all(reader, cursor, 5)) == 5
    own_broker.kill()
    for _ in range(5):
        assert reader.read(cursor, 10, 0.1) == []
    assert reader.end() == {0: 5}
    reader.commit(cursor)
    own_broker.start()
    more = bodies(5)
    topic.send(more)
    assert [record.body for record in read_all(reader, cursor, 5)] == more
    reader.close()


def test_a_reader_may_start_before_its_broker(own_broker: Broker) -> None:
    topic = Topic(own_broker)
    own_broker.kill()
    reader = KafkaReader(topic.settings, topic.model)
    assert (reader.read({}, 10, 0.1), reader.end(), reader.committed(), reader.identity) == ([], {}, {}, "")
    own_broker.start()
    _await_end(reader)
    topic.send([b"{}"])
    assert [record.body for record in read_all(reader, {}, 1)] == [b"{}"]
    reader.close()


def test_a_damaged_batch_costs_its_own_records_alone(own_broker: Broker) -> None:
    topic = Topic(own_broker, partitions=2)
    reader = topic.reader()
    written = bodies(9)
    for start in (0, 3, 6):
        topic.send(written[start : start + 3], partition=1)
    topic.send(written[:2], partition=0)
    own_broker.stop()
    _damage(own_broker.data / f"{topic.name}-1", written[4])
    own_broker.start()
    cursor: Cursor = {}
    records = read_all(reader, cursor, 11, limit=2)
    assert [(record.offset, record.error, record.body) for record in records if record.partition == 1] == [
        *((offset, None, written[offset]) for offset in range(3)),
        *((offset, "corrupt_record", None) for offset in range(3, 6)),
        *((offset, None, written[offset]) for offset in range(6, 9)),
    ]
    assert [record.body for record in records if record.partition == 0] == written[:2]
    assert cursor == {0: 2, 1: 9}
    started = time.monotonic()
    assert reader.read(cursor, 10, 0.2) == []
    assert time.monotonic() - started < WAIT_SECONDS
    reader.close()


def test_a_header_that_cannot_be_read_does_not_block_the_partition(topic: Topic, reader: KafkaReader) -> None:
    topic.send([b"before"])
    topic.send([b"poison"], headers=[(UnreadableName("x"), b"1")])
    topic.send([b"after"])
    records = read_all(reader, {}, 3)
    assert [(record.error, record.body) for record in records] == [
        (None, b"before"),
        ("corrupt_record", None),
        (None, b"after"),
    ]
    reader.dead_letter(records[1], "corrupt_record", "cannot be read")
    assert len(topic.dead_letters(1)) == 1


def test_a_topic_made_anew_is_noticed_though_it_is_longer(topic: Topic, reader: KafkaReader) -> None:
    topic.send(bodies(5))
    cursor: Cursor = {}
    read_all(reader, cursor, 5)
    before = reader.identity
    topic.recreate()
    topic.send(bodies(20))
    with pytest.raises(FeedbackReplaced):
        read_all(reader, cursor, 1)
    assert cursor == {0: 5}
    with pytest.raises(FeedbackReplaced):
        reader.read(cursor, 10, 0.2)
    other = topic.reader()
    assert other.identity != before
    other.close()


def test_a_missing_topic_is_named_when_it_may_not_be_made(broker: Broker) -> None:
    topic = Topic(broker)
    settings = topic.settings.model_copy(update={"create_topic": False})
    reader = KafkaReader(settings, topic.model)
    with pytest.raises(FeedbackUnavailable) as caught:
        reader.read({}, 1, 0.0)
    assert caught.value.code == "unknown_topic"
    assert (reader.end(), reader.committed()) == ({}, {})
    reader.close()
    admin = topic.admin()
    assert topic.name not in admin.list_topics()
    admin.close()


def test_aborted_transactions_stay_unseen(topic: Topic, reader: KafkaReader) -> None:
    producer = topic.producer(transactional_id=f"t-{topic.model}")
    producer.init_transactions()
    for verdict in ("commit_transaction", "abort_transaction", "commit_transaction"):
        producer.begin_transaction()
        for number in range(3):
            producer.send(topic.name, f"{verdict}-{number}".encode())
        producer.flush()
        getattr(producer, verdict)()
    producer.close()
    cursor: Cursor = {}
    found = [record.body for record in read_all(reader, cursor, 6)]
    assert found == [f"commit_transaction-{number}".encode() for number in (0, 1, 2)] * 2
    assert reader.read(cursor, 10, 0.2) == []


def test_large_and_compressed_records_come_whole(topic: Topic, reader: KafkaReader) -> None:
    large = [bytes([65 + number]) * (9 << 20) for number in range(2)]
    topic.send(large)
    producer = topic.producer(compression_type="gzip")
    for number in range(100):
        producer.send(topic.name, str(number).encode())
    producer.flush()
    producer.close()
    found = [record.body for record in read_all(reader, {}, 102)]
    assert found == [*large, *(str(number).encode() for number in range(100))]


def test_a_compression_that_cannot_be_read_is_named(
    topic: Topic, reader: KafkaReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kafka.codec.has_zstd", lambda: False)
    admin = topic.admin()
    admin.alter_configs([ConfigResource("TOPIC", topic.name, configs={"compression.type": "zstd"})])
    admin.close()
    topic.send([b"x" * 1000])
    with pytest.raises(FeedbackUnavailable) as caught:
        read_all(reader, {}, 1)
    assert "UnsupportedCodecError" in caught.value.detail


def test_partitions_added_later_are_read(topic: Topic, reader: KafkaReader) -> None:
    topic.send([b"first"])
    cursor: Cursor = {}
    records = read_all(reader, cursor, 1)
    admin = topic.admin()
    admin.create_partitions({topic.name: 3})
    admin.close()
    _await(lambda: not reader.read(cursor, 1, 0.2) and set(reader.end()) == {0, 1, 2})
    for partition in range(3):
        topic.send([b"later"] * 2, partition=partition)
    records += read_all(reader, cursor, 6)
    assert cursor == {0: 3, 1: 2, 2: 2}
    assert len(records) == 7


def test_other_programs_records_are_unwrapped(topic: Topic) -> None:
    reader = topic.reader("own")
    data = b'{"label":"a","instance":[1]}'
    attributes = {"specversion": "1.0", "type": EVENT_TYPE, "source": "/s", "id": "ce-1"}
    headers = [(f"ce_{name}", value.encode()) for name, value in attributes.items()]
    topic.send([data])
    topic.send([data], headers=headers)
    whole = msgspec.json.encode({**attributes, "data": msgspec.Raw(data)})
    topic.send([whole], headers=[("content-type", b"application/cloudevents+json")])
    for place in (b"own:17", b"own:none", b"other:18", b"19"):
        topic.send([data], headers=[("outbox-position", place)])
    records = read_all(reader, {}, 7)
    assert [_event_id(record) for record in records] == [None, "ce-1", "ce-1", None, None, None, None]
    assert [record.position for record in records] == [None, None, None, 17, None, None, None]
    reader.close()


def test_poison_goes_to_the_dead_letter_topic_as_it_came(topic: Topic, reader: KafkaReader) -> None:
    headers = [("ce_specversion", b"1.0"), ("trace", b"\x00\xff")]
    topic.send([b"\xff{"], key=b"k", headers=headers)
    topic.send([None], key=b"gone")
    topic.send([b'{"label":"a","instance":[1]}'])
    cursor: Cursor = {}
    records = read_all(reader, cursor, 3)
    records[1].original.headers.append(("empty", None))  # type: ignore[union-attr]
    assert [(record.error, record.body is None) for record in records] == [
        ("invalid_envelope", True),
        ("empty_record", True),
        (None, False),
    ]
    for record in records[:2]:
        reader.dead_letter(record, record.error or "", "cannot be read")
    first, second = topic.dead_letters(2)
    assert (first.key, first.value, first.headers[:2]) == (b"k", b"\xff{", headers)
    assert dict(first.headers[2:]) == {
        "lifelong-error": b"invalid_envelope",
        "lifelong-detail": b"cannot be read",
        "lifelong-source": f"{topic.name}:0:0".encode(),
    }
    assert (second.key, second.value) == (b"gone", b"")


def test_dead_letters_outlive_a_broker_and_hold_the_group_back(
    own_broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "MAX_PENDING", 2)
    topic = Topic(own_broker)
    reader = topic.reader()
    cursor: Cursor = {}
    topic.send([b"poison", b"more poison", b"one too many"])
    records = read_all(reader, cursor, 3)
    own_broker.kill()
    started = time.monotonic()
    for record in records:
        reader.dead_letter(record, "malformed_json", "the event is not valid JSON")
    reader.commit(cursor)
    assert time.monotonic() - started < WAIT_SECONDS
    own_broker.start()
    assert {message.value for message in topic.dead_letters(2)} == {b"poison", b"more poison"}
    _await(lambda: _committed(reader, cursor) == cursor)
    assert len(topic.dead_letters(2)) == 2
    reader.close()


def test_retention_within_a_batch_is_no_gap_for_a_reader_that_is_past_it(topic: Topic, reader: KafkaReader) -> None:
    written = bodies(10)
    topic.send(written)
    cursor: Cursor = {}
    read_all(reader, cursor, 6, limit=6)
    admin = topic.admin()
    admin.delete_records({TopicPartition(topic.name, 0): 3})
    admin.close()
    assert [record.body for record in read_all(reader, cursor, 4)] == written[6:]


def _committed(reader: KafkaReader, cursor: Cursor) -> Cursor:
    reader.commit(cursor)
    reader.read(cursor, 1, 0.1)
    return reader.committed()


def _event_id(record: Record) -> Any:
    return msgspec.json.decode(record.body or b"{}").get("event_id")


def _damage(folder: Path, body: bytes) -> None:
    (segment,) = folder.glob("*.log")
    content = bytearray(segment.read_bytes())
    content[content.index(body) + 3] ^= 1
    segment.write_bytes(content)


def _await(condition: Any) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _await_end(reader: KafkaReader) -> None:
    _await(reader.end)
