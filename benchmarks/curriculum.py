"""Does the order of a backlog matter? Five queued tasks of Split MNIST, learned by the trainer in every curriculum.

    LIFELONG_DATA_DIR=… python -m benchmarks.curriculum [--seeds 3] [--events 2000] [--json]

So many events of each task wait in the log when the trainer starts, task after task, and are taken at once; a seed
draws which digits make a task and the order in which the tasks came (0: the natural one). The whole trainer runs,
without the service. Accuracy is the learner's on the test images after all tasks, among all ten digits. The table goes
to stdout, progress to stderr.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any, get_args

import apsw
import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from contracts.inputs import ImageInput
from contracts.labels import LabelSpec
from feedback.settings import PredictionSettings, SqliteSettings
from feedback.sqlite import SqliteLog
from lifelong.data import DataSet, mnist
from lifelong.output import emit
from lifelong.settings import DEFAULT_STRATEGIES
from networks.settings import MlpSpec
from trainer.assembly import TrainerConfiguration, assemble
from trainer.loop import Trainer
from trainer.policies import CurriculumKind, ProbeSettings, PromotionSettings, TaskSettings
from trainer.settings import LearnerSettings

STRATEGIES: dict[str, list[dict[str, Any]]] = {
    "replay 2,000 + EWC": DEFAULT_STRATEGIES,
    "replay 100": [{"kind": "replay", "capacity": 100}],
}


@dataclass(frozen=True)
class Row:
    """One run: the tasks as they came and as they were learned, test accuracies in 0…1 in the order they came.

    `seconds` is the time from the first event read to the end of the last task.
    """

    strategy: str
    curriculum: str
    seed: int
    came: list[str]
    learned: list[str]
    accuracies: list[float]
    seconds: float

    @property
    def average_accuracy(self) -> float:
        """The mean over the tasks."""
        return mean(self.accuracies)


class Deaf:
    """A service that takes note of nothing."""

    def announce(self, generation: int, files: dict[str, bytes]) -> None:
        """Nothing."""

    def report(self, status: object) -> bool:
        """Known."""
        return status is not None

    def narrate(self, news: object) -> None:
        """Nothing."""

    def remember(self, versions: object) -> None:
        """Nothing."""

    def certify(self, read: object) -> None:
        """Nothing."""


def configuration(directory: Path, strategy: str, seed: int, tasks: TaskSettings) -> TrainerConfiguration:
    """The defaults but for what is given; nothing is promoted, which would only take time."""
    return TrainerConfiguration(
        model="digits",
        directory=directory,
        input=ImageInput(shape=(28, 28)),
        labels=LabelSpec(),
        network=MlpSpec(),
        strategies=STRATEGIES[strategy],
        feedback=SqliteSettings(),
        predictions=PredictionSettings(),
        registry_uri=None,
        learner=LearnerSettings(seed=seed),
        tasks=tasks,
        probes=ProbeSettings(),
        promotion=PromotionSettings(mode="apprentice", min_interval_seconds=86_400),
    )


def fill(log: SqliteLog, data: DataSet, pairs: Sequence[Sequence[int]], events: int, seed: int) -> list[str]:
    """Writes so many events of each task, one task after the other; returns the tasks' names."""
    names = [f"{first}-{second}" for first, second in pairs]
    random = np.random.default_rng(seed)
    for name, digits in zip(names, pairs, strict=True):
        rows = random.permutation(np.flatnonzero(np.isin(data.train_labels, digits)))[:events]
        log.append([(f"image-{row}", _event(data, int(row), name)) for row in rows])
    return names


def _event(data: DataSet, row: int, task: str) -> bytes:
    instance, label = data.train_images[row].tolist(), int(data.train_labels[row])
    return json.dumps({"event_id": f"image-{row}", "task": task, "label": label, "instance": instance}).encode()


def measure(data: DataSet, strategy: str, kind: CurriculumKind, seed: int, events: int) -> Row:
    """Fills a log, lets a new trainer learn all of it and measures what it has learned."""
    random = np.random.default_rng(seed)
    pairs = (random.permutation(10) if seed else np.arange(10)).reshape(5, 2).tolist()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        came = fill(SqliteLog(directory / "feedback.db"), data, pairs, events, seed)
        tasks = TaskSettings(curriculum=kind, backlog_events=5 * events)
        trainer = assemble(configuration(directory, strategy, seed, tasks), Deaf(), lambda: None)
        trainer.begin()
        started = time.perf_counter()
        trainer.close_task(came[-1])
        seconds = time.perf_counter() - started
        query = "SELECT task FROM events GROUP BY task ORDER BY min(sequence)"
        database = apsw.Connection(str(directory / "trainer" / "state.db"))
        learned = [task for (task,) in database.execute(query)]
        accuracies = [accuracy(trainer, data, digits) for digits in pairs]
        trainer.end()
    return Row(strategy, kind, seed, came, learned, accuracies, seconds)


@torch.inference_mode()
def accuracy(trainer: Trainer, data: DataSet, digits: Sequence[int]) -> float:
    """Accuracy on the test images of these digits, among all digits."""
    rows = np.isin(data.test_labels, digits)
    labels = np.array([int(column.label) for column in trainer.network.columns])
    answers = trainer.network(torch.from_numpy(data.test_images[rows])).argmax(dim=1).numpy()
    return float((labels[answers] == data.test_labels[rows]).mean())


def run(data: DataSet, seeds: int, events: int) -> Iterator[Row]:
    """Every strategy in every curriculum, for every seed."""
    with Progress(console=Console(stderr=True)) as progress:
        for strategy in STRATEGIES:
            for kind in get_args(CurriculumKind):
                for seed in progress.track(range(seeds), description=f"{strategy}, {kind}"):
                    yield measure(data, strategy, kind, seed, events)


def table(rows: Sequence[Row], events: int) -> Table:
    """One line a strategy and curriculum."""
    shown = Table(title=f"Split MNIST, {events} events of each task waiting")
    for heading in (
        "strategy",
        "curriculum",
        "average accuracy",
        "± std",
        "− given",
        "lowest task",
        "s",
        "order, seed 0",
    ):
        shown.add_column(heading, justify="right" if heading in {"average accuracy", "± std", "s"} else "left")
    for strategy, kind in dict.fromkeys((row.strategy, row.curriculum) for row in rows):
        own, given = ([r for r in rows if (r.strategy, r.curriculum) == (strategy, each)] for each in (kind, "given"))
        averages = [row.average_accuracy for row in own]
        gains = [row.average_accuracy - other.average_accuracy for row, other in zip(own, given, strict=True)]
        spread = stdev(averages) if len(own) > 1 else 0.0
        numbers = (
            f"{mean(averages):.4f}",
            f"{spread:.4f}",
            f"{mean(gains):+.4f} ({min(gains):+.4f}…{max(gains):+.4f})",
        )
        lowest, seconds = mean(min(row.accuracies) for row in own), mean(row.seconds for row in own)
        shown.add_row(strategy, kind, *numbers, f"{lowest:.4f}", f"{seconds:.1f}", " ".join(own[0].learned))
    return shown


def main() -> None:
    """Reads the arguments and prints the table or its document."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--events", type=int, default=2000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = list(run(mnist(), arguments.seeds, arguments.events))
    documents = [asdict(row) | {"average_accuracy": row.average_accuracy} for row in rows]
    emit({"events": arguments.events, "rows": documents}, arguments.json, table(rows, arguments.events))


if __name__ == "__main__":
    main()
