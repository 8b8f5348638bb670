"""Networks that keep tasks apart, measured, stored, rebuilt and served by the whole trainer."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from contracts.errors import InvalidConfiguration
from contracts.labels import LabelSpec
from contracts.versions import FILES, Artifact
from networks.build import from_document
from networks.per_task import TaskNetwork
from networks.settings import MlpSpec
from service.champion import load as load_champion
from service.followers import NO_CHAMPION
from tests.trainer.pipeline import Bench, digit_events
from trainer.catalogue import kinds, strategy_class

KINDS = [kind for kind in kinds() if strategy_class(kind).scenario == "task"]
TASKS = {"low": [0, 1], "middle": [4, 5], "high": [6, 7]}


def bench_with(directory: Path, kind: str, **changes: Any) -> Bench:
    return Bench(directory, strategies=[{"kind": kind}], labels=LabelSpec(scenario="task"), **changes)


def learn(bench: Bench, task: str) -> None:
    events = digit_events(TASKS[task], task, limit=100)
    for start in range(0, len(events), 100):
        bench.feed(events[start : start + 100])
        bench.drain()
    bench.trainer.close_task(task)


def served(bench: Bench) -> TaskNetwork:
    """The champion as a replica loads it from the files it is told."""
    artifact = Artifact.from_files(bench.service.files)
    network = from_document(artifact.model, artifact.weights)
    assert isinstance(network, TaskNetwork)
    network.module.eval()
    return network


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_of_tasks_is_learned_served_and_never_forgotten(kind: str, tmp_path: Path) -> None:
    bench = bench_with(tmp_path, kind)
    rows = torch.randn(20, 64, generator=torch.Generator().manual_seed(0))
    kept: dict[str, torch.Tensor] = {}
    for task in TASKS:
        learn(bench, task)
        network = served(bench)
        kept[task] = network(rows).detach()[:, [column.task == task for column in network.columns]]
        for earlier, answers in kept.items():
            mine = [column.task == earlier for column in network.columns]
            assert torch.equal(network(rows)[:, mine], answers)
    matrix = bench.status.matrix
    assert matrix.tasks == list(TASKS)
    for place in range(len(TASKS)):
        cells = [row[place] for row in matrix.accuracy[place:]]
        assert len(set(cells)) == 1
        assert cells[0] is not None
        assert cells[0] >= 0.9
    assert matrix.backward_transfer == 0.0
    assert list(bench.status.capacity.tasks) == list(TASKS)
    assert bench.status.capacity == network.capacity()
    assert bench.status.gate.get("refuse", 0) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_any_version_is_made_again_from_the_record_bit_for_bit(kind: str, tmp_path: Path) -> None:
    bench = bench_with(tmp_path, kind)
    learn(bench, "low")
    learn(bench, "high")
    before, weights = bench.fingerprint, dict(bench.service.files)
    for path in (tmp_path / "trainer" / "checkpoints").iterdir():
        path.unlink()
    champion = max((tmp_path / "trainer" / "versions").iterdir(), key=lambda path: int(path.name))
    for name in FILES:
        (champion / name).unlink()
    bench.reopen()
    assert bench.fingerprint == before
    assert bench.service.files == weights


@pytest.mark.parametrize("kind", KINDS)
def test_a_restart_goes_on_from_the_checkpoint_bit_for_bit(kind: str, tmp_path: Path) -> None:
    prints = []
    for restarts in (False, True):
        bench = bench_with(tmp_path / str(restarts), kind)
        for task in TASKS:
            learn(bench, task)
            if restarts:
                bench.trainer.end()
                bench.reopen()
        prints.append(bench.fingerprint)
    assert prints[0] == prints[1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_rollback_opens_a_task_again(kind: str, tmp_path: Path) -> None:
    bench = bench_with(tmp_path, kind)
    learn(bench, "low")
    first, version = bench.fingerprint, bench.status.version
    learn(bench, "high")
    bench.trainer.rollback(version)
    assert bench.fingerprint == first
    assert [task.state for task in bench.status.tasks] == ["closed", "open"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_replica_serves_what_was_made_of_the_configured_network(kind: str, tmp_path: Path) -> None:
    bench = bench_with(tmp_path, kind)
    learn(bench, "low")
    serving = load_champion(MlpSpec(hidden=[64]), NO_CHAMPION, bench.service.files)
    labels, _, _ = serving.predictor.predict(np.zeros((2, 64), dtype=np.float32), "low")
    assert set(labels) <= {"0", "1"}
    with pytest.raises(Exception, match="another network"):
        load_champion(MlpSpec(hidden=[32]), NO_CHAMPION, bench.service.files)


def test_another_scenario_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfiguration, match=r"labels\.scenario: task"):
        Bench(tmp_path, strategies=[{"kind": "packnet"}])


def test_state_of_another_sharing_is_not_taken_up(tmp_path: Path) -> None:
    prints = {bench_with(tmp_path / kind, kind).config.fingerprint for kind in KINDS}
    assert len(prints) == len(KINDS)
