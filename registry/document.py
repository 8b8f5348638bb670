"""What MLflow is told of a version besides its four files: tags to filter by, metrics, and how pyfunc loads it."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from contracts.inputs import TabularInput, TextInput, parse_input
from contracts.status import Matrix
from contracts.versions import Artifact, Decision, sha256

VERSION, DIGEST, GENERATION = "lifelong.version", "lifelong.sha256", "lifelong.generation"
ERASURE = "lifelong.erasure"
FOLDER = "model"
LOADER = "networks.pyfunc"
# MLflow stores no longer tag of a run; it would refuse the whole version.
MAX_TAG_CHARACTERS = 5000


class Measurement(NamedTuple):
    """One value of a metric; the step is the index of the task it belongs to."""

    key: str
    value: float
    step: int


def digest(artifact: Artifact) -> str:
    """The digest that identifies a version: of `lineage.json`, which pins the other three files."""
    return sha256(msgspec.json.encode(artifact.lineage))


def tags(artifact: Artifact) -> dict[str, str]:
    """The tags of a version, all beginning with `lifelong.`; an absent parent is the empty string."""
    lineage, decision = artifact.lineage, artifact.probes.decision
    facts = {
        VERSION: artifact.version,
        DIGEST: digest(artifact),
        "lifelong.verdict": decision.verdict,
        "lifelong.reasons": "; ".join(decision.reasons),
        "lifelong.parent": "" if lineage.parent is None else lineage.parent,
        "lifelong.round": lineage.round,
        "lifelong.code_version": lineage.code_version,
        "lifelong.strategies": ",".join(str(strategy.get("kind")) for strategy in lineage.strategies),
        "lifelong.tasks": ",".join(artifact.probes.tasks),
        "lifelong.processed_through": lineage.processed_through,
        "lifelong.seed": lineage.seed,
    }
    # PostgreSQL stores no NUL, and a label may hold one.
    return {name: str(value).replace("\0", "")[:MAX_TAG_CHARACTERS] for name, value in facts.items()}


def measurements(artifact: Artifact, matrix: Matrix | None) -> list[Measurement]:
    """The metrics of a version: its own accuracy on every probe set, and what the accuracy matrix says if given."""
    accuracies = artifact.probes.accuracy
    found = [Measurement("accuracy", accuracy, task) for task, accuracy in enumerate(accuracies)]
    found += _compared(artifact.probes.tasks, artifact.probes.decision)
    if accuracies:
        found.append(Measurement("average_accuracy", sum(accuracies) / len(accuracies), len(accuracies) - 1))
    return found if matrix is None else found + list(_from_matrix(matrix))


def loading_files(artifact: Artifact, run: str) -> dict[str, bytes]:
    """The files by which `mlflow.pyfunc.load_model` finds the loader module: JSON, which is YAML too."""
    description: dict[str, Any] = {
        "artifact_path": FOLDER,
        "flavors": {"python_function": {"loader_module": LOADER}},
        "run_id": run,
        "signature": {name: msgspec.json.encode(schema).decode() for name, schema in _signature(artifact).items()},
        "utc_time_created": artifact.lineage.created_at,
    }
    return {
        "MLmodel": msgspec.json.format(msgspec.json.encode(description)),
        "requirements.txt": f"lifelong=={artifact.lineage.code_version}\n".encode(),
    }


def _signature(artifact: Artifact) -> dict[str, list[dict[str, Any]]]:
    """MLflow passes no parameter that the signature does not name.

    It names the inputs where MLflow converts them; of tensors it would refuse all but arrays of exactly one type.
    """
    signature: dict[str, list[dict[str, Any]]] = {
        "outputs": [{"type": "string", "name": "label"}, {"type": "double", "name": "probability"}],
        "params": [{"name": "task", "type": "string", "default": None, "shape": None}],
    }
    match parse_input(artifact.model.input):
        case TextInput():
            signature["inputs"] = [{"type": "string", "required": True}]
        case TabularInput(columns=columns):
            signature["inputs"] = [
                {"type": "string" if isinstance(kind, list) else "double", "name": name, "required": True}
                for name, kind in columns.items()
            ]
    return signature


def _compared(tasks: list[str], decision: Decision) -> list[Measurement]:
    compared = {comparison.task: comparison for comparison in decision.tasks}
    return [
        Measurement("below_best", max(0.0, comparison.best - comparison.after), step)
        for step, task in enumerate(tasks)
        if (comparison := compared.get(task)) is not None and not comparison.is_new
    ]


def _from_matrix(matrix: Matrix) -> Iterator[Measurement]:
    last = max(0, len(matrix.tasks) - 1)
    for key, value in (
        ("backward_transfer", matrix.backward_transfer),
        ("forward_transfer", matrix.forward_transfer),
    ):
        if value is not None:
            yield Measurement(key, value, last)
    for step, forgotten in enumerate(matrix.forgetting):
        if forgotten is not None:
            yield Measurement("forgetting", forgotten, step)
