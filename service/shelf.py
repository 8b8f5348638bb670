"""Versions that are not the champion, loaded because a request named them."""

import asyncio
from collections import OrderedDict
from typing import Protocol

from service.champion import Champion, Load, Serving
from service.errors import RequestFault
from service.followers import Generation

KEPT = 2
"""Each is a whole network in memory."""


class Files(Protocol):
    """Where the files of registered versions come from: the hub."""

    async def files(self, version: int, /) -> dict[str, bytes] | None:
        """See `Hub.files`."""
        ...


class Shelf:
    """Gives any registered version to answer with; the last two that were asked for stay loaded."""

    def __init__(self, champion: Champion, hub: Files, loader: Load) -> None:
        self._champion = champion
        self._hub = hub
        self._load = loader
        self._loaded: OrderedDict[int, Serving] = OrderedDict()
        self._loading = asyncio.Lock()

    async def get(self, version: int | None) -> Serving:
        """The named version, or the champion for None; once loaded it is served from memory.

        Raises:
            RequestFault: `unknown_version`; without a version as `Champion.require`.
            LifelongError: the version cannot be loaded, or the hub is away.
        """
        champion = self._champion.serving
        if version is None or (champion is not None and champion.version == version):
            return self._champion.require()
        async with self._loading:
            if version not in self._loaded:
                self._loaded[version] = await self._read(version)
            self._loaded.move_to_end(version)
            while len(self._loaded) > KEPT:
                self._loaded.popitem(last=False)
            return self._loaded[version]

    async def _read(self, version: int) -> Serving:
        files = await self._hub.files(version)
        if files is None:
            raise RequestFault("unknown_version", "the registry holds no such version")
        return await asyncio.to_thread(self._load, Generation(is_announced=False, number=0), files)
