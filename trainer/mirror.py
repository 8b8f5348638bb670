"""Versions → registry, behind serving: a registry that is down delays nothing and is caught up with later."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from contracts.versions import FILES, Artifact
from registry.errors import RegistryUnavailable
from registry.store import Registry
from trainer.database import Database
from trainer.history import Aliases, History

LOGGER = logging.getLogger(__name__)
RETRY_SECONDS = 5.0
PRUNE_VERSIONS = 10
"""Versions beyond those kept that the registry may hold before it is pruned: pruning one by one is slow."""


class Mirror:
    """A thread that tells the registry of every version, in order, and of the aliases after that."""

    def __init__(self, open_registry: Callable[[], Registry], state: Path, fingerprint: str, versions: Path) -> None:
        self._open_registry = open_registry
        self._state = state
        self._fingerprint = fingerprint
        self._versions = versions
        self._wake = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="registry-mirror", daemon=True)

    def start(self) -> None:
        """Begins to mirror what is not yet mirrored."""
        self._thread.start()
        self._wake.set()

    def wake(self) -> None:
        """Says that there is a new version."""
        self._wake.set()

    def stop(self) -> None:
        """Ends after the version under way."""
        self._stopped = True
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        database = Database(self._state, self._fingerprint)
        history = History(database)
        registry: Registry | None = None
        pointed: Aliases | None = None
        while not self._stopped:
            self._wake.wait(RETRY_SECONDS)
            self._wake.clear()
            try:
                registry = registry or self._open_registry()
                pointed = self._catch_up(history, registry, pointed)
            except RegistryUnavailable as error:
                LOGGER.warning("the registry is not told of new versions yet: %s", error.detail)
        database.close()

    def _catch_up(self, history: History, registry: Registry, pointed: Aliases | None) -> Aliases | None:
        for version in history.unmirrored():
            directory = self._versions / str(version.version)
            if directory.is_dir():
                files = {name: (directory / name).read_bytes() for name in FILES}
                registry.register(Artifact.from_files(files), version.matrix)
            history.mark_mirrored(version.version)
        aliases = history.aliases()
        if aliases.champion and aliases != pointed:
            registry.point(aliases.champion, aliases.previous, aliases.challenger, aliases.generation)
        kept = {int(path.name) for path in self._versions.iterdir()}
        if len(registry.versions()) > len(kept) + PRUNE_VERSIONS:
            registry.prune(kept)
        return aliases
