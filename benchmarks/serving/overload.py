"""What the service does with more than it can do, and with clients that are slow on purpose.

    python -m benchmarks.serving.overload [--json | --markdown] [--seconds S] [--rounds N]

A closed flood keeps 2,000 connections busy and asks again at once, whatever the answer; an open loop asks for three
times what 16 connections get. What is refused must be refused with 429 and `Retry-After`; what is accepted should be
answered soon. Then 500 clients send one byte a second, of the head or of the body, beside a normal load of a third of
the capacity, which is measured with and without them in turns.
"""

import time
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from http import HTTPStatus
from typing import Annotated, Any, NamedTuple

import typer

from benchmarks.serving.catalogue import SERVERS, versions
from benchmarks.serving.closedloop import client_name, flood, load
from benchmarks.serving.comparison import CONNECTIONS
from benchmarks.serving.generator import generators
from benchmarks.serving.openloop import send_at_rate
from benchmarks.serving.process import running
from benchmarks.serving.report import AsJson, AsMarkdown, Rows, conditions, emit, failures, milliseconds
from benchmarks.serving.samples import Samples, pooled, quantile
from benchmarks.serving.slowclients import Part, trickle

REQUEST = SERVERS["ours"].request
FLOOD_CONNECTIONS = 2000
TIMES_CAPACITY = 3.0
NORMAL_SHARE = 1 / 3
SLOW_CLIENTS = 500
SLOW_LEAD_SECONDS = 2.0
"""The slow clients are all connected before the load beside them is measured."""


class Case(NamedTuple):
    """One kind of load: answers a second by kind, and the latency of those with 200 in milliseconds.

    In a flood latencies count from when a request was sent, because the generator has not its share of the machine
    either: `late_p99_ms` is how late it sent. Else they count from when it was meant to be sent. `cut_off` counts slow
    clients whose connection the service ended.
    """

    name: str
    accepted: float
    refused: float
    others: dict[str, int]
    p50_ms: float
    p99_ms: float
    late_p99_ms: float
    without_retry_after: int
    cut_off: int = 0


def case(name: str, samples: Samples, durations: Sequence[float], cut_off: int = 0) -> Case:
    """A load in short, with the quantiles of these durations."""
    refusal = str(HTTPStatus.TOO_MANY_REQUESTS.value)
    failed = samples.failures()
    refused = failed.pop(refusal, 0) / samples.seconds
    p50, p99, late = (
        1000 * quantile(values, share) for values, share in ((durations, 0.5), (durations, 0.99), (samples.late, 0.99))
    )
    return Case(name, samples.rate, refused, failed, p50, p99, late, samples.without_retry_after, cut_off)


def floods(port: int, capacity: float, seconds: float, generator: Executor) -> list[Case]:
    """Both kinds of overload."""
    encoded, rate = REQUEST.encoded(), TIMES_CAPACITY * capacity
    closed = generator.submit(flood, port, encoded, FLOOD_CONNECTIONS, seconds).result()
    opened = generator.submit(send_at_rate, port, encoded, rate, seconds).result()
    return [
        case(f"closed flood, {FLOOD_CONNECTIONS:,} connections", closed, closed.services),
        case(f"open loop, {rate:,.0f}/s asked, {TIMES_CAPACITY:.0f}× capacity", opened, opened.services),
    ]


def beside_slow_clients(port: int, rate: float, seconds: float, rounds: int, generator: Executor) -> list[Case]:
    """The normal load alone and beside either kind of slow client, in turns."""
    alone: list[Samples] = []
    beside: dict[Part, list[Samples]] = {"head": [], "body": []}
    cut_off = dict.fromkeys(beside, 0)
    for _ in range(rounds):
        alone.append(generator.submit(send_at_rate, port, REQUEST.encoded(), rate, seconds).result())
        for part, found in beside.items():
            slow = generator.submit(
                trickle, port, REQUEST.encoded(), part, SLOW_CLIENTS, seconds + 2 * SLOW_LEAD_SECONDS
            )
            time.sleep(SLOW_LEAD_SECONDS)
            found.append(generator.submit(send_at_rate, port, REQUEST.encoded(), rate, seconds).result())
            cut_off[part] += slow.result()
    whole = pooled(alone)
    cases = [case(f"normal load, {rate:,.0f}/s", whole, whole.latencies)]
    for part, found in beside.items():
        whole = pooled(found)
        name = f"… beside {SLOW_CLIENTS} clients that are slow in the {part}"
        cases.append(case(name, whole, whole.latencies, cut_off[part]))
    return cases


def main(
    as_json: AsJson = False,
    as_markdown: AsMarkdown = False,
    seconds: Annotated[float, typer.Option(help="Of one measurement.", min=1)] = 10.0,
    rounds: Annotated[int, typer.Option(help="Turns beside slow clients.", min=1)] = 3,
) -> None:
    """Measures and prints the table; exits with 1 if a refusal does not say when to try again."""
    with ExitStack() as stack:
        generator = stack.enter_context(generators(2))
        port = stack.enter_context(running(SERVERS["ours"])).port
        load(port, REQUEST, CONNECTIONS, seconds / 2)
        capacity = load(port, REQUEST, CONNECTIONS, seconds).rate
        slow = beside_slow_clients(port, NORMAL_SHARE * capacity, seconds, rounds, generator)
        cases = [*floods(port, capacity, seconds, generator), *slow]
    found: dict[str, Any] = {
        "conditions": conditions("benchmarks.serving.overload", versions([]), client=client_name()),
        "capacity": capacity,
        "cases": [one._asdict() for one in cases],
    }
    emit(found, table(cases, capacity), as_json, as_markdown)
    raise typer.Exit(1 if any(one.without_retry_after for one in cases) else 0)


def table(cases: Sequence[Case], capacity: float) -> Rows:
    """The cases as people read them."""
    heads = ["load", "200/s", "429/s", "others", "p50 ms of 200", "p99 ms of 200", "sent late, p99 ms"]
    heads += ["429 without Retry-After", "slow clients cut off"]
    rows = [
        [
            one.name,
            f"{one.accepted:,.0f}",
            f"{one.refused:,.0f}",
            failures(one.others),
            milliseconds(one.p50_ms),
            milliseconds(one.p99_ms),
            milliseconds(one.late_p99_ms),
            str(one.without_retry_after),
            str(one.cut_off),
        ]
        for one in cases
    ]
    return Rows(f"Overload, capacity {capacity:,.0f}/s with {CONNECTIONS} connections", heads, rows)


if __name__ == "__main__":
    typer.run(main)
