"""The forwarder: every accepted event reaches the topic, whatever dies on the way, and no append waits for it."""

import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from feedback.forwarder import Forwarder
from feedback.log import Cursor, Record
from feedback.sqlite import SqliteLog
from tests.broker import Broker
from tests.feedback.log_contract import read_all
from tests.feedback.topic import Topic

pytestmark = pytest.mark.real
WAIT_SECONDS = 60.0
CONTEXT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def events(count: int, **fields: str) -> list[tuple[str, bytes]]:
    """Events with ids, as the service appends them."""
    ids = [uuid.uuid4().hex for _ in range(count)]
    return [(name, msgspec.json.encode({"event_id": name, "label": "a", "instance": [1], **fields})) for name in ids]


def test_every_event_arrives_once_with_its_position(broker: Broker, tmp_path: Path) -> None:
    topic, outbox = Topic(broker), SqliteLog(tmp_path / "feedback.db")
    accepted = events(2500)
    outbox.append(accepted[:1200])
    forwarder = Forwarder(outbox, topic.settings, topic.model)
    forwarder.start()
    outbox.append(accepted[1200:], {accepted[1300][0]: CONTEXT})
    reader = topic.reader(outbox.identity)
    records = read_all(reader, {}, 2500)
    assert [record.position for record in records if record.traceparent == CONTEXT] == [1301]
    assert [(record.position, record.body) for record in records] == [
        (position, body) for position, (_, body) in enumerate(accepted, start=1)
    ]
    stored = {record.position: record.accepted_at for record in records}
    assert 0 <= time.time() - stored[1] < WAIT_SECONDS
    _await(lambda: forwarder.pending() == 0)
    assert outbox.committed() == {0: 2501}
    _close(forwarder, outbox)
    reader.close()


@pytest.mark.parametrize(
    ("key", "fields", "expected"),
    [
        ("task", {"task": "t7", "subject": "s"}, b"t7"),
        ("task", {"subject": "s"}, b"default"),
        ("subject", {"task": "t7", "subject": "Ann"}, b"Ann"),
        ("subject", {"task": "t7"}, None),
    ],
)
def test_the_key_is_the_task_or_the_subject(
    broker: Broker, tmp_path: Path, key: str, fields: dict[str, str], expected: bytes | None
) -> None:
    topic, outbox = Topic(broker), SqliteLog(tmp_path / "feedback.db")
    outbox.append(events(1, **fields))
    forwarder = Forwarder(outbox, topic.settings.model_copy(update={"key": key}), topic.model)
    forwarder.start()
    _await(lambda: forwarder.pending() == 0)
    (message,) = topic.messages(topic.name, 1)
    assert message.key == expected
    assert message.headers == [("outbox-position", f"{outbox.identity}:1".encode())]
    _close(forwarder, outbox)


def test_nothing_is_lost_when_the_broker_is_killed_midway(own_broker: Broker, tmp_path: Path) -> None:
    topic, outbox = Topic(own_broker), SqliteLog(tmp_path / "feedback.db")
    forwarder = Forwarder(outbox, topic.settings, topic.model)
    forwarder.start()
    stop = threading.Event()
    appender = threading.Thread(target=_append_until, args=(stop, outbox), daemon=True)
    appender.start()
    _await(lambda: outbox.committed()[0] > 200)
    own_broker.kill()
    held_at = outbox.end()[0]
    _await(lambda: forwarder.failure is not None)
    own_broker.start()
    _await(lambda: outbox.committed()[0] > held_at + 500)
    stop.set()
    appender.join()
    _await(lambda: forwarder.pending() == 0)
    total = outbox.end()[0] - 1
    reader = topic.reader(outbox.identity)
    assert _positions(reader.read, total) == set(range(1, total + 1))
    assert forwarder.failure is None
    _close(forwarder, outbox)
    reader.close()


def test_a_new_process_goes_on_where_the_last_one_was(broker: Broker, tmp_path: Path) -> None:
    topic, path = Topic(broker), tmp_path / "feedback.db"
    for _ in range(3):
        outbox = SqliteLog(path)
        outbox.append(events(300))
        forwarder = Forwarder(outbox, topic.settings, topic.model)
        forwarder.start()
        _await(lambda: outbox.committed()[0] > 1)  # noqa: B023
        _close(forwarder, outbox)
    outbox = SqliteLog(path)
    forwarder = Forwarder(outbox, topic.settings, topic.model)
    forwarder.start()
    _await(lambda: forwarder.pending() == 0)
    reader = topic.reader(outbox.identity)
    assert _positions(reader.read, 900) == set(range(1, 901))
    _close(forwarder, outbox)
    reader.close()


