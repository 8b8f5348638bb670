"""From a real topic to the ledger, where the topic holds more than events."""

import time
from pathlib import Path

import pytest

from tests.broker import Broker
from tests.feedback.topic import Topic
from tests.trainer.test_backlog import SETTINGS, last_first
from tests.trainer.test_ingest import ingest

pytestmark = pytest.mark.real
WAIT_SECONDS = 40.0


def test_nothing_is_pending_in_a_topic_that_transactions_wrote(broker: Broker, tmp_path: Path) -> None:
    topic = Topic(broker)
    subject = ingest(tmp_path, topic.reader())
    producer = topic.producer(transactional_id=f"t-{topic.model}")
    producer.init_transactions()
    for verdict in ("commit_transaction", "abort_transaction"):
        producer.begin_transaction()
        producer.send(topic.name, b'{"label":"a","instance":[1]}')
        producer.flush()
        getattr(producer, verdict)()
    producer.close()
    deadline = time.monotonic() + WAIT_SECONDS
    while (ledger := subject.ledger()).pending or not ledger.received:
        assert time.monotonic() < deadline
        subject.take(0.1)
    assert (ledger.received, ledger.trained + ledger.probe) == (1, 1)
    subject.close()


def test_a_backlog_is_taken_at_once_though_a_broker_hands_it_out_in_pieces(broker: Broker, tmp_path: Path) -> None:
    topic = Topic(broker)
    subject = ingest(tmp_path, topic.reader(), SETTINGS, last_first)
    producer = topic.producer()
    for task in "abc":
        for _ in range(600):
            producer.send(topic.name, b'{"label":"a","instance":[1],"task":"%s"%s}' % (task.encode(), b" " * 4000))
    producer.close()
    taken: list[str] = []
    deadline = time.monotonic() + WAIT_SECONDS
    while not taken:
        assert time.monotonic() < deadline
        taken = [example.task for example in subject.take(0.1)[0]]
    assert taken == sorted(taken, reverse=True)
    assert (len(taken), subject.ledger().pending) == (1800, 0)
    subject.close()
