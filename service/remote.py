"""A model's hub and trainer in their own processes: Ray actors, found by name and found again when they were lost."""

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any, cast

import ray
from prometheus_client.core import Metric
from ray.actor import ActorHandle
from ray.exceptions import RayError, RayTaskError

from contracts.errors import LifelongError
from contracts.status import NAMESPACE, hub_name, trainer_name
from service.counts import Increments
from service.errors import PartUnavailable
from service.followers import UNKNOWN, Generation
from service.hub import Hub, Update

LOGGER = logging.getLogger(__name__)
HUB_SECONDS = 5.0
TRAINER_SECONDS = 600.0
"""Closing a task waits for all of its feedback to be learned."""


class RemoteActor:
    """Calls a named actor, found when it is first needed and again after it died."""

    def __init__(self, name: str, part: str, seconds: float) -> None:
        self._name = name
        self._part = part
        self._seconds = seconds
        self._handle: ActorHandle[Any] | None = None

    async def call(self, method: str, *arguments: Any) -> Any:
        """The method's result.

        Raises:
            LifelongError: what the method itself raised.
            PartUnavailable: `hub_unavailable` or `trainer_unavailable`: there is no such actor, no answer in time, or a
                fault instead of one.
        """

        async def asked() -> Any:
            handle = self._handle = self._handle or await asyncio.to_thread(_find, self._name)
            return await getattr(handle, method).remote(*arguments)

        return await self._in_time(asked(), method)

    async def fetch(self, kept: Awaitable[Any]) -> Any:
        """What the actor has put into the object store; raises as `call` does."""
        return await self._in_time(kept, "fetch")

    async def _in_time(self, answer: Awaitable[Any], method: str) -> Any:
        try:
            return await asyncio.wait_for(answer, self._seconds)
        except (RayError, LookupError, TimeoutError) as error:
            if isinstance(error, RayTaskError) and isinstance(error.cause, LifelongError):
                raise error.cause from None
            self._handle = None
            if isinstance(error, RayTaskError):
                LOGGER.error("the %s failed in %s", self._part, method, exc_info=error)
            detail = f"the {self._part} does not answer now; it is restarted by itself"
            raise PartUnavailable(f"{self._part}_unavailable", detail) from error


class HubActor(Hub):
    """The hub as Ray runs it: a champion's files lie in the object store once, and go to each node once."""

    _kept: tuple[Generation, Any] = UNKNOWN, None

    async def follow(self, replica: str, serving: Generation, known: Generation) -> Update:
        """As `Hub` has it, but with a reference in the place of the files: `RemoteHub` fetches what it stands for."""
        update = await super().follow(replica, serving, known)
        if update.files is None:
            return update
        if self._kept[0] != update.generation:
            self._kept = update.generation, ray.put(update.files)
        return update._replace(files=self._kept[1])


class RemoteHub:
    """An `AskedHub` in another process; see `Hub` for what each call does."""

    def __init__(self, model: str) -> None:
        self._actor = RemoteActor(hub_name(model), "hub", HUB_SECONDS)

    async def follow(self, replica: str, serving: Generation, known: Generation) -> Update:
        """See `Hub.follow`."""
        update: Update = await self._actor.call("follow", replica, serving, known)
        if isinstance(update.files, ray.ObjectRef):
            return update._replace(files=await self._actor.fetch(update.files))
        return update

    async def leave(self, replica: str) -> None:
        """See `Hub.leave`."""
        await self._actor.call("leave", replica)

    async def refuse(self, replica: str, generation: Generation, error: str, detail: str) -> None:
        """See `Hub.refuse`."""
        await self._actor.call("refuse", replica, generation, error, detail)

    async def count(self, increments: Increments) -> None:
        """See `Hub.count`."""
        await self._actor.call("count", increments)

    async def status(self) -> bytes:
        """See `Hub.status`."""
        return cast("bytes", await self._actor.call("status"))

    async def matrix(self) -> bytes:
        """See `Hub.matrix`."""
        return cast("bytes", await self._actor.call("matrix"))

    async def versions(self, max_results: int, before: int | None) -> bytes:
        """See `Hub.versions`."""
        return cast("bytes", await self._actor.call("versions", max_results, before))

    async def version(self, version: int) -> bytes | None:
        """See `Hub.version`."""
        return cast("bytes | None", await self._actor.call("version", version))

    async def erasures(self) -> bytes:
        """See `Hub.erasures`."""
        return cast("bytes", await self._actor.call("erasures"))

    async def erasure(self, erasure: str) -> bytes | None:
        """See `Hub.erasure`."""
        return cast("bytes | None", await self._actor.call("erasure", erasure))

    async def registered(self) -> list[int]:
        """See `Hub.registered`."""
        return cast("list[int]", await self._actor.call("registered"))

    async def files(self, version: int) -> dict[str, bytes] | None:
        """See `Hub.files`."""
        return cast("dict[str, bytes] | None", await self._actor.call("files", version))

    async def withdraws(self, version: int) -> bool:
        """See `Hub.withdraws`."""
        return cast("bool", await self._actor.call("withdraws", version))

    async def news(self, since: int | None) -> tuple[int, list[bytes]]:
        """See `Hub.news`."""
        return cast("tuple[int, list[bytes]]", await self._actor.call("news", since))

    async def metrics(self) -> list[Metric]:
        """See `Hub.metrics`."""
        return cast("list[Metric]", await self._actor.call("metrics"))


class RemoteTrainer:
    """An `AskedTrainer` in another process."""

    def __init__(self, model: str) -> None:
        self._actor = RemoteActor(trainer_name(model), "trainer", TRAINER_SECONDS)

    async def close_task(self, task: str) -> bytes:
        """See `AskedTrainer.close_task`."""
        return cast("bytes", await self._actor.call("close_task", task))

    async def rollback(self, version: int | None) -> bytes:
        """See `AskedTrainer.rollback`."""
        return cast("bytes", await self._actor.call("rollback", version))

    async def erase(self, subject: str) -> bytes:
        """See `AskedTrainer.erase`."""
        return cast("bytes", await self._actor.call("erase", subject))


def _find(name: str) -> ActorHandle[Any]:
    try:
        return ray.get_actor(name, namespace=NAMESPACE)
    except ValueError as error:
        raise LookupError(name) from error
