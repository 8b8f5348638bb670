"""The JSON documents that the read-only routes answer with, built from what the trainer and the replicas report."""

from typing import Any

import msgspec

from contracts.status import Capacity, Durations, Guards, Ledger, Matrix, TaskStatus, TrainerStatus


class ReplicaCounts(msgspec.Struct, frozen=True):
    """Live replicas by whether they serve the champion."""

    serving: int = 0
    behind: int = 0


class Refusal(msgspec.Struct, frozen=True):
    """A version that a replica could not load; it went on serving what it had."""

    generation: int
    error: str
    detail: str


class StatusDocument(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /v1/models/{model}`.

    `processed_through`: everything up to this position is accounted for by the trainer. `served_through`: the same for
    the version that every live replica serves now. `specification` holds the configured `input`, `labels` and
    `promotion.mode`: what an instance is, who promotes. `trainer` is `silent` when it has not reported for
    some seconds.
    """

    model: str
    specification: dict[str, Any] = {}
    version: int = 0
    generation: int = 0
    processed_through: int = 0
    served_through: int = 0
    trainer: str = "silent"
    labels: list[str] = []
    tasks: list[TaskStatus] = []
    average_accuracy: float | None = None
    backward_transfer: float | None = None
    forward_transfer: float | None = None
    forgetting: list[float | None] = []
    ledger: Ledger = Ledger()
    gate: dict[str, int] = {}
    seconds: Durations = Durations()
    device: str = ""
    workers: int = 1
    lag: int = 0
    registry_lag: int = 0
    promoted_at: float = 0.0
    capacity: Capacity = Capacity()
    guards: Guards = Guards()
    replicas: ReplicaCounts = ReplicaCounts()
    refused: Refusal | None = None


def learned(status: TrainerStatus | None) -> dict[str, Any]:
    """The fields of the status document that come from the trainer."""
    if status is None:
        return {}
    matrix = status.matrix
    own = ("processed_through", "labels", "tasks", "ledger", "gate", "seconds", "device", "workers", "lag")
    fields = {name: getattr(status, name) for name in (*own, "registry_lag", "promoted_at", "capacity", "guards")}
    averages = ("average_accuracy", "backward_transfer", "forward_transfer", "forgetting")
    return fields | {name: getattr(matrix, name) for name in averages}


def matrix_of(status: TrainerStatus | None) -> Matrix:
    """The accuracy matrix; empty before the first task was measured."""
    return Matrix() if status is None else status.matrix
