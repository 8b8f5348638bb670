"""The two halves as programs: what ends them."""

from pathlib import Path

import pytest

from contracts.errors import InvalidConfiguration
from contracts.inputs import TensorInput
from contracts.status import trainer_name
from lifelong.errors import ClusterLost
from lifelong.halves import _wait, run_service, run_trainers
from lifelong.settings import Settings
from lifelong.up import Place

pytestmark = pytest.mark.unit


def test_a_trainer_that_is_not_started_again_ends_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    running = [trainer_name("pets")]

    def get_actor(name: str, **_place: str) -> str:
        if name not in running:
            raise ValueError
        return name

    def sleep(_seconds: float) -> None:
        running.clear()

    monkeypatch.setattr("ray.get_actor", get_actor)
    monkeypatch.setattr("time.sleep", sleep)
    with pytest.raises(ClusterLost, match="pets"):
        _wait([], ["pets"])


def test_what_cannot_be_built_is_said_before_a_cluster_is_joined(tmp_path: Path) -> None:
    settings = Settings(model="pets", input=TensorInput(shape=(2,)), strategies=[{"kind": "ewk"}])
    with pytest.raises(InvalidConfiguration, match="did you mean: ewc"):
        run_service([settings], Place(tmp_path, "127.0.0.1", 0), "nowhere")
    with pytest.raises(InvalidConfiguration, match="did you mean: ewc"):
        run_trainers([settings], tmp_path, "nowhere", is_here=False)
