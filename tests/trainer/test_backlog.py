"""A backlog that is learned in another order than it came: what is taken at once, its rounds, and where tasks end."""

import itertools
from collections.abc import Collection, Sequence
from pathlib import Path

import pytest

from feedback.log import Cursor, Record
from feedback.sqlite import SqliteLog
from tests.trainer.test_ingest import ingest
from trainer.examples import StoredExample
from trainer.ingest import ROUND_EVENTS, Arrange, Ingest
from trainer.policies import TaskSettings
from trainer.record import Closing, Round, Step
from trainer.stores import Stores

pytestmark = pytest.mark.unit
SETTINGS = TaskSettings(curriculum="easy_first", backlog_events=2000)


class Sparing(SqliteLog):
    """A log that hands out little at a time, as a broker does."""

    def read(self, cursor: Cursor, limit: int, wait_seconds: float) -> list[Record]:
        """At most a hundred records."""
        return super().read(cursor, min(limit, 100), wait_seconds)


def last_first(examples: Sequence[StoredExample], over: Collection[str]) -> list[list[StoredExample]]:
    """The tasks one after the other, beginning with the one that came last."""
    numbers = itertools.count(examples[0].sequence)
    tasks = list(dict.fromkeys(example.task for example in examples))[::-1]
    own = [[example for example in examples if example.task == task] for task in tasks]
    return [[example._replace(sequence=next(numbers)) for example in part] for part in own]


def refused(examples: Sequence[StoredExample], over: Collection[str]) -> list[list[StoredExample]]:
    """An order that must not be asked for."""
    raise AssertionError(f"{len(examples)} events are no backlog")


def filled(log: SqliteLog, tasks: str) -> SqliteLog:
    """The log with an event of each of these tasks, each task a letter."""
    body = '{"label":"x","instance":[1],"task":"%s"}'
    first = log.end()[0]
    log.append([(f"e{number}", (body % task).encode()) for number, task in enumerate(tasks, first)])
    return log


def taking(directory: Path, tasks: str, settings: TaskSettings = SETTINGS, arrange: Arrange = last_first) -> Ingest:
    return ingest(directory, filled(SqliteLog(directory / "feedback.db"), tasks), settings, arrange)


def stored(directory: Path) -> Stores:
    """What a take has left behind, as a restart finds it."""
    return Stores.open(directory / "trainer", "test")


def told(steps: Sequence[Step]) -> str:
    """The steps in short: `.` is a round, a letter the end of that task."""
    return "".join(step.task if isinstance(step, Closing) else "." for step in steps)


def test_every_event_of_a_backlog_is_in_exactly_one_round(tmp_path: Path) -> None:
    subject = taking(tmp_path, "a" * 600 + "b" * 100 + "c" * 500)
    examples, steps = subject.take(0.0)
    assert [example.sequence for example in examples] == list(range(1, 1201))
    rounds = [step for step in steps if isinstance(step, Round)]
    for example in examples:
        own = [step.number for step in rounds if step.first_sequence <= example.sequence <= step.last_sequence]
        query = "SELECT step FROM events WHERE event_id=?"
        found = stored(tmp_path).database.value(query, (example.event_id,))
        assert [found] == (own if example.split == "train" else [None])
    assert subject.ledger().balances
    assert (subject.ledger().pending, subject.progress.through) == (0, 1200)
    assert max(step.last_sequence - step.first_sequence for step in rounds) < ROUND_EVENTS


def test_tasks_are_learned_as_arranged_and_end_with_their_own_last_row(tmp_path: Path) -> None:
    examples, steps = taking(tmp_path, "a" * 600 + "b" * 100 + "c" * 500).take(0.0)
    assert "".join(task for task, _ in itertools.groupby(example.task for example in examples)) == "cba"
    assert told(steps) == "..b..a"
    last = {step.task: step.last_sequence for step in steps if isinstance(step, Closing)}
    assert last == {"b": 600, "a": 1200}
    assert [step.parent for step in steps] == [0, *(step.number for step in steps[:-1])]
    assert [step.number for step in stored(tmp_path).record.chain(len(steps))][::-1] == [1, 2, 3, 4, 5, 6]


def test_tasks_that_came_mixed_stay_open(tmp_path: Path) -> None:
    _, steps = taking(tmp_path, "ab" * 600).take(0.0)
    assert told(steps) == "...."


def test_a_task_that_was_over_before_ends_after_the_first_round(tmp_path: Path) -> None:
    subject = taking(tmp_path, "a")
    subject.take(0.0)
    filled(SqliteLog(tmp_path / "feedback.db"), "b" * 600 + "c" * 600)
    assert told(subject.take(0.0)[1]) == ".a...b"


def test_extra_steps_come_only_after_the_whole_backlog(tmp_path: Path) -> None:
    subject = taking(tmp_path, "a" * 1500 + "b" * 2500)
    counts = [[step.steps for step in subject.take(0.0)[1] if isinstance(step, Round)] for _ in range(2)]
    assert max(*counts[0], *counts[1][:-1]) <= 4
    assert counts[1][-1] == 25


def test_what_one_round_takes_is_no_backlog(tmp_path: Path) -> None:
    examples, steps = taking(tmp_path, "ab" * (ROUND_EVENTS // 2), arrange=refused).take(0.0)
    assert (len(examples), told(steps)) == (ROUND_EVENTS, ".")


def test_by_default_a_backlog_is_learned_as_it_came(tmp_path: Path) -> None:
    subject = taking(tmp_path, "a" * 300 + "b" * 900, TaskSettings(), refused)
    assert [told(subject.take(0.0)[1]) for _ in range(3)] == [".a", ".", "."]


def test_at_most_so_many_events_are_taken_at_once(tmp_path: Path) -> None:
    subject = taking(tmp_path, "ab" * 1100)
    assert [len(subject.take(0.0)[0]) for _ in range(3)] == [2000, 200, 0]


def test_a_backlog_that_comes_little_by_little_is_one(tmp_path: Path) -> None:
    log = filled(Sparing(tmp_path / "feedback.db"), "a" * 600 + "b" * 600)
    subject = ingest(tmp_path, log, SETTINGS, last_first)
    assert len(subject.take(0.0)[0]) == 1200


def test_what_comes_meanwhile_is_left_to_the_next_take(tmp_path: Path) -> None:
    class Overflowing(SqliteLog):
        """A log into which events come as fast as they are read."""

        def read(self, cursor: Cursor, limit: int, wait_seconds: float) -> list[Record]:
            """The next records, and as many new ones behind them."""
            records = super().read(cursor, limit, wait_seconds)
            self.append([(f"n{record.offset}", record.body or b"") for record in records])
            return records

    subject = ingest(tmp_path, filled(Overflowing(tmp_path / "feedback.db"), "ab" * 400), SETTINGS, last_first)
    assert len(subject.take(0.0)[0]) < SETTINGS.backlog_events
    assert subject.ledger().pending > 0
