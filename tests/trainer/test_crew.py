"""Peers that come, come late, cannot start or are lost, and a trainer's end because of them; Ray itself is replaced."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from ray.exceptions import RayError
from torch.distributed import FileStore  # type: ignore[attr-defined]

from tests.trainer.pipeline import configuration
from trainer.actor import TrainerActor
from trainer.crew import LATE_SECONDS, PATIENT_SECONDS, PEER_SECONDS, Summons
from trainer.errors import PeerLost
from trainer.parallel import Ranks
from trainer.process import EXIT_CODE
from trainer.settings import LearnerSettings

pytestmark = pytest.mark.unit
LEARNER = LearnerSettings(workers=3, num_gpus=1)


class Method(NamedTuple):
    """A remote method."""

    remote: Callable[[], Any]


class Peer:
    """A peer's handle: it answers after so many seconds, by its fault if it has one."""

    def __init__(self, seconds: float, fault: Exception | None = None) -> None:
        self.seconds, self.fault = seconds, fault
        self.ping = Method(lambda: self)


class Cluster:
    """The part of Ray that a summons uses, on a clock of its own."""

    def __init__(self) -> None:
        self.now = 0.0
        self.gpus = 3
        self.known_at: dict[float, int] = {}

    def cluster_resources(self) -> dict[str, float]:
        """The GPUs that Ray knows of by now."""
        known = [gpus for since, gpus in self.known_at.items() if since <= self.now]
        return {"GPU": known[-1] if known else self.gpus}

    def wait(self, pings: Sequence[Peer], num_returns: int, timeout: float) -> tuple[list[Peer], list[Peer]]:
        """Those that have answered, and the others."""
        if any(ping.seconds > self.now for ping in pings[:num_returns]):
            self.now += timeout
        return [each for each in pings if each.seconds <= self.now], [each for each in pings if each.seconds > self.now]

    def get(self, ping: Peer) -> bool:
        """An answer."""
        if ping.fault is not None:
            raise ping.fault
        return True


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    cluster = Cluster()
    for name in ("cluster_resources", "wait", "get"):
        monkeypatch.setattr(f"ray.{name}", getattr(cluster, name))
    monkeypatch.setattr("trainer.crew.time.monotonic", lambda: cluster.now)
    return cluster


def test_peers_that_cannot_start_are_left_out_and_why_is_told(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    well, unwell, late = Peer(2), Peer(1, RayError("no such module")), Peer(PEER_SECONDS + 5, RayError())
    summons = Summons([unwell, well, late])
    assert summons.answered(LEARNER, is_patient=False) == [well]
    assert "no such module" in caplog.text
    cluster.now += 10
    assert not summons.has_more()


def test_a_peer_that_came_late_is_taken_in(cluster: Cluster) -> None:
    summons = Summons([Peer(2), Peer(PEER_SECONDS + 5)])
    assert len(summons.answered(LEARNER, is_patient=False)) == 1
    assert not summons.has_more()
    cluster.now += 10
    assert summons.has_more()


def test_a_trainer_that_starts_again_is_patient_and_then_learns_for_a_while(cluster: Cluster) -> None:
    slow = Summons([Peer(2), Peer(PEER_SECONDS + 5)])
    assert len(slow.answered(LEARNER, is_patient=True)) == 2
    begun = cluster.now
    slower = Summons([Peer(2), Peer(begun + PATIENT_SECONDS + 5)])
    assert len(slower.answered(LEARNER, is_patient=True)) == 1
    cluster.now += 10
    assert not slower.has_more()
    cluster.now += LATE_SECONDS
    assert slower.has_more()


def test_nobody_waits_for_room_that_is_lost_nor_rests_once_it_is_back(cluster: Cluster) -> None:
    cluster.known_at = {0.0: 3, 4.0: 2}
    summons = Summons([Peer(1), Peer(100)])
    assert len(summons.answered(LEARNER, is_patient=True)) == 1
    assert cluster.now < PEER_SECONDS
    cluster.now = 101.0
    assert summons.has_more()


class Deserted:
    """A crew whose peers are gone."""

    def __init__(self, directory: Path) -> None:
        store = FileStore(str(directory / "meeting"), 1)
        self.ranks = Ranks(0, 1, store, torch.device("cpu"))

    def told(self, _call: str, *_arguments: Any) -> AbstractContextManager[None]:
        raise PeerLost


class Ended(BaseException):
    """Stands for the end of the process."""


def end(code: int) -> None:
    raise Ended(code)


def test_a_peer_lost_while_a_trainer_is_put_together_ends_its_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crew = Deserted(tmp_path)
    for place, replacement in {"os._exit": end, "os.nice": abs, "trainer.actor.recruited": lambda *_: crew}.items():
        monkeypatch.setattr(place, replacement)
    try:
        with pytest.raises(Ended, match=str(EXIT_CODE)):
            TrainerActor(configuration(tmp_path).model_dump_json(by_alias=True))
    finally:
        crew.ranks.leave()
