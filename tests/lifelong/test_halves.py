"""The two halves as programs: what ends them."""

import pytest

from contracts.status import trainer_name
from lifelong.errors import ClusterLost
from lifelong.halves import _wait

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
