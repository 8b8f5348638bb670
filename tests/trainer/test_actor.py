"""The trainer's link to the hub: looked up again when it is lost, and sent again what it lacks, once."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec
import pytest
from ray.exceptions import ActorDiedError

from contracts.status import TrainerStatus
from tests.service.versions import record, status
from trainer.actor import HubLink

pytestmark = pytest.mark.unit


class Method(NamedTuple):
    """A remote method, carried out at once or, by a busy actor, when its answer is waited for."""

    remote: Callable[..., Any]


class HubActor:
    """A hub's handle, and the names of the calls that reached it; a dead one answers nothing, a busy one later."""

    def __init__(self) -> None:
        self.is_dead = False
        self.is_busy = False
        self.calls: list[str] = []
        self._known = {"generation": 0, "versions": 0}

    @property
    def announce(self) -> Method:
        """Learns of a champion."""
        return self._method("announce", lambda generation, _files: {"generation": generation})

    @property
    def remember(self) -> Method:
        """Learns of the versions."""
        return self._method("remember", lambda versions: {"versions": len(versions)})

    @property
    def report(self) -> Method:
        """Answers what it knows."""
        return self._method("report", lambda _status: {})

    def _method(self, name: str, learn: Callable[..., dict[str, int]]) -> Method:
        def heard(*arguments: Any) -> dict[str, int]:
            self.calls.append(name)
            self._known = self._known | learn(*arguments)
            return self._known

        def remote(*arguments: Any) -> Any:
            if self.is_dead:
                return ActorDiedError()
            return partial(heard, *arguments) if self.is_busy else heard(*arguments)

        return Method(remote)


class Cluster:
    """The part of Ray that the link uses: at most one hub under its name, and its answers."""

    def __init__(self) -> None:
        self.hub: HubActor | None = HubActor()

    def get_actor(self, _name: str, **_place: str) -> HubActor:
        """The hub that has the name now."""
        if self.hub is None:
            raise ValueError
        return self.hub

    def wait(
        self, answers: Sequence[Any], num_returns: int = 1, timeout: float = 0.0
    ) -> tuple[Sequence[Any], Sequence[Any]]:
        """All answers are there, those of a busy hub once so many are waited for."""
        for late in filter(callable, answers[:num_returns] if timeout else []):
            late()
        return answers, []

    def get(self, answer: Any) -> Any:
        """The answer, or the fault that took its place."""
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    cluster = Cluster()
    for name in ("get_actor", "wait", "get"):
        monkeypatch.setattr(f"ray.{name}", getattr(cluster, name))
    return cluster


def report(link: HubLink, generation: int) -> None:
    """What the reporter does: reports, and sends again what is lacking."""
    told: TrainerStatus = msgspec.structs.replace(status(), generation=generation)
    if not link.report(told):
        link.announce(generation, {})
        link.remember([record(1)])


def begun(cluster: Cluster) -> HubLink:
    """A link over which a first version was announced and reported."""
    link = HubLink("pets")
    link.announce(1, {})
    link.remember([record(1)])
    report(link, 1)
    return link


def test_a_promotion_is_sent_once(cluster: Cluster) -> None:
    link = begun(cluster)
    assert cluster.hub is not None
    cluster.hub.calls.clear()
    link.announce(2, {})
    report(link, 2)
    report(link, 2)
    assert cluster.hub.calls == ["announce", "report", "report"]


def test_a_command_waits_until_a_busy_hub_has_heard_all_that_came_of_it(cluster: Cluster) -> None:
    link = begun(cluster)
    assert cluster.hub is not None
    cluster.hub.is_busy = True
    cluster.hub.calls.clear()
    link.announce(2, {})
    report(link, 2)
    assert cluster.hub.calls == []
    link.wait_heard()
    assert sorted(cluster.hub.calls) == ["announce", "report"]


def test_a_hub_that_follows_a_dead_one_is_found_and_sent_everything(cluster: Cluster) -> None:
    link = begun(cluster)
    assert cluster.hub is not None
    cluster.hub.is_dead = True
    cluster.hub = None
    for _ in range(3):
        report(link, 1)
    cluster.hub = successor = HubActor()
    for _ in range(4):
        report(link, 1)
    assert successor.calls == ["report", "report", "announce", "remember", "report", "report"]


def test_a_hub_that_has_the_champion_but_no_versions_is_sent_them(cluster: Cluster) -> None:
    link = HubLink("pets")
    link.announce(1, {})
    for _ in range(4):
        report(link, 1)
    assert cluster.hub is not None
    assert cluster.hub.calls == ["announce", "report", "report", "announce", "remember", "report", "report"]
