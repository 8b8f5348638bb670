"""The log learns how far it is accounted for: under load too, seldom, and only when there is something to tell."""

from pathlib import Path

import pytest

from feedback.log import Cursor
from feedback.sqlite import SqliteLog
from tests.trainer.pipeline import Bench, digit_events
from tests.trainer.test_ingest import append, ingest

pytestmark = pytest.mark.unit


class Slow(SqliteLog):
    """A log that notes what it is told and needs two calls to be done with a cursor."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.told: list[Cursor] = []

    def commit(self, cursor: Cursor) -> bool:
        """Done at the second call."""
        self.told.append(dict(cursor))
        return super().commit(cursor) and self.told.count(cursor) > 1


def test_a_log_is_told_of_a_cursor_until_it_is_done_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.ingest.ACKNOWLEDGE_SECONDS", 0.0)
    log = Slow(tmp_path / "feedback.db")
    subject = ingest(tmp_path, log)
    for number in range(2):
        log.append([(f"e{number}", b'{"label":"a","instance":[1]}')])
        for _ in range(5):
            subject.take(0.0)
            subject.acknowledge()
    assert log.told == [{0: 2}, {0: 2}, {0: 3}, {0: 3}]
    subject.close()


def test_a_log_is_told_at_most_once_a_second(tmp_path: Path) -> None:
    log = Slow(tmp_path / "feedback.db")
    append(log, [b'{"label":"a","instance":[1]}'])
    subject = ingest(tmp_path, log)
    subject.take(0.0)
    for _ in range(5):
        subject.acknowledge()
    assert log.told == [{0: 2}]
    subject.close()


def test_a_log_is_told_while_events_keep_coming(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.feed(digit_events([0, 1], "first"))
    assert bench.trainer.advance(0.0)
    assert bench.log.committed() == bench.log.end()
