"""Going back: what a rollback or a refusal undoes, what it leaves, and what it may never part."""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.versions import Artifact
from tests.trainer.pipeline import Bench, configuration, digit_events
from trainer.errors import CorruptState, UnknownTask, UnknownVersion
from trainer.policies import PromotionSettings, TaskSettings
from trainer.settings import LearnerSettings

pytestmark = pytest.mark.unit


class Killed(Exception):
    """What happens at the moment of a kill in these tests."""


def kill(*_: object) -> None:
    """Ends the trainer's work where it is called."""
    raise Killed


def two_versions(bench: Bench) -> tuple[int, str]:
    """Learns one task, then another; returns the version after the first and the learner's weights then."""
    bench.feed(digit_events([0, 1], "first"))
    bench.drain()
    version, weights = bench.status.version, bench.fingerprint
    bench.feed(digit_events([2, 3], "second"))
    bench.drain()
    return version, weights


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.log.close()


def test_a_rollback_restores_the_whole_learner(bench: Bench) -> None:
    bench.feed(digit_events([0, 1], "first"))
    bench.drain()
    version, weights = bench.status.version, bench.fingerprint
    bench.feed(digit_events([2, 3], "second"))
    bench.drain()
    assert bench.fingerprint != weights
    assert bench.trainer.rollback(version) == {"version": version, "labels": bench.status.labels}
    assert bench.fingerprint == weights
    assert Artifact.from_files(bench.service.files).version == version
    assert sorted(bench.status.labels) == ["0", "1"]
    bench.feed(digit_events([6, 7], "third"))
    bench.drain()
    after = bench.fingerprint
    bench.reopen()
    assert bench.fingerprint == after


def test_the_list_of_versions_names_the_new_champion_at_once(bench: Bench) -> None:
    version, _ = two_versions(bench)
    bench.trainer.rollback(version)
    assert [each.lineage.version for each in bench.service.versions if "champion" in each.aliases] == [version]


def test_a_rollback_to_what_does_not_exist_is_refused(bench: Bench) -> None:
    with pytest.raises(UnknownVersion, match="no version"):
        bench.trainer.rollback(99)
    with pytest.raises(UnknownVersion, match="before the present"):
        bench.trainer.rollback(None)


def test_a_rollback_to_before_any_feedback_unlearns_everything_and_learning_goes_on(bench: Bench) -> None:
    bench.feed(digit_events([0, 1], "first"))
    bench.drain()
    assert bench.trainer.rollback(1) == {"version": 1, "labels": []}
    assert bench.status.labels == []
    bench.feed(digit_events([6, 7], "second"))
    bench.drain()
    assert sorted(bench.status.labels) == ["6", "7"]
    assert Artifact.from_files(bench.service.files).version == 3


def test_a_rollback_reopens_the_tasks_that_ended_after_its_target(bench: Bench) -> None:
    bench.feed(digit_events([0, 1], None))
    bench.drain()
    version = bench.status.version
    bench.trainer.close_task("task-1")
    bench.feed(digit_events([2, 3], None))
    bench.trainer.close_task("task-2")
    bench.trainer.rollback(version)
    for _ in range(2):
        assert [(task.task, task.state, task.trained > 0) for task in bench.status.tasks] == [
            ("task-1", "open", True),
            ("task-2", "open", False),
        ]
        bench.reopen()
        bench.trainer.advance(0.0)
    with pytest.raises(UnknownTask, match="no training event"):
        bench.trainer.close_task("task-2")
    assert bench.trainer.close_task("task-1")["tasks"] == ["task-1"]


def test_going_back_step_by_step_undoes_version_after_version_and_makes_none(tmp_path: Path) -> None:
    bench = Bench(tmp_path, tasks=TaskSettings(close_after_events=20, close_after_idle_seconds=600))
    for task, digits in (("first", [0, 1]), ("second", [2, 3]), ("third", [4, 5])):
        bench.feed(digit_events(digits, task))
        bench.drain()
    champions = []
    while bench.status.version > 1:
        champions.append(bench.status.version)
        newest = max(record.version for record in bench.service.versions)
        bench.trainer.rollback(None)
        bench.drain()
        assert max(record.version for record in bench.service.versions) == newest
    assert champions == sorted(champions, reverse=True)
    assert len(champions) >= 3
    with pytest.raises(UnknownVersion, match="before the present"):
        bench.trainer.rollback(None)


def test_a_task_whose_closing_the_gate_undoes_is_not_called_closed(tmp_path: Path) -> None:
    promotion = PromotionSettings(min_interval_seconds=0, refused="restore")
    bench = Bench(tmp_path, strategies=[], promotion=promotion)
    bench.feed(digit_events([0, 1, 2, 3], "low", limit=170))
    bench.drain()
    bench.feed(digit_events([6, 7, 8, 9], "high", limit=170))
    answer = bench.trainer.close_task("high")
    assert bench.status.gate["refuse"] == 1
    assert answer == {"task": "high", "closed": False, "tasks": [], "row": []}
    assert [task.state for task in bench.status.tasks] == ["open", "open"]


