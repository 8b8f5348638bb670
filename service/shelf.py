"""Versions that are not the champion, loaded because a request named them."""

import asyncio
import time
from collections import OrderedDict
from contextlib import suppress
from typing import Protocol

from contracts.errors import LifelongError
from service.champion import Champion, Load, Serving
from service.errors import PartUnavailable, RequestFault
from service.followers import Generation

KEPT = 2
"""Each is a whole network in memory."""
REFUSED_SECONDS = 2.0
"""So long a version that could not be had is refused without looking again."""
MAX_REFUSED = 1000
TRUSTED_SECONDS = 1.0
"""So long a loaded version answers without being asked after: an erasure may have withdrawn it."""
VERSION_DIGITS = 9


class Files(Protocol):
    """Where the files of registered versions come from: the hub."""

    async def files(self, version: int, /) -> dict[str, bytes] | None:
        """See `Hub.files`."""
        ...

    async def withdraws(self, version: int, /) -> bool:
        """See `Hub.withdraws`."""
        ...


class Shelf:
    """Gives any registered version to answer with; the last two that were asked for stay loaded."""

    def __init__(self, champion: Champion, hub: Files, loader: Load) -> None:
        self._champion = champion
        self._hub = hub
        self._load = loader
        self._loaded: OrderedDict[int, tuple[Serving, float]] = OrderedDict()
        self._loading: dict[int, asyncio.Task[Serving]] = {}
        self._refused: dict[int, tuple[float, RequestFault]] = {}

    async def get(self, version: int | None) -> Serving:
        """The named version, or the champion for None; once loaded it is served from memory.

        Raises:
            RequestFault: `unknown_version`, or `version_not_kept` for one that cannot be loaded any more; without a
                version as `Champion.require`.
            PartUnavailable: the hub or the registry is away.
        """
        champion = self._champion.serving
        if version is None or (champion is not None and champion.version == version):
            return self._champion.require()
        if version in self._loaded and not await self._is_withdrawn(version):
            self._loaded.move_to_end(version)
            return self._loaded[version][0]
        self._check_refused(version)
        if version not in self._loading:
            self._loading[version] = asyncio.create_task(self._read(version))
        return await asyncio.shield(self._loading[version])

    async def _is_withdrawn(self, version: int) -> bool:
        """Takes a withdrawn version off the shelf; while the hub is away, nothing is."""
        (serving, asked_at), now = self._loaded[version], time.monotonic()
        if now - asked_at < TRUSTED_SECONDS:
            return False
        self._loaded[version] = serving, now
        with suppress(PartUnavailable):
            if await self._hub.withdraws(version):
                self._loaded.pop(version, None)
        return version not in self._loaded

    async def _read(self, version: int) -> Serving:
        try:
            files = await self._hub.files(version)
            if files is None:
                raise RequestFault("unknown_version", "the registry holds no such version, or not all of it")
            serving = await asyncio.to_thread(self._load, Generation(is_announced=False, number=0), files)
        except PartUnavailable:
            raise
        except RequestFault as error:
            raise self._refuse(version, error) from None
        except LifelongError as error:
            fault = RequestFault("version_not_kept", f"the version cannot be loaded any more: {error.detail}")
            raise self._refuse(version, fault) from None
        finally:
            del self._loading[version]
        self._loaded[version] = serving, time.monotonic()
        while len(self._loaded) > KEPT:
            self._loaded.popitem(last=False)
        return serving

    def _refuse(self, version: int, fault: RequestFault) -> RequestFault:
        if len(self._refused) >= MAX_REFUSED:
            self._refused.clear()
        self._refused[version] = time.monotonic(), fault
        return fault

    def _check_refused(self, version: int) -> None:
        at, fault = self._refused.get(version, (0.0, None))
        if fault is None:
            return
        if time.monotonic() - at < REFUSED_SECONDS:
            raise fault
        del self._refused[version]


def version_number(named: str) -> int:
    """The version that a path names.

    Raises:
        RequestFault: `unknown_version`, for what is no number.
    """
    if not named.isascii() or not named.isdigit() or len(named) > VERSION_DIGITS:
        raise RequestFault("unknown_version", "the model has no version of this number")
    return int(named)
