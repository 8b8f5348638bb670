"""Do few events count? Twenty images of a tenth digit, after nine were learned: its recall, and what the others lose.

    LIFELONG_DATA_DIR=… python -m benchmarks.few_events [--seeds 3] [--images 20] [--held-out] [--json]

Settings are tuned with `--held-out` (the last 10,000 training images, which are then not learned), never on the test
set, which is what is measured otherwise. The table goes to stdout, progress to stderr.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import mean, median

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.offline import Offline
from lifelong.data import DataSet, mnist
from lifelong.output import emit
from lifelong.settings import DEFAULT_STRATEGIES

HELD_OUT = 10_000
EVENTS_PER_ROUND = 128


@dataclass(frozen=True)
class Row:
    """One tenth digit; accuracies in 0…1 over all images of it, or of the nine others before and after.

    The milliseconds are those of the one thread that learns.
    """

    digit: int
    seed: int
    recall: float
    others_before: float
    others_after: float
    steps: int
    milliseconds: float

    @property
    def loss_points(self) -> float:
        """What the nine others lost, in percentage points."""
        return 100 * (self.others_before - self.others_after)


def learn_nine(data: DataSet, tenth: int, seed: int) -> Offline:
    """Learns the other digits in one pass, as three tasks of three."""
    random = np.random.default_rng(seed)
    offline = Offline(DEFAULT_STRATEGIES, seed)
    order = random.permutation([digit for digit in range(10) if digit != tenth])
    for task, digits in enumerate(order.reshape(3, 3)):
        chosen = random.permutation(np.flatnonzero(np.isin(data.train_labels, digits)))
        for rows in np.array_split(chosen, -(-len(chosen) // EVENTS_PER_ROUND)):
            offline.learn(data.train_images[rows], data.train_labels[rows], task, steps=0)
        offline.close(task)
    return offline


def measure(data: DataSet, tenth: int, seed: int, images: int) -> Row:
    """Learns nine digits, then one round of few images of the tenth."""
    offline = learn_nine(data, tenth, seed)
    is_tenth = data.test_labels == tenth
    others = data.test_images[~is_tenth], data.test_labels[~is_tenth]
    before = offline.accuracy(*others)
    chosen = np.random.default_rng(seed).permutation(np.flatnonzero(data.train_labels == tenth))[:images]
    steps = offline.settings.steps_for(images, is_flooded=False)
    started = time.thread_time()
    offline.learn(data.train_images[chosen], data.train_labels[chosen], task=3, steps=steps)
    milliseconds = 1000 * (time.thread_time() - started)
    recall = offline.accuracy(data.test_images[is_tenth], data.test_labels[is_tenth])
    return Row(tenth, seed, recall, before, offline.accuracy(*others), steps, milliseconds)


def held_out(data: DataSet) -> DataSet:
    """The training images alone: the last ten thousand take the place of the test set."""
    shown, hidden = data.train_images[:-HELD_OUT], data.train_images[-HELD_OUT:]
    return DataSet(data.name, shown, data.train_labels[:-HELD_OUT], hidden, data.train_labels[-HELD_OUT:])


def run(data: DataSet, seeds: int, images: int) -> Iterator[Row]:
    """Every digit as the tenth, for every seed."""
    with Progress(console=Console(stderr=True)) as progress:
        for place in progress.track(range(10 * seeds), description="few events"):
            yield measure(data, place % 10, place // 10, images)


def table(rows: Sequence[Row], images: int) -> Table:
    """One line a digit, the mean over seeds; the last line is the mean over all."""
    shown = Table(title=f"{images} images of a tenth digit, {rows[0].steps} steps")
    for heading in ("tenth digit", "recall", "others before", "others after", "points lost", "ms"):
        shown.add_column(heading, justify="right")
    for digit in range(10):
        shown.add_row(str(digit), *_line([row for row in rows if row.digit == digit]))
    shown.add_row("all", *_line(rows), style="bold")
    return shown


def _line(rows: Sequence[Row]) -> list[str]:
    accuracies = (mean(getattr(row, name) for row in rows) for name in ("recall", "others_before", "others_after"))
    lost, milliseconds = mean(row.loss_points for row in rows), median(row.milliseconds for row in rows)
    return [*(f"{accuracy:.3f}" for accuracy in accuracies), f"{lost:.2f}", f"{milliseconds:.0f}"]


def main() -> None:
    """Reads the arguments and prints the table or its document."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    data = held_out(mnist()) if arguments.held_out else mnist()
    rows = list(run(data, arguments.seeds, arguments.images))
    documents = [asdict(row) | {"loss_points": row.loss_points} for row in rows]
    emit({"images": arguments.images, "rows": documents}, arguments.json, table(rows, arguments.images))


if __name__ == "__main__":
    main()
