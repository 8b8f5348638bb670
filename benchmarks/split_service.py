"""Split MNIST, class-incremental, through the running service: REST feedback in, REST predictions out.

`python -m benchmarks.split_service [--json] [--rows N] [--strategies default,finetuning,joint]`

Five tasks of two digits, in one pass over the training images; the test images are only ever predicted on. Each
strategy has a service of its own, with the default configuration but for its strategies. The bounds are measured on
what they learn (`promotion` lets everything pass), the default on what its gate lets through.
"""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.progress import Progress
from rich.table import Table

from contracts.inputs import ImageInput
from lifelong.client import Client
from lifelong.data import mnist
from lifelong.instance import free_port
from lifelong.output import emit, stderr
from lifelong.settings import Settings
from lifelong.stream import Task, learn, split, test_accuracy
from lifelong.up import Place, running
from trainer.policies import PromotionSettings

OPEN_GATE = PromotionSettings(max_drop=1.0, budget=1.0, alpha=1e-9, floor_drop=1.0, max_negative_flips=1.0)
STRATEGIES: dict[str, list[dict[str, Any]] | None] = {"default": None, "finetuning": [], "joint": [{"kind": "joint"}]}


class Result(NamedTuple):
    """One strategy: test accuracy per task over REST, what the probes say, and how long it took."""

    strategy: str
    accuracy: list[float]
    backward_transfer: float
    seconds: float
    steps: int
    gate: dict[str, int]

    @property
    def average(self) -> float:
        """Mean test accuracy over the tasks."""
        return sum(self.accuracy) / len(self.accuracy)


def measure(strategy: str, tasks: Sequence[Task]) -> Result:
    """Streams all tasks through a service of its own."""
    chosen = STRATEGIES[strategy]
    changes: dict[str, Any] = {} if chosen is None else {"strategies": chosen, "promotion": OPEN_GATE}
    settings = Settings(model="mnist", input=ImageInput(shape=(28, 28)), **changes)
    with (
        tempfile.TemporaryDirectory() as state,
        running([settings], Place(Path(state), "127.0.0.1", free_port())) as up,
    ):
        with Client(up.place.address, "mnist") as client, Progress(console=stderr()) as progress:
            begun = time.monotonic()
            bar = progress.add_task(strategy, total=sum(len(task.labels) for task in tasks))
            for task in tasks:
                learn([client], task, lambda: progress.advance(bar))
            status = client.status()
            client.wait_served(status["processed_through"], 60.0)
            accuracy = test_accuracy(client, tasks)
        transfer = status["matrix"]["backward_transfer"]
        return Result(strategy, accuracy, transfer, time.monotonic() - begun, status["round"], status["gate"])


def main(
    as_json: Annotated[bool, typer.Option("--json")] = False,
    rows: Annotated[int, typer.Option(help="Training images of a task at most.")] = 100_000,
    strategies: Annotated[str, typer.Option(help="Which to run.")] = ",".join(STRATEGIES),
) -> None:
    """Runs the strategies one after the other and prints the table."""
    tasks = split(mnist(), rows)
    results = [measure(strategy, tasks) for strategy in strategies.split(",")]
    table = Table("strategy", *(task.name for task in tasks), "average", "BWT (probes)", "s", "rounds", "gate")
    for result in results:
        cells = [f"{value:.3f}" for value in (*result.accuracy, result.average, result.backward_transfer)]
        table.add_row(result.strategy, *cells, f"{result.seconds:.0f}", str(result.steps), str(result.gate))
    emit([{**result._asdict(), "average": result.average} for result in results], as_json, table)


if __name__ == "__main__":
    typer.run(main)
