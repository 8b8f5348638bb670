"""Numbers a second through the Open Inference Protocol with raw tensors, for batches of 1 to 1,024 rows.

    python -m benchmarks.serving.binary [--json | --markdown] [--seconds S] [--rounds N]

A request is a JSON head and float32 rows of 784 numbers; the answer's tensors are asked for in the same form. The
client keeps four connections busy. Beside it stands one row as JSON by the predict route, in the same turns.
"""

from collections.abc import Mapping
from statistics import median
from typing import Annotated, Any, NamedTuple

import typer

from benchmarks.serving.catalogue import SERVERS, versions
from benchmarks.serving.closedloop import Load, client_name, load
from benchmarks.serving.process import running
from benchmarks.serving.report import AsJson, AsMarkdown, Rows, conditions, emit, milliseconds
from benchmarks.serving.wire import N_NUMBERS, Request, as_tensor

BATCHES = (1, 32, 256, 1024)
CONNECTIONS = 4
TARGET_NUMBERS = 15e6


class Result(NamedTuple):
    """Medians over the rounds for one kind of request; `numbers` are those of the rows, a second."""

    rows: int
    rate: float
    numbers: float
    p50_ms: float
    p99_ms: float
    failures: int


def measure(port: int, seconds: float, rounds: int) -> dict[str, Result]:
    """Every kind of request in turn, round by round."""
    kinds: dict[str, tuple[int, Request]] = {"JSON": (1, SERVERS["ours"].request)}
    kinds |= {f"raw tensor, {rows:,} rows": (rows, as_tensor(rows)) for rows in BATCHES}
    found: dict[str, list[Load]] = {kind: [] for kind in kinds}
    for _, request in kinds.values():
        load(port, request, CONNECTIONS, 1)
    for _ in range(rounds):
        for kind, (_, request) in kinds.items():
            found[kind].append(load(port, request, CONNECTIONS, seconds))
    return {kind: _result(kinds[kind][0], loads) for kind, loads in found.items()}


def _result(rows: int, loads: list[Load]) -> Result:
    rate = median(one.rate for one in loads)
    p50, p99 = median(one.p50_ms for one in loads), median(one.p99_ms for one in loads)
    return Result(rows, rate, rate * rows * N_NUMBERS, p50, p99, sum(one.failures for one in loads))


def main(
    as_json: AsJson = False,
    as_markdown: AsMarkdown = False,
    seconds: Annotated[float, typer.Option(help="Of one measurement.", min=1)] = 4.0,
    rounds: Annotated[int, typer.Option(help="Turns of each kind.", min=1)] = 5,
) -> None:
    """Measures and prints the table; exits with 1 when a request was not answered with 200."""
    with running(SERVERS["ours"]) as server:
        results = measure(server.port, seconds, rounds)
    found: dict[str, Any] = {
        "conditions": conditions("benchmarks.serving.binary", versions([]), client=client_name()),
        "target_numbers": TARGET_NUMBERS,
        "requests": {kind: result._asdict() for kind, result in results.items()},
    }
    emit(found, table(results), as_json, as_markdown)
    raise typer.Exit(1 if any(result.failures for result in results.values()) else 0)


def table(results: Mapping[str, Result]) -> Rows:
    """The results as people read them."""
    heads = ["request", "requests/s", "million numbers/s", "p50 ms", "p99 ms", "not 200"]
    rows = [
        [
            kind,
            f"{result.rate:,.0f}",
            f"{result.numbers / 1e6:.2f}",
            milliseconds(result.p50_ms),
            milliseconds(result.p99_ms),
            str(result.failures),
        ]
        for kind, result in results.items()
    ]
    target = f"target ≥ {TARGET_NUMBERS / 1e6:.0f} million numbers/s"
    return Rows(f"Rows of {N_NUMBERS} numbers, {CONNECTIONS} connections; {target}", heads, rows)


if __name__ == "__main__":
    typer.run(main)
