"""Versions for the service's tests: small, real, each recognisable by its answers."""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from contracts.inputs import parse_input
from contracts.labels import Column
from contracts.status import Durations, Ledger, Matrix, TaskStatus, TrainerStatus, VersionRecord
from contracts.versions import Artifact, Decision, EventRange, Lineage, ModelDocument, ProbeReport, pin

TENSOR = {"kind": "tensor", "shape": [4]}
NETWORK = {"kind": "mlp", "hidden": [8]}
COLUMNS = [Column("cat"), Column("dog")]
DECISION = Decision(verdict="promote", reasons=["the first version"])
PROBES = ProbeReport(tasks=["default"], rows=[10], accuracy=[0.9], decision=DECISION)


def document(
    version: int,
    spec: dict[str, Any] | None = None,
    columns: list[Column] | None = None,
    network: dict[str, Any] | None = None,
) -> ModelDocument:
    """`model.json` of a small perceptron whose weights depend on its version."""
    return ModelDocument(
        model="pets",
        version=version,
        input=spec or TENSOR,
        labels={"scenario": "class"},
        columns=COLUMNS if columns is None else columns,
        network=network or NETWORK,
        seed=version,
    )


def lineage(model: ModelDocument, weights: bytes, processed_through: int) -> Lineage:
    """`lineage.json` that pins the other files."""
    return Lineage(
        version=model.version,
        parent=None,
        created_at="2026-01-01T00:00:00.000+00:00",
        round=model.version,
        events=EventRange(first_sequence=1, last_sequence=10, count=10, sha256="0" * 64),
        processed_through=processed_through,
        strategies=[],
        seed=model.seed,
        threads=1,
        code_version="0.1.0",
        sha256=pin(weights, model, PROBES),
    )


def artifact(version: int, processed_through: int = 0, weights: bytes | None = None, **changes: Any) -> Artifact:
    """A whole version; without `weights`, those that a real network of its document starts with."""
    model = document(version, **changes)
    if weights is None:
        weights = _initial_weights(model)
    return Artifact(weights, model, lineage(model, weights, processed_through), PROBES)


def record(version: int) -> VersionRecord:
    """A version as the list of versions shows it."""
    model = document(version)
    return VersionRecord(version=version, aliases=[], lineage=lineage(model, b"", 0), probes=PROBES)


def status(**changes: Any) -> TrainerStatus:
    """A trainer's status after one task."""
    plain = TrainerStatus(
        model="pets",
        version=1,
        generation=1,
        round=3,
        processed_through=10,
        served_position=10,
        labels=["cat", "dog"],
        tasks=[TaskStatus(task="default", state="open", trained=9, probes=1, accuracy=0.9, min_accuracy=0.8)],
        matrix=Matrix(tasks=["default"], accuracy=[[0.9]], average_accuracy=0.9, forgetting=[0.0]),
        ledger=Ledger(received=10, trained=9, probe=1),
        gate={"promote": 1},
        seconds=Durations(train_step=0.01),
        device="cpu",
        registry_lag=0,
        promoted_at=1.7e9,
        lag=0,
    )
    return msgspec.structs.replace(plain, **changes)


def _initial_weights(model: ModelDocument) -> bytes:
    from networks.build import build
    from networks.settings import parse_network

    return build(parse_network(model.network), parse_input(model.input), model.columns, model.seed).weights()


@dataclass
class ScriptedRegistry:
    """A registry with one champion; the next `faults` are raised first, one a look."""

    generation: int
    faults: list[Exception] = field(default_factory=list)

    def champion(self) -> tuple[int, int] | None:
        """Version 9 at the scripted generation."""
        if self.faults:
            raise self.faults.pop(0)
        return (9, self.generation) if self.generation else None

    def read(self, version: int) -> Artifact:
        """The version's files."""
        return artifact(version, weights=b"")

    def versions(self) -> list[int]:
        """The champion's."""
        return [9]