def test_positions_of_another_outbox_are_left_out(broker: Broker, tmp_path: Path) -> None:
    topic = Topic(broker)
    outboxes = [SqliteLog(tmp_path / name / "feedback.db") for name in ("before", "now")]
    for outbox in outboxes:
        outbox.append(events(3))
        forwarder = Forwarder(outbox, topic.settings, topic.model)
        forwarder.start()
        _await(lambda: forwarder.pending() == 0)  # noqa: B023
        _close(forwarder, outbox)
    reader = topic.reader(outboxes[1].identity)
    records = read_all(reader, {}, 6)
    assert [record.position for record in records] == [None, None, None, 1, 2, 3]
    assert all(record.error is None and record.body for record in records)
    reader.close()


def test_what_kafka_refuses_is_put_aside_and_only_its_position_goes_on(broker: Broker, tmp_path: Path) -> None:
    topic, outbox = Topic(broker), SqliteLog(tmp_path / "feedback.db")
    huge = msgspec.json.encode({"event_id": "huge", "label": "a", "instance": "x" * (17 << 20)})
    outbox.append([*events(2), ("huge", huge), ("odd", b"not json"), *events(2)])
    forwarder = Forwarder(outbox, topic.settings, topic.model)
    forwarder.start()
    _await(lambda: forwarder.pending() == 0)
    assert [(letter.position, letter.code) for letter in outbox.dead_letters()] == [(3, "refused_by_kafka")]
    reader = topic.reader(outbox.identity)
    records = read_all(reader, {}, 6)
    assert [record.position for record in records] == [1, 2, 3, 4, 5, 6]
    assert [record.position for record in records if record.error == "refused_by_kafka"] == [3]
    _close(forwarder, outbox)
    reader.close()


@pytest.mark.parametrize(
    ("configs", "key", "refused", "reason"),
    [
        ({"cleanup.policy": "compact"}, "subject", {"subject": None}, "InvalidRecordError"),
        ({"max.message.bytes": "2000"}, "task", {"instance": "x" * 3000}, "MessageSizeTooLargeError"),
    ],
)
def test_what_the_topic_refuses_costs_its_neighbours_nothing(
    broker: Broker, tmp_path: Path, configs: dict[str, str], key: str, refused: dict[str, str | None], reason: str
) -> None:
    topic, outbox = Topic(broker), SqliteLog(tmp_path / "feedback.db")
    topic.create(**configs)
    good = events(6, subject="Ann")
    bad = msgspec.json.encode({"event_id": "bad", "label": "a", "instance": [1], "subject": "Ann"} | refused)
    outbox.append([*good[:3], ("bad", bad), *good[3:]])
    forwarder = Forwarder(outbox, topic.settings.model_copy(update={"key": key}), topic.model)
    forwarder.start()
    _await(lambda: forwarder.pending() == 0)
    (letter,) = outbox.dead_letters()
    assert (letter.position, letter.code, letter.detail) == (4, "refused_by_kafka", reason)
    reader = topic.reader(outbox.identity)
    assert _positions(reader.read, 7) == set(range(1, 8))
    _close(forwarder, outbox)
    reader.close()


def test_without_a_broker_events_wait_and_the_reason_shows(own_broker: Broker, tmp_path: Path) -> None:
    own_broker.kill()
    topic, outbox = Topic(own_broker), SqliteLog(tmp_path / "feedback.db")
    forwarder = Forwarder(outbox, topic.settings, topic.model)
    forwarder.start()
    outbox.append(events(3))
    _await(lambda: forwarder.failure is not None)
    assert forwarder.pending() == 3
    assert forwarder.is_running
    own_broker.start()
    _await(lambda: forwarder.pending() == 0 and forwarder.failure is None)
    _close(forwarder, outbox)
    assert not forwarder.is_running


def _append_until(stop: threading.Event, outbox: SqliteLog) -> None:
    while not stop.wait(0.03):
        outbox.append(events(20))


def _positions(read: Callable[[Cursor, int, float], list[Record]], count: int) -> set[int | None]:
    """The positions in the topic, read from its start until `count` different ones came."""
    cursor: Cursor = {}
    seen: set[int | None] = set()
    deadline = time.monotonic() + WAIT_SECONDS
    while len(seen) < count and time.monotonic() < deadline:
        for record in read(cursor, 1000, 0.2):
            seen.add(record.position)
            cursor[record.partition] = record.offset + 1
    return seen


def _close(forwarder: Forwarder, outbox: SqliteLog) -> None:
    forwarder.stop()
    outbox.close()


def _await(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
