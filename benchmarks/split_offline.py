"""Split MNIST, class-incremental, one pass: average accuracy after five tasks of two digits, without the service.

    LIFELONG_DATA_DIR=… python -m benchmarks.split_offline [--seeds 3] [--events 128] [--min-steps 0] [--json]

Events arrive in rounds of `--events`; a round takes at least `--min-steps` steps (the service's default gives a round
25, or none beyond its one pass while more events wait). The table goes to stdout, progress to stderr.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import mean, stdev
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.offline import Offline
from lifelong.data import DataSet, mnist
from lifelong.output import emit
from lifelong.settings import DEFAULT_STRATEGIES

STRATEGIES: dict[str, list[dict[str, Any]]] = {
    "fine-tuning": [],
    "EWC": [{"kind": "ewc"}],
    "replay 2,000": [{"kind": "replay"}],
    "replay 2,000 + EWC": DEFAULT_STRATEGIES,
    "joint": [{"kind": "joint"}],
}


@dataclass(frozen=True)
class Row:
    """One run: test accuracy in 0…1 on each task after the last one, and the seconds that learning took."""

    strategy: str
    seed: int
    tasks: list[list[int]]
    accuracies: list[float]
    seconds: float

    @property
    def average_accuracy(self) -> float:
        """The mean over the tasks."""
        return mean(self.accuracies)


def measure(data: DataSet, strategy: str, seed: int, events: int, min_steps: int) -> Row:
    """Learns five tasks, the digits and their images in an order drawn from the seed (0: the natural order)."""
    random = np.random.default_rng(seed)
    pairs = (random.permutation(10) if seed else np.arange(10)).reshape(5, 2)
    offline = Offline(STRATEGIES[strategy], seed)
    started = time.perf_counter()
    for task, digits in enumerate(pairs):
        chosen = random.permutation(np.flatnonzero(np.isin(data.train_labels, digits)))
        for start in range(0, len(chosen), events):
            rows = chosen[start : start + events]
            offline.learn(data.train_images[rows], data.train_labels[rows], task, min_steps)
        offline.close(task)
    seconds = time.perf_counter() - started
    tests = [np.isin(data.test_labels, digits) for digits in pairs]
    accuracies = [offline.accuracy(data.test_images[test], data.test_labels[test]) for test in tests]
    return Row(strategy, seed, pairs.tolist(), accuracies, seconds)


def run(data: DataSet, seeds: int, events: int, min_steps: int) -> Iterator[Row]:
    """Every strategy, for every seed."""
    with Progress(console=Console(stderr=True)) as progress:
        for strategy in STRATEGIES:
            for seed in progress.track(range(seeds), description=strategy):
                yield measure(data, strategy, seed, events, min_steps)


def table(rows: Sequence[Row], title: str) -> Table:
    """One line a strategy."""
    shown = Table(title=title)
    for heading in ("strategy", "average accuracy", "± std", "lowest", "first task", "last task", "seconds"):
        shown.add_column(heading, justify="left" if heading == "strategy" else "right")
    for strategy in STRATEGIES:
        own = [row for row in rows if row.strategy == strategy]
        averages = [row.average_accuracy for row in own]
        first, last = mean(row.accuracies[0] for row in own), mean(row.accuracies[-1] for row in own)
        numbers = (mean(averages), stdev(averages) if len(own) > 1 else 0.0, min(averages), first, last)
        shown.add_row(strategy, *(f"{number:.4f}" for number in numbers), f"{mean(row.seconds for row in own):.1f}")
    return shown


def main() -> None:
    """Reads the arguments and prints the table or its document."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--events", type=int, default=128)
    parser.add_argument("--min-steps", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = list(run(mnist(), arguments.seeds, arguments.events, arguments.min_steps))
    documents = [asdict(row) | {"average_accuracy": row.average_accuracy} for row in rows]
    title = f"Split MNIST, rounds of {arguments.events} events, at least {arguments.min_steps} steps each"
    emit(
        {"events": arguments.events, "min_steps": arguments.min_steps, "rows": documents},
        arguments.json,
        table(rows, title),
    )


if __name__ == "__main__":
    main()
