"""From a real topic to the ledger, where the topic holds more than events."""

import time
from pathlib import Path

import pytest

from tests.broker import Broker
from tests.feedback.topic import Topic
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