def test_what_a_person_promotes_sets_the_best_that_the_budget_counts_from(tmp_path: Path) -> None:
    bench = Bench(tmp_path, promotion=PromotionSettings(min_interval_seconds=0, mode="manual"))
    bench.feed(digit_events([0, 1], "first"))
    bench.drain()
    challenger = next(record for record in bench.service.versions if "challenger" in record.aliases)
    assert bench.status.tasks[0].best_accuracy is None
    bench.trainer.rollback(challenger.version)
    assert bench.status.tasks[0].best_accuracy == challenger.probes.accuracy[0] > 0.5
    bench.trainer.rollback(1)
    assert bench.status.tasks[0].best_accuracy == challenger.probes.accuracy[0]


def test_the_best_of_a_task_comes_back_with_the_version_that_knows_it(bench: Bench) -> None:
    early, _ = two_versions(bench)
    late = bench.status.version
    best = next(task.best_accuracy for task in bench.status.tasks if task.task == "second")
    assert best
    bench.trainer.rollback(early)
    bench.feed(digit_events([6, 7], "third"))
    bench.drain()
    bench.trainer.rollback(late)
    assert next(task.best_accuracy for task in bench.status.tasks if task.task == "second") == best


def test_what_a_rollback_undid_does_not_count_as_served(bench: Bench) -> None:
    version, _ = two_versions(bench)
    learned = len(digit_events([0, 1], "first"))
    bench.trainer.rollback(version)
    assert bench.status.served_position == learned < bench.status.processed_through
    bench.reopen()
    bench.trainer.advance(0.0)
    assert bench.status.served_position == learned
    bench.feed(digit_events([4, 5], "third"))
    bench.drain()
    assert bench.status.served_position == bench.status.processed_through


def test_what_a_refusal_undid_does_not_count_as_served(tmp_path: Path) -> None:
    bench = Bench(tmp_path, strategies=[], promotion=PromotionSettings(min_interval_seconds=0, refused="restore"))
    bench.feed(digit_events([0, 1, 2, 3], "low", limit=170))
    bench.drain()
    served = bench.status.served_position
    bench.feed(digit_events([6, 7, 8, 9], "high", limit=170))
    while bench.trainer.advance(0.0) and "refuse" not in bench.status.gate:
        served = bench.status.served_position
    assert bench.status.gate["refuse"] == 1
    assert bench.status.served_position == served < bench.status.processed_through


def test_a_kill_during_a_rollback_leaves_champion_and_learner_together(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    version, weights = two_versions(bench)
    monkeypatch.setattr(bench.service, "announce", kill)
    with pytest.raises(Killed):
        bench.trainer.rollback(version)
    bench.reopen()
    assert Artifact.from_files(bench.service.files).version == version
    assert bench.fingerprint == weights


def two_checkpoints(bench: Bench) -> None:
    """Learns one task, then another, with a checkpoint and a version after each."""
    for task, digits in (("first", [0, 1]), ("second", [2, 3])):
        bench.feed(digit_events(digits, task))
        bench.drain()
        bench.trainer.end()
        bench.reopen()


def test_a_rollback_to_a_damaged_version_is_refused_and_changes_nothing(bench: Bench, tmp_path: Path) -> None:
    two_checkpoints(bench)
    champion, weights = Artifact.from_files(bench.service.files).version, bench.fingerprint
    target = bench.service.versions[-2]
    file = tmp_path / "trainer" / "versions" / str(target.version) / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(UnknownVersion, match="not the file"):
        bench.trainer.rollback(target.version)
    assert bench.fingerprint == weights
    bench.reopen()
    assert Artifact.from_files(bench.service.files).version == champion
    assert bench.fingerprint == weights


def test_a_rollback_past_damaged_checkpoints_trains_the_same_weights_again(bench: Bench, tmp_path: Path) -> None:
    two_checkpoints(bench)
    target = bench.service.versions[-2]
    for file in (tmp_path / "trainer" / "checkpoints").iterdir():
        file.write_bytes(file.read_bytes()[:-1])
    bench.trainer.rollback(target.version)
    assert hashlib.sha256(bench.service.files["weights.safetensors"]).hexdigest() == bench.fingerprint
    assert target.lineage.sha256["weights.safetensors"] == bench.fingerprint


@pytest.mark.parametrize("loss", ["weights.safetensors", "model.json", "lineage.json", "probes.json", "all"])
def test_a_damaged_champion_is_made_again_as_it_was(bench: Bench, tmp_path: Path, loss: str) -> None:
    two_checkpoints(bench)
    files, weights = bench.service.files, bench.fingerprint
    directory = tmp_path / "trainer" / "versions" / str(Artifact.from_files(files).version)
    if loss == "all":
        shutil.rmtree(directory)
    else:
        (directory / loss).write_bytes(b"")
    bench.reopen()
    assert bench.service.files == files
    assert bench.fingerprint == weights
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == files


def test_the_untrained_champion_is_made_again_too(bench: Bench, tmp_path: Path) -> None:
    files = bench.service.files
    (tmp_path / "trainer" / "versions" / "1" / "weights.safetensors").unlink()
    bench.reopen()
    assert bench.service.files == files


def test_a_champion_that_other_arithmetic_made_is_not_replaced_by_another(bench: Bench, tmp_path: Path) -> None:
    two_checkpoints(bench)
    champion = Artifact.from_files(bench.service.files).version
    (tmp_path / "trainer" / "versions" / str(champion) / "weights.safetensors").unlink()
    bench.config = configuration(tmp_path, learner=LearnerSettings(min_steps=20, learning_rate=0.01))
    for file in (tmp_path / "trainer" / "checkpoints").iterdir():
        file.unlink()
    with pytest.raises(CorruptState, match="cannot be made again"):
        bench.reopen()
