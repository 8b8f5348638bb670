"""The registry as the service reads it: opened when it is first needed, asked in threads, and away at times."""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol, TypeVar

from contracts.errors import LifelongError
from contracts.versions import Artifact
from service.errors import PartUnavailable

LOGGER = logging.getLogger(__name__)
Found = TypeVar("Found")


class Versions(Protocol):
    """The calls of a registry that the service makes; each may be slow, and raises a `LifelongError`."""

    def champion(self) -> tuple[int, int] | None:
        """Version and generation of the champion."""
        ...

    def read(self, version: int) -> Artifact:
        """A version, whole."""
        ...

    def versions(self) -> list[int]:
        """The numbers of all versions, in order."""
        ...


class Archive:
    """A registry that is asked without holding up the event loop it is asked from."""

    def __init__(self, open_registry: Callable[[], Versions]) -> None:
        self._open = open_registry
        self._opening = asyncio.Lock()
        self._versions: Versions | None = None

    async def champion(self) -> tuple[int, int] | None:
        """Version and generation of the champion; None when there is none.

        Raises:
            PartUnavailable: `registry_unavailable`.
        """
        return await self._asked(lambda versions: versions.champion())

    async def read(self, version: int) -> Artifact:
        """A version, whole.

        Raises:
            PartUnavailable: `registry_unavailable`.
            LifelongError: the registry has no such version, or not all of it.
        """
        return await self._asked(lambda versions: versions.read(version))

    async def versions(self) -> list[int]:
        """The numbers of all versions, in order.

        Raises:
            PartUnavailable: `registry_unavailable`.
        """
        return await self._asked(lambda versions: versions.versions())

    async def _asked(self, question: Callable[[Versions], Found]) -> Found:
        try:
            async with self._opening:
                if self._versions is None:
                    self._versions = await asyncio.to_thread(self._open)
            return await asyncio.to_thread(question, self._versions)
        except LifelongError:
            raise
        except Exception as error:  # whatever MLflow met, the next look may go well
            LOGGER.exception("the registry could not be asked")
            raise PartUnavailable("registry_unavailable", "the registry does not answer now") from error
