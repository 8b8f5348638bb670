"""A whole trainer whose backlog is put in order: what is learned is in the record, and nothing decides it again."""

from pathlib import Path
from typing import Any

import apsw
import pytest

from contracts.labels import LabelSpec
from tests.trainer.pipeline import Bench, digit_events
from trainer.course import Course
from trainer.policies import CurriculumKind, TaskSettings
from trainer.settings import LearnerSettings

TASKS = {"first": [0, 1], "second": [3, 8], "third": [6, 7], "fourth": [5, 9]}


class Killed(Exception):
    """What happens at the moment of a kill in these tests."""


def kill(*_: object) -> None:
    """Ends the trainer's work where it is called."""
    raise Killed


def bench_with(directory: Path, kind: CurriculumKind, **changes: Any) -> Bench:
    """A trainer with four tasks of 300 events waiting for it."""
    bench = Bench(directory, tasks=TaskSettings(curriculum=kind), **changes)
    for task, digits in TASKS.items():
        bench.feed(digit_events(digits, task, limit=150))
    return bench


def learned(bench: Bench) -> list[str]:
    """The tasks in the order in which the record learns them."""
    database = apsw.Connection(str(bench.config.directory / "trainer" / "state.db"))
    return [task for (task,) in database.execute("SELECT task FROM events GROUP BY task ORDER BY min(sequence)")]


@pytest.mark.parametrize("kind", ["easy_first", "hard_first", "dissimilar_next"])
def test_a_backlog_is_learned_in_order_and_rebuilt_bit_for_bit(tmp_path: Path, kind: CurriculumKind) -> None:
    bench = bench_with(tmp_path, kind)
    bench.drain()
    ledger, order = bench.status.ledger, learned(bench)
    assert ledger.balances
    assert (ledger.pending, ledger.late, ledger.received) == (0, 0, 1200)
    assert bench.status.processed_through == bench.status.served_position == 1200
    assert sorted(order) == sorted(TASKS)
    assert bench.status.matrix.tasks == [task for task in order if task != "fourth"]
    before = bench.fingerprint
    for path in (tmp_path / "trainer" / "checkpoints").iterdir():
        path.unlink()
    bench.config = bench.config.model_copy(update={"tasks": TaskSettings()})
    bench.reopen()
    assert bench.fingerprint == before
    assert learned(bench) == order


def test_an_order_that_is_not_that_of_the_log_is_found(tmp_path: Path) -> None:
    orders = []
    for kind in ("given", "easy_first", "hard_first"):
        bench = bench_with(tmp_path / kind, kind)
        bench.drain()
        orders.append(learned(bench))
    given, easy, hard = orders
    assert given == list(TASKS)
    assert easy[3] == hard[3] == "fourth"  # it is not over
    assert easy[:3] == hard[2::-1] != given[:3]


def test_a_kill_before_the_backlog_was_learned_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = bench_with(tmp_path / "whole", "hard_first")
    whole.trainer.advance(0.0)
    killed = bench_with(tmp_path / "killed", "hard_first")
    with monkeypatch.context() as patch:
        patch.setattr(Course, "_close", kill)
        with pytest.raises(Killed):
            killed.trainer.advance(0.0)
    killed.reopen()
    assert killed.fingerprint == whole.fingerprint
    killed.drain()
    assert killed.status.ledger.balances
    assert killed.status.ledger.received == 1200


def test_a_rollback_undoes_all_of_a_backlog(tmp_path: Path) -> None:
    bench = bench_with(tmp_path, "easy_first")
    untrained, version = bench.fingerprint, bench.service.versions[0].version
    bench.drain()
    bench.trainer.rollback(version)
    assert bench.fingerprint == untrained
    assert all((task.trained, task.state) == (0, "open") for task in bench.status.tasks)


@pytest.mark.parametrize("kind", ["easy_first", "similar_next"])
def test_tasks_that_are_kept_apart_are_measured_too(tmp_path: Path, kind: CurriculumKind) -> None:
    changes = {"strategies": [{"kind": "separate"}], "labels": LabelSpec(scenario="task")}
    bench = bench_with(tmp_path, kind, **changes)
    bench.drain()
    assert sorted(learned(bench)) == sorted(TASKS)
    assert bench.status.ledger.balances


def test_difficulty_is_that_for_the_network_as_it_is_now(tmp_path: Path) -> None:
    """The same rows and labels: hard for an untrained network, easy for one that has learned more of them."""
    more, other = digit_events([3, 8], "again", limit=178), digit_events([0, 1], "other", limit=178)
    orders = []
    for n_taught in (0, 150):
        settings, learner = TaskSettings(curriculum="easy_first"), LearnerSettings(min_steps=200)
        bench = Bench(tmp_path / str(n_taught), tasks=settings, learner=learner)
        bench.feed([event | {"task": "taught"} for event in more[:n_taught]])
        bench.drain()
        bench.feed(more[n_taught:])
        bench.feed(other)
        bench.feed(digit_events([6, 7], "end", limit=100))
        bench.drain()
        orders.append([task for task in learned(bench) if task not in {"taught", "end"}])
    assert orders == [["other", "again"], ["again", "other"]]
