"""A part in another process: found by its name, lost with any fault of Ray's, found again."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from ray.exceptions import ActorDiedError, ObjectLostError, RayTaskError

from service.errors import PartUnavailable
from service.followers import NO_CHAMPION, UNKNOWN
from service.remote import HubActor, RemoteActor
from tests.service.versions import artifact

pytestmark = pytest.mark.unit


class ScriptedMethod:
    """A remote method; each call's answer is the next of a script, an exception is raised when it is awaited."""

    def __init__(self, script: Sequence[Any]) -> None:
        self._script = list(script)

    async def remote(self) -> Any:
        """The next answer."""
        answer = self._script.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class ScriptedActor:
    """A handle with one method."""

    def __init__(self, *script: Any) -> None:
        self.status = ScriptedMethod(script)


class Names:
    """Where actors are found: each look finds the next of a script."""

    def __init__(self, *actors: ScriptedActor) -> None:
        self._actors = list(actors)

    def find(self, _name: str) -> ScriptedActor:
        """The actor that has the name now."""
        return self._actors.pop(0)


@pytest.mark.parametrize(
    "fault",
    [ActorDiedError(), ObjectLostError("0", "", ""), RayTaskError("status", "a traceback", ZeroDivisionError())],
)
def test_any_fault_of_rays_is_a_part_that_is_away_and_is_looked_up_again(
    monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    names = Names(ScriptedActor("well", fault), ScriptedActor("well again"))
    monkeypatch.setattr("service.remote._find", names.find)
    actor = RemoteActor("hub:pets", "hub", 5.0)

    async def scenario() -> None:
        assert await actor.call("status") == "well"
        with pytest.raises(PartUnavailable) as away:
            await actor.call("status")
        assert away.value.code == "hub_unavailable"
        assert await actor.call("status") == "well again"

    asyncio.run(scenario())


def test_files_that_were_lost_with_the_hub_are_a_part_that_is_away_too(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(ScriptedActor("well"), ScriptedActor("well again"))
    monkeypatch.setattr("service.remote._find", names.find)
    actor = RemoteActor("hub:pets", "hub", 5.0)

    async def lost() -> None:
        raise ObjectLostError("0", "", "")

    async def scenario() -> None:
        assert await actor.call("status") == "well"
        with pytest.raises(PartUnavailable):
            await actor.fetch(lost())
        assert await actor.call("status") == "well again"

    asyncio.run(scenario())


def test_a_champions_files_are_put_into_the_object_store_once(monkeypatch: pytest.MonkeyPatch) -> None:
    stored: list[Any] = []
    monkeypatch.setattr("ray.put", lambda files: stored.append(files) or len(stored))
    versions = [artifact(number).files() for number in (1, 2)]

    async def scenario() -> None:
        hub = HubActor("pets")
        for number, files in enumerate(versions, start=1):
            await hub.announce(number, files)
            for replica in ("one", "other"):
                update = await hub.follow(replica, NO_CHAMPION, UNKNOWN)
                assert (update.generation.number, update.files) == (number, number)
            assert (await hub.follow("one", update.generation, update.generation)).files is None

    asyncio.run(scenario())
    assert stored == versions
