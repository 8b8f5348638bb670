"""What the EWC penalty costs a step, and that it costs the same after one task and after a hundred.

    python -m benchmarks.penalty [--rounds 60] [--json]

A step learns 128 new and 128 replayed rows of MNIST's size with the default network on one thread. Runs with and
without EWC take turns, and the median of the processor's seconds counts, so that other programs disturb little.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import torch
from rich.table import Table

from contracts.inputs import TensorInput
from contracts.labels import Column
from lifelong.output import emit
from networks.build import build
from networks.settings import MlpSpec
from trainer.batch import Batch
from trainer.catalogue import load
from trainer.learner import Learner
from trainer.settings import LearnerSettings

STEPS = 5
REPLAY: dict[str, Any] = {"kind": "replay"}
EWC: dict[str, Any] = {"kind": "ewc", "fisher_rows": 50}


@dataclass(frozen=True)
class Row:
    """A step after so many tasks were consolidated: milliseconds, the share of it that is the penalty, numbers kept."""

    strategies: str
    tasks: int
    step_milliseconds: float
    penalty_share: float
    numbers_kept: int


def rows(first: int, count: int) -> Batch:
    """Random rows of MNIST's size with ten targets."""
    ids = torch.arange(first, first + count)
    inputs = torch.rand(count, 784, generator=torch.Generator().manual_seed(first))
    return Batch(ids, inputs, ids % 10, torch.zeros_like(ids))


def prepared(strategies: Sequence[dict[str, Any]], tasks: int) -> Learner:
    """A learner whose buffer is full and that has ended so many tasks."""
    network = build(MlpSpec(), TensorInput(shape=(784,)), [Column(str(digit)) for digit in range(10)], seed=0)
    learner = Learner(network, load(strategies), LearnerSettings())
    learner.train(rows(0, 2048), rows(0, 0), steps=0, number=0)
    for _ in range(tasks):
        learner.consolidate(rows(0, 64))
    return learner


def measure(rounds: int) -> list[Row]:
    """Steps with no penalty, after 1 task and after 100."""
    torch.set_num_threads(1)
    cases = {"replay": (prepared([REPLAY], 0), 0), "replay + EWC": (prepared([REPLAY, EWC], 1), 1)}
    cases["replay + EWC, 100 tasks"] = (prepared([REPLAY, EWC], 100), 100)
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for place in range(rounds):
        batch = rows(4096 + place * STEPS * 128, STEPS * 128)
        for name, (learner, _) in cases.items():
            started = time.thread_time()
            learner.train(batch, batch, steps=STEPS, number=place)
            seconds[name].append((time.thread_time() - started) / STEPS)
    plain = median(seconds["replay"])
    return [_row(name, case, median(seconds[name]), plain) for name, case in cases.items()]


def _row(name: str, case: tuple[Learner, int], step: float, plain: float) -> Row:
    learner, tasks = case
    tensors, _ = learner.state()
    kept = sum(tensors[key].numel() for key in tensors if key.endswith((".root", ".target")))
    return Row(name.split(",", maxsplit=1)[0], tasks, 1000 * step, (step - plain) / step, kept)


def main() -> None:
    """Reads the arguments and prints the table or its document."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    measured = measure(arguments.rounds)
    table = Table(title="EWC penalty, 478,410 parameters, 128 new + 128 replayed rows, one thread")
    for heading in ("strategies", "tasks", "ms a step", "penalty", "numbers kept"):
        table.add_column(heading, justify="left" if heading == "strategies" else "right")
    for row in measured:
        cells = (f"{row.step_milliseconds:.2f}", f"{row.penalty_share:.1%}", f"{row.numbers_kept:,}")
        table.add_row(row.strategies, str(row.tasks), *cells)
    emit({"rows": [asdict(row) for row in measured]}, arguments.json, table)


if __name__ == "__main__":
    main()
