"""Versions → registry, behind serving: a registry that is down delays nothing and is caught up with later."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path

import apsw

from contracts.errors import InvalidArtifact, LifelongError
from contracts.versions import FILES, Artifact
from registry.errors import UnregisteredVersion
from registry.store import Registry
from trainer.database import Database
from trainer.erasures import Erasures
from trainer.history import Aliases, History, StoredVersion

LOGGER = logging.getLogger(__name__)
RETRY_SECONDS = 5.0
PRUNE_VERSIONS = 10
"""New versions between two prunings of the registry: pruning after each would double the work."""


class Mirror:
    """A thread that tells the registry of every version, in order, and of the aliases after that."""

    def __init__(self, open_registry: Callable[[], Registry], state: Path, fingerprint: str, versions: Path) -> None:
        self._open_registry = open_registry
        self._state = state
        self._fingerprint = fingerprint
        self._versions = versions
        self._wake = threading.Event()
        self._stopped = False
        self._registered = 0
        self._pointed: Aliases | None = None
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
        history, erasures = History(database), Erasures(database)
        registry: Registry | None = None
        while not self._stopped:
            self._wake.wait(RETRY_SECONDS)
            self._wake.clear()
            try:
                registry = registry or self._open_registry()
                self._catch_up(history, erasures, registry)
            except LifelongError as error:
                LOGGER.warning("the registry is behind (%s): %s", error.code, error.detail)
            except apsw.BusyError:
                LOGGER.warning("the registry is behind: the trainer writes its database anew")
        database.close()

    def _catch_up(self, history: History, erasures: Erasures, registry: Registry) -> None:
        for stored in history.unmirrored():
            try:
                self._register(registry, stored)
            except InvalidArtifact as error:
                LOGGER.warning("version %d is damaged and is not registered: %s", stored.version, error.detail)
                continue
            history.mark_mirrored(stored.version)
            self._registered += 1
        self._follow(history, registry)
        for erasure in erasures.in_state("withdrawing"):
            registry.withdraw(erasure.withdrawn, erasure.id)
            erasures.complete(erasure)

    def _follow(self, history: History, registry: Registry) -> None:
        """Sets the aliases where they have changed, and deletes what the trainer keeps no more."""
        aliases = history.aliases()
        if aliases.champion and aliases != self._pointed:
            self._point(registry, history, aliases)
            history.mark_pointed(aliases)
            self._pointed = aliases
        if self._registered >= PRUNE_VERSIONS:
            registry.prune({int(path.name) for path in self._versions.iterdir()})
            self._registered = 0

    def _register(self, registry: Registry, stored: StoredVersion) -> None:
        directory = self._versions / str(stored.version)
        try:
            files = {name: (directory / name).read_bytes() for name in FILES}
        except FileNotFoundError:
            return  # retention was quicker than a registry that was away
        registry.register(Artifact.from_files(files), stored.matrix)

    def _point(self, registry: Registry, history: History, aliases: Aliases) -> None:
        try:
            registry.point(aliases.champion, aliases.previous, aliases.challenger, aliases.generation)
        except UnregisteredVersion:
            self._register(registry, history.version(aliases.champion))
            registry.point(aliases.champion, aliases.previous, aliases.challenger, aliases.generation)
