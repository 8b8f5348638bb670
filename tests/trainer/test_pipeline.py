"""The trainer's whole line of work on real parts: what is learned, counted, promoted, undone and rebuilt."""

from collections.abc import Iterator
from pathlib import Path

import apsw
import msgspec
import pytest

from contracts.versions import Artifact
from tests.trainer.pipeline import Bench, digit_events, split
from trainer.errors import ForeignState, UnknownTask
from trainer.intake import split_of
from trainer.policies import PromotionSettings
from trainer.promoter import PRACTICE_ROUNDS

pytestmark = pytest.mark.unit


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.log.close()


def test_the_untrained_network_is_version_one(bench: Bench) -> None:
    assert bench.service.generations == [1]
    artifact = Artifact.from_files(bench.service.files)
    assert artifact.version == 1
    assert artifact.lineage.parent is None
    assert "initial" in artifact.probes.decision.reasons[0]


def test_feedback_becomes_a_promoted_version_with_its_lineage(bench: Bench) -> None:
    events = digit_events([0, 1], "zero-one")
    bench.feed(events)
    bench.drain()
    artifact = Artifact.from_files(bench.service.files)
    trained = [event for event in events if split_of(event["event_id"], 0.1) == "train"]
    assert artifact.version > 1
    assert {column.label for column in artifact.model.columns} == {"0", "1"}
    assert artifact.lineage.parent == artifact.version - 1
    assert artifact.lineage.events.count == len(trained)
    assert bench.status.version == artifact.version
    assert bench.status.processed_through == bench.status.served_position == len(events)


def test_the_ledger_balances_and_no_probe_is_trained(bench: Bench) -> None:
    events = digit_events([0, 1, 2], "first")
    bench.feed(events)
    bench.feed(events[:7])
    bench.feed([{"event_id": "poison", "label": 1, "instance": [1.0]}])
    bench.drain()
    ledger = bench.status.ledger
    probes = sum(split_of(event["event_id"], 0.1) == "probe" for event in events)
    assert ledger.balances
    assert (ledger.probe, ledger.trained) == (probes, len(events) - probes)
    assert (ledger.duplicate, ledger.dead, ledger.pending) == (7, 1, 0)


def test_two_tasks_end_with_a_matrix_and_little_forgetting(bench: Bench) -> None:
    for task, digits in (("low", [0, 1]), ("high", [8, 9])):
        bench.feed(digit_events(digits, task, limit=150))
        bench.trainer.close_task(task)
    matrix = bench.status.matrix
    assert matrix.tasks == ["low", "high"]
    assert matrix.accuracy[0][0] is not None
    assert matrix.accuracy[0][1] == 0.0
    assert matrix.average_accuracy is not None
    assert matrix.average_accuracy > 0.75
    assert matrix.backward_transfer is not None
    assert matrix.backward_transfer > -0.5


def test_a_task_that_ends_before_any_probe_row_keeps_its_place_in_the_matrix(bench: Bench) -> None:
    bench.feed(split(digit_events([0, 1], "unmeasured"), "train"))
    bench.trainer.close_task("unmeasured")
    bench.feed(digit_events([2, 3], "measured"))
    bench.trainer.close_task("measured")
    bench.reopen()
    bench.drain()
    bench.trainer.advance(0.0)
    assert bench.status.matrix.tasks == ["unmeasured", "measured"]
    assert bench.status.matrix.accuracy[0][0] is None
    assert bench.status.matrix.accuracy[0][1] == 0.0


def test_every_kind_of_work_says_how_long_it_took(bench: Bench) -> None:
    bench.feed(digit_events([0, 1], "zero-one"))
    bench.trainer.close_task("zero-one")
    durations = msgspec.structs.asdict(bench.status.seconds)
    assert all(seconds is not None and seconds > 0 for seconds in durations.values()), durations


def test_late_events_of_a_closed_task_are_learned_and_counted_as_late(bench: Bench) -> None:
    events = digit_events([0, 1], "first")
    bench.feed(events[:100])
    bench.trainer.close_task("first")
    bench.feed(events[100:])
    bench.drain()
    late = sum(split_of(event["event_id"], 0.1) == "train" for event in events[100:])
    assert bench.status.ledger.late == late > 0
    assert bench.status.ledger.balances


def test_unnamed_events_are_one_task_until_a_boundary(bench: Bench) -> None:
    bench.feed(digit_events([0, 1], None))
    bench.trainer.close_task("task-1")
    bench.feed(digit_events([2, 3], None))
    bench.drain()
    assert [(task.task, task.state) for task in bench.status.tasks] == [("task-1", "closed"), ("task-2", "open")]


