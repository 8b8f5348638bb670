"""The hub: who serves what, how far that has learned, and what it says after a restart."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from contracts.errors import InvalidArtifact, LifelongError
from contracts.status import News
from contracts.versions import WEIGHTS, Artifact
from service import followers, hub
from service.hub import Hub
from tests.service.versions import artifact, record, status

pytestmark = pytest.mark.unit


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Runs one coroutine to its end."""
    return asyncio.run(coroutine)


async def document(of: Hub) -> Any:
    """The status document, decoded."""
    return msgspec.json.decode(await of.status())


def encoded(**changes: Any) -> bytes:
    """A trainer's status as it is sent."""
    return msgspec.json.encode(status(**changes))


def test_a_follower_hears_of_a_promotion_while_it_waits() -> None:
    async def scenario() -> None:
        one = Hub("pets")
        waiting = asyncio.create_task(one.follow("a", 0, -1))
        await asyncio.sleep(0)
        await one.announce(1, artifact(7, weights=b"").files())
        update = await waiting
        assert (update.settled, update.generation) == (True, 1)
        assert Artifact.from_files(update.files or {}).version == 7

    run(scenario())


def test_a_hub_that_knows_nothing_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "POLL_SECONDS", 0.01)

    async def scenario() -> None:
        one = Hub("pets")
        assert await one.follow("a", 0, -1) == (False, 0, None)
        await one.report(encoded(version=0, generation=0))
        assert await one.follow("a", 0, -1) == (True, 0, None)

    run(scenario())


def test_an_older_generation_changes_nothing() -> None:
    async def scenario() -> None:
        one = Hub("pets")
        await one.announce(5, artifact(2, weights=b"").files())
        await one.announce(5, artifact(3, weights=b"").files())
        await one.announce(4, artifact(4, weights=b"").files())
        assert (await document(one))["version"] == 2

    run(scenario())


def test_altered_files_are_refused_and_the_champion_stays() -> None:
    async def scenario() -> None:
        one = Hub("pets")
        await one.announce(1, artifact(1, weights=b"").files())
        with pytest.raises(InvalidArtifact):
            await one.announce(2, artifact(2, weights=b"").files() | {WEIGHTS: b"altered"})
        assert (await document(one))["version"] == 1

    run(scenario())


def test_served_through_is_that_of_the_replica_furthest_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "POLL_SECONDS", 0.001)

    async def scenario() -> None:
        one = Hub("pets")
        assert (await document(one))["served_through"] == 0
        await one.announce(1, artifact(1, processed_through=10, weights=b"").files())
        await one.announce(2, artifact(2, processed_through=20, weights=b"").files())
        await one.follow("a", 2, 2)
        await one.follow("b", 1, 2)
        behind = await document(one)
        assert (behind["served_through"], behind["replicas"]) == (10, {"serving": 1, "behind": 1})
        await one.follow("b", 2, 2)
        assert (await document(one))["served_through"] == 20
        await one.report(encoded(generation=2, served_position=25))
        assert (await document(one))["served_through"] == 25
        await one.follow("c", 0, 2)
        assert (await document(one))["served_through"] == 0
        await one.leave("c")
        assert (await document(one))["served_through"] == 25

    run(scenario())


def test_a_replica_not_heard_of_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(followers, "LIVE_SECONDS", -1.0)

    async def scenario() -> None:
        one = Hub("pets")
        await one.announce(1, artifact(1, processed_through=10, weights=b"").files())
        await one.follow("a", 1, 1)
        assert (await document(one))["replicas"] == {"serving": 0, "behind": 0}

    run(scenario())


def test_a_report_tells_the_trainer_what_the_hub_lacks() -> None:
    async def scenario() -> None:
        one = Hub("pets")
        assert await one.report(encoded()) == {"generation": 0, "versions": 0}
        await one.announce(1, artifact(1, weights=b"").files())
        await one.remember([msgspec.json.encode(record(version)) for version in (1, 2)])
        assert await one.report(encoded()) == {"generation": 1, "versions": 2}

    run(scenario())


def test_versions_are_paged_newest_first() -> None:
    async def scenario() -> None:
        one = Hub("pets")
        await one.remember([msgspec.json.encode(record(version)) for version in (1, 2, 3)])
        first = msgspec.json.decode(await one.versions(2, None))
        assert [version["version"] for version in first["versions"]] == [3, 2]
        second = msgspec.json.decode(await one.versions(2, int(first["next_page_token"])))
        assert [version["version"] for version in second["versions"]] == [1]
        assert second["next_page_token"] is None
        assert await one.version(4) is None
        assert msgspec.json.decode(await one.version(3) or b"")["version"] == 3

    run(scenario())


def test_news_are_read_from_where_a_stream_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "POLL_SECONDS", 0.01)
    item = msgspec.json.encode(News(event="task", time=1.0, data={}))

    async def scenario() -> None:
        one = Hub("pets")
        assert await one.news(None) == (0, [])
        waiting = asyncio.create_task(one.news(0))
        await asyncio.sleep(0)
        await one.narrate([item, item])
        assert await waiting == (2, [item, item])
        assert await one.news(1) == (2, [item])
        assert await one.news(2) == (2, [])
        assert await one.news(99) == (2, [item, item])

    run(scenario())


def test_news_are_bounded() -> None:
    async def scenario() -> None:
        one = Hub("pets")
        await one.narrate([b"{}"] * (hub.NEWS_KEPT + 5))
        last, items = await one.news(0)
        assert (last, len(items)) == (hub.NEWS_KEPT + 5, hub.NEWS_KEPT)

    run(scenario())


def test_event_counts_become_news_when_they_change() -> None:
    async def scenario() -> None:
        one = Hub("pets")
        await one.report(encoded())
        await one.report(encoded())
        last, items = await one.news(0)
        assert last == 1
        assert msgspec.json.decode(items[0])["data"]["received"] == 10

    run(scenario())


@dataclass
class ScriptedRegistry:
    """A registry with one champion; the next `faults` are raised first, one a look."""

    generation: int
    faults: list[Exception] = field(default_factory=list)

    def champion(self) -> tuple[int, int] | None:
        """Version 9 at the scripted generation."""
        if self.faults:
            raise self.faults.pop(0)
        return (9, self.generation) if self.generation else None

    def read(self, version: int) -> Artifact:
        """The version's files."""
        return artifact(version, weights=b"")


@pytest.mark.parametrize("generation", [0, 3])
def test_without_a_trainer_the_registry_is_asked_until_it_answers(
    monkeypatch: pytest.MonkeyPatch, generation: int
) -> None:
    monkeypatch.setattr(hub, "REPAIR_SECONDS", 0.001)
    monkeypatch.setattr(hub, "SILENT_SECONDS", 0.0)
    down = LifelongError("registry_unavailable", "the registry does not answer")
    registry = ScriptedRegistry(generation, [down, ZeroDivisionError(), down])

    async def scenario() -> None:
        one = Hub("pets", lambda: registry)
        update = await one.follow("a", 0, -1)
        assert registry.faults == []
        assert (update.settled, update.generation) == (True, generation)

    run(scenario())
