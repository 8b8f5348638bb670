"""What the outbox itself has lost does not end the forwarder in silence."""

import contextlib
import time
from pathlib import Path

import apsw
import pytest

from feedback.forwarder import Forwarder
from feedback.settings import KafkaSettings
from feedback.sqlite import SqliteLog

pytestmark = pytest.mark.unit
WAIT_SECONDS = 20.0


def test_a_loss_in_the_outbox_is_named_and_the_thread_lives_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "feedback.db"
    outbox = SqliteLog(path)
    outbox.append([(str(number), b"{}") for number in range(3)])
    with contextlib.closing(apsw.Connection(str(path))) as other:
        other.execute("DELETE FROM bodies WHERE position = 1")
    forwarder = Forwarder(outbox, KafkaSettings(kind="kafka", bootstrap_servers="127.0.0.1:1"), "model")
    forwarder.start()
    deadline = time.monotonic() + WAIT_SECONDS
    while forwarder.failure != "feedback_gap":
        assert forwarder.is_running
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert forwarder.is_running
    assert "feedback.db, partition 0: records 1 to 1 are no longer kept" in caplog.text
    forwarder.stop()
    outbox.close()
