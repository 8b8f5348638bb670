"""The tables that commands print for people."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from contracts.status import Matrix, VersionRecord
from lifelong.client import Certificate
from service.documents import StatusDocument
from service.tokens import Token


def percent(value: float | None) -> str:
    """An accuracy in 0…1 as a percentage, or a dash where there is none."""
    return "–" if value is None else f"{100 * value:.1f}"


def signed(value: float | None) -> str:
    """A difference of accuracies in percentage points with its sign, or a dash where there is none."""
    return "–" if value is None else f"{100 * value:+.1f}"


def matrix_table(matrix: Matrix, title: str) -> RenderableType:
    """The accuracy matrix in percent: a row for each task that ended, a column for each probe set."""
    table = Table()
    table.add_column("after")
    for task in matrix.tasks:
        table.add_column(task, justify="right")
    for task, row in zip(matrix.tasks, matrix.accuracy, strict=False):
        table.add_row(task, *(percent(value) for value in row))
    return Group(title, table)


def matrix_tables(matrices: Mapping[str, Matrix]) -> list[RenderableType]:
    """The matrix of each model that has one, by the model's name."""
    title = "accuracy in % on each task's probe set"
    return [matrix_table(matrix, f"{model}: {title}") for model, matrix in matrices.items() if matrix.accuracy]


def comparison_table(matrices: Mapping[str, Matrix]) -> Table:
    """Average accuracy, backward transfer and mean forgetting of several models that learned the same stream.

    The last task cannot have been forgotten yet; so the mean is over the tasks before it.
    """
    table = Table("after all tasks, in %")
    for column in ("average accuracy", "backward transfer", "forgetting"):
        table.add_column(column, justify="right")
    for name, matrix in matrices.items():
        lost = [value for value in matrix.forgetting[:-1] if value is not None]
        average, transfer = percent(matrix.average_accuracy), signed(matrix.backward_transfer)
        table.add_row(name, average, transfer, percent(sum(lost) / len(lost) if lost else None))
    return table


def checks_table(checks: Sequence[tuple[str, str, str]]) -> Table:
    """What was examined, with its verdict and what was found."""
    styles = {"good": "green", "note": "yellow", "bad": "red"}
    table = Table("check", "verdict", "found")
    for name, verdict, found in checks:
        table.add_row(name, Text(verdict, styles[verdict]), found)
    return table


def tokens_table(tokens: Sequence[Token]) -> Table:
    """Whose tokens there are, what they may do, and since when."""
    table = Table("name", "roles", "made at")
    for token in tokens:
        table.add_row(token.name, ", ".join(token.roles), token.created_at)
    return table


def settings_table(rows: Sequence[tuple[str, Any, str]]) -> Table:
    """Settings with their values and origins."""
    table = Table("setting", "value", "origin")
    for key, value, origin in rows:
        shown = value if isinstance(value, str) else json.dumps(value)
        table.add_row(key, shown, origin, style="dim" if origin == "default" else None)
    return table


def status_table(models: Sequence[StatusDocument], waiting: Mapping[str, int | None]) -> Table:
    """One row for each model that is served; `waiting` are the versions that a person has to promote."""
    table = Table("model", "version", "promotion", "average", "BWT", "processed", "served", "labels", "tasks")
    for model in models:
        average, transfer = percent(model.average_accuracy), signed(model.backward_transfer)
        through = (str(model.processed_through), str(model.served_through))
        counts = (str(len(model.labels)), str(len(model.tasks)))
        promotion = _promotion(model, waiting[model.model])
        table.add_row(model.model, str(model.version), promotion, average, transfer, *through, *counts)
    return table


def status_lines(model: StatusDocument) -> list[str]:
    """What stands below the table: whether the trainer reports, where every event is, and what was refused."""
    ledger = msgspec.structs.asdict(model.ledger)
    received = ledger.pop("received")
    parts = " + ".join(f"{name} {events}" for name, events in ledger.items())
    verdict, sign = ("balances", "=") if model.ledger.balances else ("does not balance", "≠")
    lines = [
        f"{model.model}: the trainer is {model.trainer}",
        f"{model.model}: the ledger {verdict}: received {received} {sign} {parts}",
    ]
    if refused := model.refused:
        fault = f"{refused.detail} ({refused.error})"
        lines.append(f"{model.model}: a replica refused generation {refused.generation}: {fault}")
    return lines


def _promotion(model: StatusDocument, waiting: int | None) -> str:
    mode = model.specification.get("promotion", {}).get("mode", "–")
    return mode if waiting is None else f"{mode}: version {waiting} waits"


def versions_table(versions: Sequence[VersionRecord]) -> Table:
    """One row for each version, newest first, with the gate's verdict and its first reason."""
    table = Table("version", "parent", "aliases", "created", "verdict", "because")
    for version in versions:
        lineage, decision = version.lineage, version.probes.decision
        aliases = version.aliases if version.withdrawn is None else [*version.aliases, "withdrawn"]
        named = (str(lineage.version), str(lineage.parent or "–"), ", ".join(aliases))
        table.add_row(*named, lineage.created_at[:19], decision.verdict, next(iter(decision.reasons), ""))
    return table


def erasures_table(certificates: Sequence[Certificate]) -> Table:
    """One row for each erasure: how many rows were erased, how many versions withdrawn, and which was made instead."""
    table = Table("erasure", "asked at", "state", "completed at", "rows", "withdrawn", "version")
    for one in certificates:
        times = (_moment(one.asked_at), one.state, _moment(one.completed_at))
        counts = (str(one.examples + one.probes), str(len(one.withdrawn)))
        table.add_row(one.id, *times, *counts, str(one.version or "–"))
    return table


def certificate_table(certificate: Certificate) -> Table:
    """What one erasure came to."""
    table = Table("erasure", certificate.id)
    table.add_row("state", certificate.state)
    table.add_row("SHA-256 of the subject", certificate.subject_sha256)
    for name in ("asked", "erased", "completed"):
        table.add_row(f"{name} at", _moment(getattr(certificate, f"{name}_at")))
    for name in ("examples", "probes", "dead_letters", "requests"):
        table.add_row(f"{name.replace('_', ' ')} erased", str(getattr(certificate, name)))
    table.add_row("versions withdrawn", ", ".join(map(str, certificate.withdrawn)) or "–")
    table.add_row("replicas that answer with one", str(certificate.answering))
    table.add_row("version made without it", str(certificate.version or "–"))
    table.add_row("not erased", "\n".join(certificate.not_erased) or "–")
    return table


def _moment(seconds: float | None) -> str:
    return "–" if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()[:19]
