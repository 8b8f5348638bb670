"""From the log to recorded steps: what a kill between the record and the dead-letter topic must not lose."""

from collections.abc import Collection, Sequence
from pathlib import Path

import pytest

from contracts.inputs import TensorInput
from contracts.labels import LabelSpec
from feedback.log import Cursor, FeedbackReader, Record
from feedback.predictions import PredictionLog
from feedback.sqlite import SqliteLog
from trainer.examples import StoredExample
from trainer.ingest import Arrange, Ingest
from trainer.intake import Intake
from trainer.policies import TaskSettings
from trainer.record import Closing
from trainer.settings import LearnerSettings
from trainer.stores import Stores

pytestmark = pytest.mark.unit
SETTINGS = TaskSettings()


class KilledInTime(SqliteLog):
    """A log whose process dies before a dead letter has left it."""

    def dead_letter(self, record: Record, code: str, detail: str) -> None:
        """Loses it."""


class Old(SqliteLog):
    """A log whose events were all accepted long ago; while `is_away` it hands nothing out."""

    is_away = False

    def read(self, cursor: Cursor, limit: int, wait_seconds: float) -> list[Record]:
        """Reads as an old topic does."""
        records = [] if self.is_away else super().read(cursor, limit, wait_seconds)
        return [record._replace(accepted_at=1.0) for record in records]


def as_it_came(examples: Sequence[StoredExample], over: Collection[str]) -> list[list[StoredExample]]:
    """A backlog in one part."""
    return [list(examples)]


def ingest(
    directory: Path, reader: FeedbackReader, tasks: TaskSettings = SETTINGS, arrange: Arrange = as_it_came
) -> Ingest:
    """What a start of the trainer makes of its state directory."""
    stores = Stores.open(directory / "trainer", "test")
    predictions = PredictionLog(directory / "predictions.db", 3600.0, 1 << 20)
    intake = Intake(TensorInput(shape=(1,)), LabelSpec(), stores.examples, predictions, 0.1)
    return Ingest(reader, intake, stores, LearnerSettings(), tasks, arrange)


def append(log: SqliteLog, bodies: Sequence[bytes]) -> None:
    """Appends events that have no id of their own."""
    log.append([(f"e{number}", body) for number, body in enumerate(bodies)])


def test_a_dead_letter_that_a_kill_lost_is_sent_again(tmp_path: Path) -> None:
    log = KilledInTime(tmp_path / "feedback.db")
    append(log, [b'{"label":"a","instance":[1]}', b"poison", b'{"label":"a","prediction_id":"gone"}'])
    killed = ingest(tmp_path, log)
    killed.take(0.0)
    assert (killed.ledger().dead, killed.ledger().quarantined) == (1, 1)
    killed.close()
    reopened = SqliteLog(tmp_path / "feedback.db")
    assert reopened.dead_letters() == []
    started = ingest(tmp_path, reopened)
    started.take(0.0)
    assert [(letter.body, letter.code) for letter in reopened.dead_letters()] == [(b"poison", "malformed_json")]
    assert started.ledger().dead == 1
    started.close()


def test_a_dead_letter_that_was_delivered_is_not_sent_again(tmp_path: Path) -> None:
    log = KilledInTime(tmp_path / "feedback.db")
    append(log, [b"poison"])
    before = ingest(tmp_path, log)
    before.take(0.0)
    before.acknowledge()
    before.close()
    reopened = SqliteLog(tmp_path / "feedback.db")
    started = ingest(tmp_path, reopened)
    started.take(0.0)
    assert reopened.dead_letters() == []
    started.close()


def test_an_old_backlog_is_one_task_and_silence_counts_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.ingest.ROUND_EVENTS", 5)
    log = Old(tmp_path / "feedback.db")
    append(log, [b'{"label":"a","instance":[%d]}' % number for number in range(20)])
    subject = ingest(tmp_path, log)
    subject.take(0.0)
    log.is_away = True
    assert subject.take(0.0) == ([], [])
    log.is_away = False
    tasks = {example.task for _ in range(3) for example in subject.take(0.0)[0]}
    assert tasks == {"task-1"}
    (closing,) = subject.take(0.0)[1]
    assert isinstance(closing, Closing)
    assert (closing.task, closing.reason) == ("task-1", "idle")
    subject.close()
