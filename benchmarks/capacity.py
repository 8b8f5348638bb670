"""How many machines many models need, and what they run out of first: a simulation from measured costs.

    python -m benchmarks.capacity [--models 10000] [--events 1000000] [--json]

A fluid model in steps of a second over ten minutes. Assumed:

- Model k of M gets a share of all events that falls as 1 / k. After three minutes every twentieth, the largest among
  them, gets five times its share, for a minute.
- Each model has one trainer. What has come since its last round is one round: it takes in the rows, takes steps of 128
  rows or the fewest that make a round, and is measured and published, at most every two seconds.
- A model that one process cannot learn in 70 % of the time has more workers, sixteen at most; each adds 64 % of the
  first one's speed to the steps, and nothing to what comes before and after them. That was measured with a network of
  5.8 million parameters; the default one gains nothing, and its models with workers fall behind.
- Trainers lie on machines of 16 cores and 64 GiB as they come, enough of them for 70 % of the cores and all of the
  memory. Where they ask for more cores than there are, all get the same part of what they ask for.
"""

import math
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.table import Table

from lifelong.output import emit

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Costs:
    """Seconds of one core, and MiB; as docs/benchmarks.md and docs/scaling.md have them, for rows of 784 numbers."""

    accept: float = 2 / 5_900
    """An event over REST, durable, with client and proxy."""
    take: float = 1 / 7_400
    """An event in the trainer: joined, told from duplicates, recorded."""
    learn: float = 1 / 13_975
    """A new row in a flood, with as many replayed."""
    short_round: float = 0.154
    """A round of the fewest steps."""
    publish: float = 0.033
    """Probes, gate and version files of a small network."""
    predict: float = 494e-6
    """A row as JSON, with proxy and hub."""
    trainer: float = 530.0
    """Memory of a trainer or a peer with a small model: its own pages, and its part of shared ones."""
    hub: float = 70.0
    """Memory of a hub that has not needed the registry."""


@dataclass(frozen=True)
class Machine:
    """What is rented."""

    cores: int = 16
    memory: float = 64 * 1024
    use: float = 0.7


SECONDS, SURGE = 600, slice(180, 240)
MOST_WORKERS, EFFICIENCY, BUSY = 16, 0.64, 0.7
INTERVAL = 2.0


@dataclass(frozen=True)
class Outcome:
    """What so many models with so many events a second need and see.

    Machines for as many predictions as events, one a request, for accepting events over REST, and for learning; what
    the last would lack first; models with workers and models that fall behind for good; and of the others the
    95th percentile of the seconds until what comes now is served, usually and at the end of the surge.
    """

    models: int
    events: float
    predicting: int
    accepting: int
    learning: int
    short_of: str
    with_workers: int
    behind_for_good: int
    wait: float | None
    wait_in_surge: float | None


def simulate(models: int, events: float, costs: Costs, machine: Machine) -> Outcome:
    """The machines that trainers need at the usual rate, then ten minutes on them with a surge in the third."""
    shares = 1 / np.arange(1, models + 1)
    rates = events * shares / shares.sum()
    workers = _workers(rates, costs)
    by_cores = float((_work(rates * INTERVAL, costs) / INTERVAL).sum()) / (machine.cores * machine.use)
    by_memory = (float(workers.sum()) * costs.trainer + models * costs.hub) / machine.memory
    machines = math.ceil(max(by_cores, by_memory))
    place = np.random.default_rng(0).permutation(models) % machines
    waits = _waits(rates, workers, place, costs, machine)
    is_well = _seconds(rates, workers, costs) <= 1
    return Outcome(
        models=models,
        events=events,
        predicting=math.ceil(events * costs.predict / (machine.cores * machine.use)),
        accepting=math.ceil(events * costs.accept / (machine.cores * machine.use)),
        learning=machines,
        short_of="memory" if by_memory > by_cores else "cores",
        with_workers=int((workers > 1).sum()),
        behind_for_good=int((~is_well).sum()),
        wait=_high(waits[SURGE.start - 1, is_well]),
        wait_in_surge=_high(waits[SURGE.stop - 1, is_well]),
    )


def _high(seconds: Numbers) -> float | None:
    """The 95th percentile; None of none."""
    return float(np.quantile(seconds, 0.95)) if len(seconds) else None


def _workers(rates: Numbers, costs: Costs) -> Numbers:
    """As many as let a model learn in seven tenths of the time; the most of them where none do."""
    left = BUSY - rates * costs.take
    speed = np.divide(rates * costs.learn, left, out=np.full_like(rates, np.inf), where=left > 0)
    return np.ceil(1 + (speed - 1).clip(min=0) / EFFICIENCY).clip(max=MOST_WORKERS)


def _seconds(rows: Numbers, workers: Numbers, costs: Costs) -> Numbers:
    """How long a round of so many rows takes; nothing without rows. Workers share its steps alone."""
    steps = np.maximum(rows * costs.learn, costs.short_round) / (1 + (workers - 1) * EFFICIENCY)
    return rows * costs.take + (steps + costs.publish) * np.minimum(1, rows)


def _work(rows: Numbers, costs: Costs) -> Numbers:
    """Seconds of one core that a round takes."""
    return _seconds(rows, np.ones_like(rows), costs)


def _waits(rates: Numbers, workers: Numbers, place: NDArray[np.int64], costs: Costs, machine: Machine) -> Numbers:
    """Seconds until what comes now is served, (seconds, models)."""
    surging = np.arange(len(rates)) % 20 == 0
    backlog, waits = np.zeros_like(rates), np.empty((SECONDS, len(rates)))
    for second in range(SECONDS):
        backlog += rates * np.where(surging & (SURGE.start <= second < SURGE.stop), 5.0, 1.0)
        alone = _seconds(backlog, workers, costs)
        load = np.bincount(place, np.minimum(1, alone) * workers)[place]
        seconds = alone * np.maximum(1, load / machine.cores)
        waits[second] = INTERVAL / 2 + seconds
        backlog *= 1 - np.divide(1, seconds, out=np.ones_like(seconds), where=seconds > 1)
    return waits


def main(
    models: Annotated[list[int] | None, typer.Option(help="How many models; may be repeated.")] = None,
    events: Annotated[list[float] | None, typer.Option(help="Events a second in all; may be repeated.")] = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Prints the table or its document."""
    costs, machine = Costs(), Machine()
    found = [
        simulate(count, rate, costs, machine)
        for count in models or [1, 100, 1_000, 10_000]
        for rate in events or [100, 10_000, 1_000_000]
    ]
    table = Table(title=f"machines of {machine.cores} cores and {machine.memory / 1024:.0f} GiB, rows of 784 numbers")
    for heading in asdict(found[0]):
        table.add_column(heading.replace("_", " "), justify="right")
    for each in found:
        table.add_row(
            *(f"{value:,.4g}" if isinstance(value, float) else str(value or 0) for value in asdict(each).values())
        )
    document: dict[str, Any] = {"costs": asdict(costs), "machine": asdict(machine)}
    emit({**document, "rows": [asdict(each) for each in found]}, as_json, table)


if __name__ == "__main__":
    typer.run(main)
