"""The comparison itself: all servers are up, are measured in turn, round by round, and are told by their medians.

A slow minute of the machine meets all of them alike. While one is measured the others are paused, Ray's processes
too, which take that well: so nobody's idle polling costs another, and their memory stays.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple

from benchmarks.serving.closedloop import Load, load
from benchmarks.serving.openloop import send_at_rate
from benchmarks.serving.process import Running
from benchmarks.serving.samples import Samples, pooled, quantile

CONNECTIONS = 16
WARM_UP_SECONDS = 2.0
AFTER_PAUSE_SECONDS = 2.0
MOST_OF_CAPACITY = 0.9
"""A server that would need more of its closed-loop rate for the common rate is not asked for it: its queue would grow
for as long as it is measured, and its latency would only tell how long that was."""


class Plan(NamedTuple):
    """How long, how often, and at which rates."""

    seconds: float
    rounds: int
    share: float
    common_rate: float


@dataclass
class Measured:
    """All measurements of one server."""

    many: list[Load] = field(default_factory=list)
    single: list[Load] = field(default_factory=list)
    at_share: list[Samples] = field(default_factory=list)
    at_common_rate: list[Samples] = field(default_factory=list)


class Latencies(NamedTuple):
    """An open loop, all rounds together: the rate asked for, that of answers with 200, latencies in milliseconds.

    `late_p99_ms` is how late the generator itself sent.
    """

    asked: float
    rate: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    late_p99_ms: float
    failures: dict[str, int]


class Result(NamedTuple):
    """One server: medians over the rounds of the closed loops, the open loops, and the failures of the closed ones."""

    rate: float
    p50_ms: float
    p99_ms: float
    single_rate: float
    single_p50_ms: float
    failures: int
    at_share: Latencies
    at_common_rate: Latencies | None


def measure(servers: Sequence[Running], plan: Plan, generator: Executor) -> dict[str, Result]:
    """What every server did in its turns."""
    found = {one.server.name: Measured() for one in servers}
    for one in servers:
        load(one.port, one.server.request, CONNECTIONS, WARM_UP_SECONDS)
        one.pause()
    try:
        for _ in range(plan.rounds):
            for one in servers:
                with awake(one):
                    take_turn(one, plan, generator, found[one.server.name])
    finally:
        for one in servers:
            one.resume()
    return {name: result(measured, plan) for name, measured in found.items()}


@contextmanager
def awake(one: Running) -> Iterator[None]:
    """A server goes on for one turn, and has caught up with what it missed when the turn begins."""
    one.resume()
    load(one.port, one.server.request, CONNECTIONS, AFTER_PAUSE_SECONDS)
    yield
    one.pause()


def take_turn(one: Running, plan: Plan, generator: Executor, found: Measured) -> None:
    """The four measurements of one turn. The rates of the open loops come from all closed loops before them."""
    port, request = one.port, one.server.request
    found.many.append(load(port, request, CONNECTIONS, plan.seconds))
    found.single.append(load(port, request, 1, plan.seconds / 2))
    capacity = median(single.rate for single in found.many)

    def at(rate: float) -> Samples:
        return generator.submit(send_at_rate, port, request.encoded(), rate, plan.seconds).result()

    found.at_share.append(at(plan.share * capacity))
    if plan.common_rate <= MOST_OF_CAPACITY * capacity:
        found.at_common_rate.append(at(plan.common_rate))


def result(found: Measured, plan: Plan) -> Result:
    """One server's measurements in short."""
    rate = median(one.rate for one in found.many)
    return Result(
        rate=rate,
        p50_ms=median(one.p50_ms for one in found.many),
        p99_ms=median(one.p99_ms for one in found.many),
        single_rate=median(one.rate for one in found.single),
        single_p50_ms=median(one.p50_ms for one in found.single),
        failures=sum(one.failures for one in [*found.many, *found.single]),
        at_share=latencies(found.at_share, plan.share * rate),
        at_common_rate=latencies(found.at_common_rate, plan.common_rate) if found.at_common_rate else None,
    )


def latencies(runs: Sequence[Samples], asked: float) -> Latencies:
    """Several open loops as one."""
    whole = pooled(runs)
    p50, p99, p999 = (whole.milliseconds(share) for share in (0.5, 0.99, 0.999))
    late = 1000 * quantile(whole.late, 0.99)
    return Latencies(asked, whole.rate, p50, p99, p999, late, whole.failures())