def test_closing_an_unknown_or_closed_task_is_refused(bench: Bench) -> None:
    with pytest.raises(UnknownTask, match="no training event"):
        bench.trainer.close_task("nothing")
    bench.feed(digit_events([0, 1], "first"))
    bench.trainer.close_task("first")
    with pytest.raises(UnknownTask, match="closed"):
        bench.trainer.close_task("first")


def test_a_restart_resumes_with_the_same_weights_and_champion(bench: Bench) -> None:
    bench.feed(digit_events([0, 1], "first"))
    bench.drain()
    bench.trainer.close_task("first")
    bench.feed(digit_events([2, 3], "second"))
    bench.drain()
    before, version, ledger = bench.fingerprint, bench.status.version, bench.status.ledger
    bench.reopen()
    bench.drain()
    bench.trainer.advance(0.0)
    assert bench.fingerprint == before
    assert Artifact.from_files(bench.service.files).version == version
    bench.feed(digit_events([4, 5], "third"))
    bench.drain()
    assert bench.status.ledger.balances
    assert bench.status.ledger.received == ledger.received + 120


def test_checkpoints_do_not_pile_up_while_nothing_is_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.course.CHECKPOINT_AFTER_SECONDS", 0.0)
    bench = Bench(tmp_path, promotion=PromotionSettings(min_interval_seconds=86_400))
    events = digit_events([0, 1], "first")
    for start in range(0, 120, 20):
        bench.feed(events[start : start + 20])
        bench.trainer.advance(0.0)
    files = sorted(file.stem for file in (tmp_path / "trainer" / "checkpoints").iterdir())
    assert files[-1] == "000000006"
    assert len(files) <= len(bench.service.versions)
    weights = bench.fingerprint
    bench.reopen()
    assert bench.fingerprint == weights


def test_the_record_alone_rebuilds_the_weights(bench: Bench, tmp_path: Path) -> None:
    for task, digits in (("low", [0, 1]), ("high", [8, 9])):
        for start in range(0, 120, 40):
            bench.feed(digit_events(digits, task)[start : start + 40])
            bench.drain()
        bench.trainer.close_task(task)
    before = bench.fingerprint
    bench.trainer.end()
    bench.reopen()
    assert bench.fingerprint == before
    with apsw.Connection(str(tmp_path / "trainer" / "state.db")) as database:
        assert database.execute("SELECT count(*) FROM checkpoints").get > 0
        database.execute("DELETE FROM checkpoints")
    bench.reopen()
    assert bench.fingerprint == before


def test_positions_that_bring_nothing_to_learn_are_served_at_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path, promotion=PromotionSettings(min_interval_seconds=0, mode="apprentice"))
    events = digit_events([0, 1], "first")
    probes, training = split(events, "probe"), split(events, "train")
    bench.feed(probes)
    bench.drain()
    assert bench.status.served_position == len(probes)
    bench.feed(training)
    bench.drain()
    assert (bench.status.served_position, bench.status.processed_through) == (len(probes), len(events))


def test_a_service_that_missed_the_champion_is_told_again(bench: Bench) -> None:
    bench.service.knows_all = False
    bench.feed(digit_events([0, 1], "first"))
    bench.drain()
    assert bench.service.generations.count(bench.status.generation) > 1


def test_plain_fine_tuning_is_held_back_by_the_gate(tmp_path: Path) -> None:
    bench = Bench(tmp_path, strategies=[])
    for task, digits in (("low", [0, 1, 2, 3]), ("high", [6, 7, 8, 9])):
        bench.feed(digit_events(digits, task, limit=170))
        bench.drain()
    first = next(task for task in bench.status.tasks if task.task == "low")
    assert bench.status.gate.get("refuse", 0) > 0
    assert first.accuracy is not None
    assert first.accuracy > 0.7
    assert "challenger" in [alias for record in bench.service.versions for alias in record.aliases]


def test_what_the_gate_keeps_back_is_practised_a_few_times_and_rebuilt_from_the_record(tmp_path: Path) -> None:
    bench = Bench(tmp_path, strategies=[])
    for task, digits in (("low", [0, 1, 2, 3]), ("high", [6, 7, 8, 9])):
        bench.feed(digit_events(digits, task, limit=170))
        bench.drain()
    rounds = [news.data["steps"] for news in bench.service.news if news.event == "round"]
    assert bench.status.gate["refuse"] > PRACTICE_ROUNDS
    assert rounds[-PRACTICE_ROUNDS:] == [20] * PRACTICE_ROUNDS
    assert bench.status.ledger.balances
    weights = bench.fingerprint
    bench.reopen()
    assert bench.fingerprint == weights


def test_state_of_another_network_is_refused(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(ForeignState, match="another"):
        Bench(tmp_path, input={"kind": "tensor", "shape": [63]})
