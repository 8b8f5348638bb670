"""The hub: who serves what, how far that has learned, and what it says after a restart."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import msgspec
import pytest

from contracts.erasures import Erasure
from contracts.errors import InvalidArtifact, LifelongError
from contracts.status import News
from contracts.versions import WEIGHTS, Artifact
from service import followers, hub
from service.errors import PartUnavailable
from service.followers import NO_CHAMPION, UNKNOWN, Generation
from service.hub import Hub
from tests.service.versions import ScriptedRegistry, artifact, record, status

pytestmark = pytest.mark.unit


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Runs one coroutine to its end."""
    return asyncio.run(coroutine)


def announced(number: int) -> Generation:
    """A generation that the trainer announced."""
    return Generation(is_announced=True, number=number)


async def document(of: Hub) -> Any:
    """The status document, decoded."""
    return msgspec.json.decode(await of.status())


async def served(of: Hub) -> dict[str, float]:
    """Replicas by version, as they are exported."""
    samples = [sample for family in await of.metrics() for sample in family.samples]
    return {one.labels["version"]: one.value for one in samples if one.name == "lifelong_version_replicas"}


def encoded(**changes: Any) -> bytes:
    """A trainer's status as it is sent."""
    return msgspec.json.encode(status(**changes))


def test_a_follower_hears_of_a_promotion_while_it_waits() -> None:
    async def scenario() -> None:
        one = Hub("pets")
        waiting = asyncio.create_task(one.follow("a", NO_CHAMPION, UNKNOWN))
        await asyncio.sleep(0)
        await one.announce(1, artifact(7, weights=b"").files())
        update = await waiting
        assert (update.settled, update.generation) == (True, announced(1))
        assert Artifact.from_files(update.files or {}).version == 7

    run(scenario())


def test_a_hub_that_knows_nothing_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "POLL_SECONDS", 0.01)

    async def scenario() -> None:
        one = Hub("pets")
        assert await one.follow("a", NO_CHAMPION, UNKNOWN) == (False, NO_CHAMPION, None)
        await one.report(encoded(version=0, generation=0))
        assert await one.follow("a", NO_CHAMPION, UNKNOWN) == (True, NO_CHAMPION, None)

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
        await one.follow("a", announced(2), announced(2))
        await one.follow("b", announced(1), announced(2))
        behind = await document(one)
        assert (behind["served_through"], behind["replicas"]) == (10, {"serving": 1, "behind": 1})
        await one.follow("b", announced(2), announced(2))
        assert (await document(one))["served_through"] == 20
        await one.report(encoded(generation=2, served_position=25))
        assert (await document(one))["served_through"] == 25
        await one.follow("c", NO_CHAMPION, announced(2))
        assert (await document(one))["served_through"] == 0
        await one.leave("c")
        assert (await document(one))["served_through"] == 25

    run(scenario())


def test_versions_are_counted_that_live_replicas_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "POLL_SECONDS", 0.001)

    async def scenario() -> None:
        one = Hub("pets")
        await one.announce(1, artifact(7, weights=b"").files())
        await one.announce(2, artifact(8, weights=b"").files())
        await one.announce(3, artifact(7, weights=b"").files())
        assert await served(one) == {}
        for replica, generation in (("a", 1), ("b", 2), ("c", 3)):
            await one.follow(replica, announced(generation), announced(3))
        assert await served(one) == {"7": 2, "8": 1}
        await one.follow("b", announced(3), announced(3))
        await one.follow("d", NO_CHAMPION, announced(3))
        assert await served(one) == {"7": 3}
        await one.leave("a")
        assert await served(one) == {"7": 2}

    run(scenario())


def test_a_certificate_says_who_still_answers_by_a_withdrawn_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "POLL_SECONDS", 0.001)

    async def scenario() -> None:
        one = Hub("pets", lambda: ScriptedRegistry(generation=0))
        erasure = Erasure(id="e1", subject_sha256="0" * 64, state="done", asked_at=1.0, withdrawn=[7], version=8)
        with pytest.raises(PartUnavailable):
            await one.erasure("e1")
        await one.certify([msgspec.json.encode(erasure)])
        await one.announce(1, artifact(7, weights=b"").files())
        await one.announce(2, artifact(8, weights=b"").files())
        await one.follow("a", announced(1), announced(2))
        await one.follow("b", announced(2), announced(2))
        expected = msgspec.to_builtins(erasure) | {"answering": 1}
        assert msgspec.json.decode(await one.erasure("e1") or b"") == expected
        assert msgspec.json.decode(await one.erasures()) == {"erasures": [expected]}
        await one.follow("a", announced(2), announced(2))
        assert msgspec.json.decode(await one.erasure("e1") or b"")["answering"] == 0
        assert await one.erasure("e2") is None
        assert await one.files(7) is None
        assert await one.files(8)

    run(scenario())


def test_a_restarted_hub_counts_the_versions_that_it_knows_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "POLL_SECONDS", 0.001)

    async def scenario() -> None:
        one = Hub("pets")
        await one.follow("a", announced(2), announced(2))
        await one.follow("b", announced(1), announced(2))
        assert await served(one) == {}
        await one.announce(2, artifact(8, weights=b"").files())
        assert await served(one) == {"8": 1}

    run(scenario())


def test_a_replica_not_heard_of_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(followers, "LIVE_SECONDS", -1.0)

    async def scenario() -> None:
        one = Hub("pets")
        await one.announce(1, artifact(1, processed_through=10, weights=b"").files())
        await one.follow("a", announced(1), announced(1))
        assert (await document(one))["replicas"] == {"serving": 0, "behind": 0}
        assert await served(one) == {}

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
        update = await one.follow("a", NO_CHAMPION, UNKNOWN)
        assert registry.faults == []
        assert (update.settled, update.generation) == (True, Generation(is_announced=False, number=generation))

    run(scenario())


def test_a_trainer_that_counts_anew_beats_what_was_adopted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "REPAIR_SECONDS", 0.001)
    monkeypatch.setattr(hub, "SILENT_SECONDS", 0.0)

    async def scenario() -> None:
        one = Hub("pets", lambda: ScriptedRegistry(50))
        adopted = await one.follow("a", NO_CHAMPION, UNKNOWN)
        assert Artifact.from_files(adopted.files or {}).version == 9
        assert (await one.report(encoded(generation=1)))["generation"] == 0
        await one.announce(1, artifact(1, weights=b"").files())
        update = await one.follow("a", adopted.generation, adopted.generation)
        assert Artifact.from_files(update.files or {}).version == 1
        assert (await document(one))["generation"] == 1

    run(scenario())


def test_a_restarted_hub_learns_from_a_replica_that_a_trainer_announced_what_the_registry_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hub, "REPAIR_SECONDS", 0.001)
    monkeypatch.setattr(hub, "SILENT_SECONDS", 0.0)

    async def scenario() -> None:
        one = Hub("pets", lambda: ScriptedRegistry(3))
        update = await one.follow("a", announced(3), announced(3))
        assert (update.settled, update.files) == (True, None)
        assert (await document(one))["replicas"] == {"serving": 1, "behind": 0}

    run(scenario())
