"""Challenger → version → champion: writes a version's files, moves the aliases, tells the service."""

import hashlib
import shutil
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch

from contracts.erasures import Erasure
from contracts.errors import InvalidArtifact
from contracts.status import Matrix, News, TrainerStatus, VersionRecord
from contracts.versions import (
    FILES,
    Artifact,
    Decision,
    EventRange,
    Lineage,
    ModelDocument,
    ProbeReport,
    pin,
)
from networks.flat import Network
from trainer.answers import Best
from trainer.checkpoint import write_durably
from trainer.errors import CorruptState, UnknownVersion
from trainer.history import StoredVersion
from trainer.record import ROOT
from trainer.stores import Stores

PRUNE_VERSIONS = 10
"""Versions beyond those kept that may pile up before they are deleted together."""


class Service(Protocol):
    """The service's side, as the trainer sees it; a call never blocks on a reader."""

    def announce(self, generation: int, files: dict[str, bytes]) -> None:
        """Makes a version the champion on every replica."""

    def report(self, status: TrainerStatus) -> bool:
        """Hands the status over; False when the service has missed the present generation."""

    def narrate(self, news: Sequence[News]) -> None:
        """Adds to the stream of events."""

    def remember(self, versions: Sequence[VersionRecord]) -> None:
        """Replaces the list of versions."""

    def certify(self, read: Callable[[], Sequence[Erasure]]) -> None:
        """Replaces the list of erasures by what is read; any thread may call this, and the later one has read later."""


class Provenance(NamedTuple):
    """What every version of this trainer has in common."""

    model: str
    input: dict[str, Any]
    labels: dict[str, Any]
    network: dict[str, Any]
    strategies: list[dict[str, Any]]
    seed: int
    workers: int


class Candidate(NamedTuple):
    """A challenger that was measured: its network, the step it stands at and what the gate said."""

    network: Network
    step: int
    last_sequence: int
    processed_through: int
    probes: ProbeReport
    matrix: Matrix

    @property
    def decision(self) -> Decision:
        """The gate's verdict."""
        return self.probes.decision


class Publisher:
    """Owns the version files; a version is durable before anyone hears of it."""

    def __init__(self, stores: Stores, directory: Path, provenance: Provenance, service: Service) -> None:
        self._stores = stores
        self._history = stores.history
        self._directory = directory
        self._provenance = provenance
        self._service = service

    def publish(self, candidate: Candidate, best: dict[str, Best]) -> int:
        """Stores a version; if the gate promoted it, makes it the champion. Returns its number.

        `best` are the best accuracies per task that hold once it is promoted.
        """
        number = self._history.next_version()
        artifact = self._artifact(candidate, number, self._parent())
        self._write(artifact)
        with self._stores.database.transaction():
            stored = StoredVersion(number, candidate.step, artifact.lineage, artifact.probes, candidate.matrix)
            self._history.add_version(stored)
            if candidate.decision.verdict == "promote":
                self._history.serve(number, time.time())
                self._stores.database.put("best", best)
        if candidate.decision.verdict == "promote":
            self.announce()
        return number

    def announce(self) -> None:
        """Tells the service which version is the champion, with its files."""
        aliases = self._history.aliases()
        self._service.announce(aliases.generation, self.files(aliases.champion))

    def files(self, version: int) -> dict[str, bytes]:
        """A version's files.

        Raises:
            UnknownVersion: `version_not_kept`, when retention has removed them.
        """
        directory = self._directory / str(version)
        if not directory.is_dir():
            raise UnknownVersion("version_not_kept", "the files of that version are no longer kept")
        return {name: (directory / name).read_bytes() for name in FILES if (directory / name).is_file()}

    def read(self, version: int) -> Artifact:
        """A version, whole and checked.

        Raises:
            UnknownVersion: `version_not_kept`, when retention has removed its files or they are damaged.
        """
        try:
            return Artifact.from_files(self.files(version))
        except InvalidArtifact as fault:
            detail = f"the files of that version are damaged: {fault.detail}"
            raise UnknownVersion("version_not_kept", detail) from None

    def rebuild(self, version: StoredVersion, network: Network) -> Artifact:
        """Writes a version's files again, from the network as it was at the version's step.

        Raises:
            CorruptState: `bad_version`, when that is not bit for bit what was published, as another device may do.
        """
        artifact = Artifact(network.weights(), self._model(version.version, network), version.lineage, version.probes)
        if pin(artifact.weights, artifact.model, artifact.probes) != version.lineage.sha256:
            detail = f"version {version.version} is damaged and cannot be made again here: restore {self._directory}"
            raise CorruptState("bad_version", detail)
        self._write(artifact)
        return artifact

    def kept(self) -> list[int]:
        """The versions whose files are here, in order."""
        return sorted(int(path.name) for path in self._directory.iterdir()) if self._directory.is_dir() else []

    def discard(self) -> None:
        """Deletes the files of withdrawn versions, and of those that a kill kept out of the history."""
        kept = self.kept()
        unknown = [version for version in kept if version >= self._history.next_version()]
        for version in (*self._history.withdrawn(kept), *unknown):
            shutil.rmtree(self._directory / str(version))

    def prune(self, newest: int) -> None:
        """Deletes all but the `newest` versions and those with an alias, and the checkpoints that none of these needs.

        Versions are deleted several at a time, checkpoints at once.
        """
        kept = self.kept()
        if len(kept) > newest + PRUNE_VERSIONS:
            aliases = self._history.aliases()
            keep = {*kept[-newest:], aliases.champion, aliases.previous, aliases.challenger}
            for version in set(kept) - keep:
                shutil.rmtree(self._directory / str(version))
        self._stores.checkpoints.prune([*self._history.steps(self.kept()), self._stores.record.tip])

    def _parent(self) -> int | None:
        """The champion or, where that is withdrawn, the newest version that was served on the way to the tip."""
        champion = self._history.aliases().champion
        if not self._history.is_withdrawn(champion):
            return champion or None
        record = self._stores.record
        return self._history.served_at([ROOT, *record.way(record.tip)])

    def _write(self, artifact: Artifact) -> None:
        directory = self._directory / str(artifact.version)
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in artifact.files().items():
            write_durably(directory / name, content)

    def _model(self, number: int, network: Network) -> ModelDocument:
        common = self._provenance
        return ModelDocument(
            model=common.model,
            version=number,
            input=common.input,
            labels=common.labels,
            columns=list(network.columns),
            network=common.network,
            seed=common.seed,
        )

    def _artifact(self, candidate: Candidate, number: int, parent: int | None) -> Artifact:
        common = self._provenance
        weights = candidate.network.weights()
        model = self._model(number, candidate.network)
        lineage = Lineage(
            version=number,
            parent=parent,
            created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            round=candidate.step,
            events=self._events(parent, candidate.last_sequence),
            processed_through=candidate.processed_through,
            strategies=common.strategies,
            seed=common.seed,
            threads=torch.get_num_threads(),
            workers=common.workers,
            code_version=package_version("lifelong"),
            sha256=pin(weights, model, candidate.probes),
        )
        return Artifact(weights, model, lineage, candidate.probes)

    def _events(self, parent: int | None, last: int) -> EventRange:
        first = self._history.version(parent).lineage.events.last_sequence + 1 if parent else 1
        ids = self._stores.examples.event_ids(first, last)
        digest = hashlib.sha256("\n".join(ids).encode()).hexdigest()
        return EventRange(first_sequence=first, last_sequence=last, count=len(ids), sha256=digest)
