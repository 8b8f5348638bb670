"""Every strategy in the service's own trainer: versions come out, and the record rebuilds them bit for bit."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from contracts.labels import LabelSpec
from contracts.versions import Artifact
from networks.build import from_document
from tests.trainer.pipeline import Bench, digit_events
from trainer.catalogue import kinds, strategy_class

SETTINGS: dict[str, dict[str, Any]] = {
    "generative": {"hidden": [32], "latent": 8},
    "gdumb": {"capacity": 60, "epochs": 3},
    "packnet": {"keep": 0.4, "epochs": 1},
}
"""What makes a strategy quick on a hundred digits; any other runs with its defaults."""


def made(directory: Path, kind: str) -> Bench:
    scenario = strategy_class(kind).scenario or "class"
    strategies = [{"kind": kind, **SETTINGS.get(kind, {})}]
    return Bench(directory, strategies=strategies, labels=LabelSpec(scenario=scenario))


@pytest.mark.parametrize("kind", kinds())
def test_a_strategy_serves_versions_that_the_record_rebuilds(kind: str, tmp_path: Path) -> None:
    bench = made(tmp_path, kind)
    for task, digits in (("low", [0, 1]), ("high", [8, 9])):
        bench.feed(digit_events(digits, task))
        bench.drain()
        bench.trainer.close_task(task)
    weights, files = bench.fingerprint, bench.service.files
    artifact = Artifact.from_files(files)
    assert artifact.version > 1
    assert len(artifact.model.columns) == 4
    assert from_document(artifact.model, artifact.weights).weights() == artifact.weights
    shutil.rmtree(tmp_path / "trainer" / "checkpoints")
    shutil.rmtree(tmp_path / "trainer" / "versions")
    bench.reopen()
    assert bench.fingerprint == weights
    assert bench.service.files == files
