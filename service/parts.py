"""What a replica asks of the other processes; the Ray application gives it handles of them, a test the objects."""

from typing import Protocol

from prometheus_client.core import Metric

from service.counts import Increments
from service.followers import Generation
from service.hub import Update


class FollowedHub(Protocol):
    """The calls of a hub that keep a replica up to date. Each raises `PartUnavailable` while the hub is away."""

    async def follow(self, replica: str, serving: Generation, known: Generation) -> Update:
        """See `Hub.follow`."""
        ...

    async def leave(self, replica: str) -> None:
        """See `Hub.leave`."""
        ...

    async def refuse(self, replica: str, generation: Generation, error: str, detail: str) -> None:
        """See `Hub.refuse`."""
        ...

    async def count(self, increments: Increments) -> None:
        """See `Hub.count`."""
        ...


class AskedHub(FollowedHub, Protocol):
    """The calls of a hub that answer routes, all of them."""

    async def status(self) -> bytes:
        """See `Hub.status`."""
        ...

    async def matrix(self) -> bytes:
        """See `Hub.matrix`."""
        ...

    async def versions(self, max_results: int, before: int | None) -> bytes:
        """See `Hub.versions`."""
        ...

    async def version(self, version: int) -> bytes | None:
        """See `Hub.version`."""
        ...

    async def erasures(self) -> bytes:
        """See `Hub.erasures`."""
        ...

    async def erasure(self, erasure: str) -> bytes | None:
        """See `Hub.erasure`."""
        ...

    async def registered(self) -> list[int]:
        """See `Hub.registered`."""
        ...

    async def files(self, version: int) -> dict[str, bytes] | None:
        """See `Hub.files`."""
        ...

    async def withdraws(self, version: int) -> bool:
        """See `Hub.withdraws`."""
        ...

    async def news(self, since: int | None) -> tuple[int, list[bytes]]:
        """See `Hub.news`."""
        ...

    async def metrics(self) -> list[Metric]:
        """See `Hub.metrics`."""
        ...


class AskedTrainer(Protocol):
    """What routes ask of the trainer: JSON, either the document or `{"error", "detail"}`.

    Each raises `PartUnavailable` while the trainer is away.
    """

    async def close_task(self, task: str) -> bytes:
        """Ends a task: everything accepted for it is learned, consolidated and measured."""
        ...

    async def rollback(self, version: int | None) -> bytes:
        """Serves an earlier version again; None: the one before the champion."""
        ...

    async def erase(self, subject: str) -> bytes:
        """Takes a request to forget a subject; once this answers, it is on disk."""
        ...
