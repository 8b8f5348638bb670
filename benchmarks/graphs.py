"""Rows per second with steps taken one operation after the other, compiled by torch, and captured as a CUDA graph.

    python -m benchmarks.graphs [--rounds N] [--steps N] [--json]

A step learns 128 new and 128 replayed rows of MNIST's size with EWC and the default network. The three take turns.
Without a GPU nothing is captured or compiled: the operations of a graph then run directly, which shows what deciding on
the device costs, and the table says so.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Annotated

import torch
import typer
from rich.table import Table

from benchmarks.penalty import EWC, REPLAY, rows
from contracts.inputs import TensorInput
from contracts.labels import Column
from lifelong.output import emit
from networks.build import build
from networks.flat import Network
from networks.settings import MlpSpec
from trainer.captured import CapturedStep
from trainer.catalogue import load
from trainer.optimiser import OPTIMISERS, Optimiser
from trainer.settings import LearnerSettings
from trainer.step import Step
from trainer.strategy import Strategy

SETTINGS = LearnerSettings()
NEW_ROWS = 128


@dataclass(frozen=True)
class Row:
    """How steps were taken: new rows learned in a second, and the ratio to one operation after the other."""

    way: str
    rows_per_second: float
    ratio: float


class Subject:
    """A network that has ended a task, with a full buffer and a way to take steps."""

    def __init__(self, device: str, way: type[Step], is_compiled: bool) -> None:
        columns = [Column(str(digit)) for digit in range(10)]
        self._network: Network = build(MlpSpec(), TensorInput(shape=(784,)), columns, seed=0, device=device)
        self._strategy: Strategy = load([REPLAY, EWC])
        optimiser: Optimiser = OPTIMISERS[SETTINGS.optimiser](SETTINGS.learning_rate)
        self._step = way(self._network, self._strategy, optimiser, SETTINGS.clip_norm)
        self._batch = rows(0, NEW_ROWS).to(self._network.theta.device)
        self._strategy.after_step(self._network, rows(0, 4096).to(self._network.theta.device), torch.empty(0))
        self._strategy.after_task(self._network, rows(0, 512).to(self._network.theta.device))
        if is_compiled:
            self._network.module.compile(mode="max-autotune-no-cudagraphs")
        self.seconds(20)

    def seconds(self, steps: int) -> float:
        """What so many steps take, draws of exemplars included."""
        curvature, started = self._strategy.curvature(), time.perf_counter()
        for _ in range(steps):
            self._step(self._strategy.replay(self._network, self._batch), curvature)
        return time.perf_counter() - started


def measure(device: str, rounds: int, steps: int) -> list[Row]:
    """All ways in turns."""
    ways: dict[str, Callable[[], Subject]] = {"one operation after the other": lambda: Subject(device, Step, False)}
    if device == "cuda":
        ways["torch.compile"] = lambda: Subject(device, Step, True)
        ways["CUDA graph"] = lambda: Subject(device, CapturedStep, False)
    else:
        ways["a graph's operations, run directly: no GPU"] = lambda: Subject(device, CapturedStep, False)
    subjects = {way: build_subject() for way, build_subject in ways.items()}
    taken: dict[str, list[float]] = {way: [] for way in subjects}
    for _ in range(rounds):
        for way, subject in subjects.items():
            taken[way].append(subject.seconds(steps))
    plain = next(iter(taken.values()))
    return [
        Row(
            way,
            NEW_ROWS * steps / statistics.median(seconds),
            statistics.median(one / other for one, other in zip(plain, seconds, strict=True)),
        )
        for way, seconds in taken.items()
    ]


def main(
    rounds: Annotated[int, typer.Option(help="Turns of each way.", min=1)] = 9,
    steps: Annotated[int, typer.Option(help="Steps of a turn.", min=1)] = 50,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Measures and prints the table."""
    torch.set_num_threads(1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    found = measure(device, rounds, steps)
    where = torch.cuda.get_device_name() if device == "cuda" else "CPU, one thread"
    table = Table("steps", "new rows/s", "ratio", title=f"Replay + EWC on {where}, torch {torch.__version__}")
    for row in found:
        table.add_row(row.way, f"{row.rows_per_second:,.0f}", f"{row.ratio:.2f}")
    emit({"device": where, "torch": str(torch.__version__), "rows": [asdict(row) for row in found]}, as_json, table)


if __name__ == "__main__":
    typer.run(main)
