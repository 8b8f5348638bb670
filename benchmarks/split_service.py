"""Split MNIST, class-incremental, through the running service: REST feedback in, REST predictions out.

`python -m benchmarks.split_service [--json] [--rows N] [--strategies default,finetuning,joint]`

Five tasks of two digits, in one pass over the training images; the test images are only ever predicted on. Each
strategy is a model of one service, streamed after the one before, with the default configuration but for its network
(two hidden layers of 400) and its strategies. The bounds are measured on what they learn (`promotion` lets everything
pass), the default on what its gate lets through.
"""

import contextlib
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
from lifelong.errors import ServiceUnreachable
from lifelong.output import emit, stderr
from lifelong.settings import Settings
from lifelong.stream import Task, learn, split, test_accuracy
from lifelong.up import Place, running
from networks.settings import MlpSpec
from service.environment import free_port
from trainer.policies import PromotionSettings

OPEN_GATE = PromotionSettings(max_drop=1.0, budget=1.0, alpha=1e-9, floor_drop=1.0, max_negative_flips=1.0)
STRATEGIES: dict[str, list[dict[str, Any]] | None] = {"default": None, "finetuning": [], "joint": [{"kind": "joint"}]}
SETTLE_SECONDS = 15.0
"""What the gate has not let through by then is left to the events to come."""


class Result(NamedTuple):
    """One strategy: test accuracy per task over REST, what the probes say, and how long it took.

    `unserved` are the last events, learned but kept back by the gate when accuracy was measured.
    """

    strategy: str
    accuracy: list[float]
    backward_transfer: float
    seconds: float
    unserved: int
    gate: dict[str, int]

    @property
    def average(self) -> float:
        """Mean test accuracy over the tasks."""
        return sum(self.accuracy) / len(self.accuracy)


def settings_of(strategy: str) -> Settings:
    """The model that learns by a strategy."""
    chosen = STRATEGIES[strategy]
    changes: dict[str, Any] = {} if chosen is None else {"strategies": chosen, "promotion": OPEN_GATE}
    return Settings(model=strategy, input=ImageInput(shape=(28, 28)), network=MlpSpec(), **changes)


def measure(address: str, strategy: str, tasks: Sequence[Task]) -> Result:
    """Streams all tasks to one model."""
    with Client(address, strategy) as client, Progress(console=stderr()) as progress:
        begun = time.monotonic()
        bar = progress.add_task(strategy, total=sum(len(task.labels) for task in tasks))
        for task in tasks:
            learn([client], task, lambda: progress.advance(bar))
        took = time.monotonic() - begun
        with contextlib.suppress(ServiceUnreachable):
            client.wait_served(client.status().processed_through, SETTLE_SECONDS)
        status, matrix = client.status(), client.matrix()
        accuracy = test_accuracy(client, tasks)
    unserved = status.processed_through - status.served_through
    transfer = float("nan") if matrix.backward_transfer is None else matrix.backward_transfer
    return Result(strategy, accuracy, transfer, took, unserved, status.gate)


def main(
    as_json: Annotated[bool, typer.Option("--json")] = False,
    rows: Annotated[int, typer.Option(help="Training images of a task at most.")] = 100_000,
    strategies: Annotated[str, typer.Option(help="Which to run.")] = ",".join(STRATEGIES),
) -> None:
    """Runs the strategies one after the other and prints the table."""
    tasks = split(mnist(), rows)
    chosen = strategies.split(",")
    models = [settings_of(strategy) for strategy in chosen]
    with (
        tempfile.TemporaryDirectory() as state,
        running(models, Place(Path(state), "127.0.0.1", free_port())) as service,
    ):
        results = [measure(service.place.address, strategy, tasks) for strategy in chosen]
    names = (task.name for task in tasks)
    table = Table("strategy", *names, "average", "BWT (probes)", "s", "unserved", "gate")
    for result in results:
        cells = [f"{value:.3f}" for value in (*result.accuracy, result.average, result.backward_transfer)]
        cells += [f"{result.seconds:.0f}", *map(str, (result.unserved, result.gate))]
        table.add_row(result.strategy, *cells)
    emit([{**result._asdict(), "average": result.average} for result in results], as_json, table)


if __name__ == "__main__":
    typer.run(main)
