"""Versions as a trainer would write them, but with default weights that are none: the registry does not look inside."""

import msgspec

from contracts.labels import Column
from contracts.status import Matrix
from contracts.versions import (
    Artifact,
    Decision,
    EventRange,
    Lineage,
    ModelDocument,
    ProbeReport,
    TaskComparison,
    pin,
)

MLFLOW_IS_BEHIND_SQLALCHEMY = "ignore:The ..noload.. loader strategy:DeprecationWarning"
MATRIX = Matrix(
    tasks=["zero-one", "two-three"],
    accuracy=[[1.0, None], [0.75, 0.5]],
    backward_transfer=-0.25,
    forgetting=[0.25, 0.0],
)


FORGETTING = TaskComparison(
    task="zero-one",
    rows=8,
    before=0.875,
    after=0.75,
    gained=0,
    lost=1,
    p_loss=0.5,
    best=1.0,
    is_new=False,
    verdict="within budget",
)
DIGITS = ModelDocument(
    model="digits",
    version=1,
    input={"kind": "tensor", "shape": [4]},
    labels={"scenario": "class"},
    columns=[Column("zero"), Column("one")],
    network={"kind": "mlp", "hidden": [3]},
    seed=0,
)


def version(number: int, weights: bytes = b"weights", document: ModelDocument = DIGITS) -> Artifact:
    """A promoted version with two tasks, the second of them new."""
    model = msgspec.structs.replace(document, version=number)
    decision = Decision(verdict="promote", reasons=["a gain"], tasks=[FORGETTING])
    probes = ProbeReport(tasks=["zero-one", "two-three"], rows=[8, 8], accuracy=[0.75, 0.5], decision=decision)
    lineage = Lineage(
        version=number,
        parent=number - 1 or None,
        created_at="2026-01-01T00:00:00.000+00:00",
        round=10 * number,
        events=EventRange(first_sequence=1, last_sequence=9, count=9, sha256="0" * 64),
        processed_through=9,
        strategies=[{"kind": "replay", "capacity": 9}, {"kind": "ewc"}],
        seed=0,
        threads=1,
        code_version="0.1.0",
        sha256=pin(weights, model, probes),
    )
    return Artifact(weights, model, lineage, probes)
