"""What a request costs each part of the service in processor time, with one replica and with two.

    python -m benchmarks.serving.scaling [--json | --markdown] [--seconds S] [--rounds N]

Requests a second on a machine that the client shares say little of a larger one; processor time a request says how many
a core can bear. `docs/scaling.md` draws the conclusions.
"""

from statistics import median
from typing import Annotated, Any, NamedTuple

import psutil
import typer

from benchmarks.serving.catalogue import SERVERS, Server, versions
from benchmarks.serving.closedloop import Load, client_name, load
from benchmarks.serving.process import Running, running
from benchmarks.serving.report import AsJson, AsMarkdown, Rows, conditions, emit, milliseconds
from benchmarks.serving.wire import Request, as_tensor

BATCH_ROWS = 256
WARM_UP_SECONDS = 2.0
ONE = SERVERS["ours"]
DEPLOYMENTS = {1: ONE, 2: Server("two-replicas", "lifelong with two replicas", ONE.request)}


class Kind(NamedTuple):
    """One kind of load; `is_straight` asks a replica itself, past HAProxy."""

    name: str
    request: Request
    connections: int
    is_straight: bool = False


KINDS = [
    Kind("JSON, 1 row", ONE.request, 16),
    Kind("JSON, 1 row", ONE.request, 1),
    Kind("JSON, 1 row, past HAProxy", ONE.request, 1, is_straight=True),
    Kind(f"raw tensor, {BATCH_ROWS} rows", as_tensor(BATCH_ROWS), 16),
]


class Cost(NamedTuple):
    """Processor seconds of each part, since its processes began."""

    replicas: float
    haproxy: float
    others: float


class Measured(NamedTuple):
    """One load, and what each part spent on a request, in microseconds."""

    load: Load
    cost: Cost


def spent(server: Running) -> Cost:
    """What the service's processes have used so far; `others` are hub, controller and Ray itself."""
    replicas = haproxy = others = 0.0
    for process in server.processes():
        with process.oneshot():
            used = process.cpu_times()
            seconds = used.user + used.system
            if "ServeReplica" in " ".join(process.cmdline()):
                replicas += seconds
            elif process.name() == "haproxy":
                haproxy += seconds
            else:
                others += seconds
    return Cost(replicas, haproxy, others)


def replica_port(server: Running) -> int:
    """Where the first replica listens."""
    for process in server.processes():
        if "ServeReplica" in " ".join(process.cmdline()):
            for connection in process.net_connections("tcp"):
                if connection.status == psutil.CONN_LISTEN and connection.laddr.ip == "127.0.0.1":
                    return int(connection.laddr.port)
    raise SystemExit("no replica listens")


def measured(server: Running, kind: Kind, seconds: float) -> Measured:
    """One load with its cost."""
    port = replica_port(server) if kind.is_straight else server.port
    before = spent(server)
    found = load(port, kind.request, kind.connections, seconds)
    after = spent(server)
    n_requests = max(1.0, found.rate * seconds)
    return Measured(
        found, Cost(*(1e6 * (late - early) / n_requests for early, late in zip(before, after, strict=True)))
    )


def main(
    as_json: AsJson = False,
    as_markdown: AsMarkdown = False,
    seconds: Annotated[float, typer.Option(help="Of one measurement.", min=1)] = 5.0,
    rounds: Annotated[int, typer.Option(help="Turns of each kind.", min=1)] = 5,
) -> None:
    """Measures and prints the table."""
    results: list[dict[str, Any]] = []
    for replicas, server in DEPLOYMENTS.items():
        with running(server) as deployed:
            results += [{"replicas": replicas, **result} for result in rounds_of(deployed, seconds, rounds)]
    found: dict[str, Any] = {
        "conditions": conditions("benchmarks.serving.scaling", versions([]), client=client_name()),
        "results": results,
    }
    emit(found, table(results), as_json, as_markdown)


def rounds_of(deployed: Running, seconds: float, rounds: int) -> list[dict[str, Any]]:
    """Every kind of load in turn, round by round; the medians of each."""
    for kind in KINDS:
        measured(deployed, kind, WARM_UP_SECONDS)
    found: list[list[Measured]] = [[] for _ in KINDS]
    for _ in range(rounds):
        for place, kind in enumerate(KINDS):
            found[place].append(measured(deployed, kind, seconds))
    return [
        {"request": kind.name, "connections": kind.connections, **_median(loads)}
        for kind, loads in zip(KINDS, found, strict=True)
    ]


def _median(loads: list[Measured]) -> dict[str, float]:
    parts = {name: median(getattr(one.cost, name) for one in loads) for name in Cost._fields}
    rate, p50 = median(one.load.rate for one in loads), median(one.load.p50_ms for one in loads)
    return {"rate": rate, "p50_ms": p50, **{f"{name}_us": value for name, value in parts.items()}}


def table(results: list[dict[str, Any]]) -> Rows:
    """The results as people read them."""
    heads = ["request", "connections", "replicas", "requests/s", "p50 ms", "replica µs", "HAProxy µs", "others µs"]
    rows = [
        [
            result["request"],
            str(result["connections"]),
            str(result["replicas"]),
            f"{result['rate']:,.0f}",
            milliseconds(result["p50_ms"]),
            *(f"{result[f'{name}_us']:,.0f}" for name in Cost._fields),
        ]
        for result in results
    ]
    return Rows("Processor time a request", heads, rows)


if __name__ == "__main__":
    typer.run(main)
