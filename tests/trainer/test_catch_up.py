"""Closing a task learns what the log holds first, and comes to an end whatever the log does meanwhile."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from feedback.log import Cursor, Record
from feedback.sqlite import SqliteLog
from tests.trainer.pipeline import Bench, digit_events

pytestmark = pytest.mark.unit


class Withholding(SqliteLog):
    """A log that knows of an event which it never hands out."""

    def end(self) -> Cursor:
        """One beyond the last."""
        return {partition: offset + 1 for partition, offset in super().end().items()}


class Overflowing(SqliteLog):
    """A log into which events come as fast as they are read."""

    n_reads = 0

    def read(self, cursor: Cursor, limit: int, wait_seconds: float) -> list[Record]:
        """The next records, and as many new ones behind them."""
        records = super().read(cursor, limit, wait_seconds)
        self.n_reads += 1
        self.append([(f"{self.n_reads}-{record.offset}", record.body or b"") for record in records])
        return records


def bench(directory: Path, log: type[SqliteLog], events: Sequence[dict[str, Any]]) -> Bench:
    """A trainer that reads such a log."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trainer.assembly.SqliteLog", log)
        made = Bench(directory)
    made.feed(events)
    return made


def test_a_task_closes_after_all_that_the_log_holds(tmp_path: Path) -> None:
    events = digit_events([0, 1], "first")
    closing = bench(tmp_path, SqliteLog, events)
    assert closing.trainer.close_task("first")["row"]
    (task,) = closing.status.tasks
    assert (task.state, task.trained + task.probes) == ("closed", len(events))


def test_a_task_closes_though_an_event_does_not_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.loop.CATCH_UP_SECONDS", 0.1)
    closing = bench(tmp_path, Withholding, digit_events([0, 1], "first"))
    assert closing.trainer.close_task("first")["closed"]
    assert closing.status.ledger.pending == 1


def test_a_task_closes_though_events_come_faster_than_they_are_learned(tmp_path: Path) -> None:
    closing = bench(tmp_path, Overflowing, digit_events([0, 1], "first"))
    assert closing.trainer.close_task("first")["closed"]
    assert closing.status.ledger.pending > 0
