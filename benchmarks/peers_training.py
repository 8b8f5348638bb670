"""Samples per second and accuracy beside Avalanche: Split MNIST, class-incremental, one pass.

    LIFELONG_DATA_DIR=… python -m benchmarks.peers_training [--json] [--rounds N] [--threads N] [--method NAME]
        [--directory DIR]

Avalanche gets an environment of its own below `--directory`, made with uv by the first run: 6 GB, with the same torch.
Both learn with the same network (MLP 784-400-400-10), optimiser (Adam, 0.001), batches (128 new rows, 128 replayed),
memory (2,000 examples; beside EWC of past tasks only, as Avalanche has it), order of tasks and number of threads, and
take turns. Measuring accuracy is outside of the time. Strengths of penalties are each side's own: Avalanche's are those
of its published baselines or its defaults, ours the defaults, but for EWC beside replay, whose strength was chosen on
10,000 training rows that were held out for it. Avalanche computes in float32; ours takes two turns, one in float32, one
with products of matrices in bfloat16. Every round has a seed of its own.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, median
from typing import Annotated, Any, Literal

import numpy as np
import torch
import typer
from rich.table import Table

from benchmarks.peers import environment
from lifelong.bench.sources import images
from lifelong.bench.stream import Stream, split
from lifelong.bench.study import Method, Protocol, Study, plain_learner
from lifelong.data import DataSet, mnist
from lifelong.output import emit
from networks.settings import MlpSpec

AVALANCHE = "0.6.0"
CAPACITY, ROWS, TASK_ROWS, REFERENCE_ROWS, MARGIN = 2000, 128, 400, 256, 0.5
Precision = Literal["float32", "bfloat16"]
METHODS: dict[str, list[dict[str, Any]]] = {
    "replay + EWC": [
        {"kind": "replay", "capacity": CAPACITY, "rows": ROWS, "scope": "past"},
        {"kind": "ewc", "strength": 10},
    ],
    "naive": [],
    "EWC": [{"kind": "ewc"}],
    "SI": [{"kind": "si"}],
    "GEM": [{"kind": "gem", "capacity": CAPACITY, "task_rows": TASK_ROWS, "margin": MARGIN}],
    "A-GEM": [{"kind": "agem", "capacity": CAPACITY, "task_rows": TASK_ROWS, "rows": REFERENCE_ROWS}],
    "LwF": [{"kind": "lwf"}],
    "DER": [{"kind": "der", "capacity": CAPACITY, "rows": ROWS, "alpha": 0.1, "beta": 0}],
    "DER++": [{"kind": "der", "capacity": CAPACITY, "rows": ROWS, "alpha": 0.1, "beta": 0.5}],
}
PROTOCOL = Protocol(MlpSpec(hidden=[400, 400]), plain_learner(), all_columns=True)
CONDITIONS: dict[str, Any] = {
    "hidden": [400, 400],
    "batch_size": PROTOCOL.learner.batch_size,
    "epochs": PROTOCOL.epochs,
    "learning_rate": PROTOCOL.learner.learning_rate,
    "capacity": CAPACITY,
    "replay_rows": ROWS,
    "task_rows": TASK_ROWS,
    "reference_rows": REFERENCE_ROWS,
    "margin": MARGIN,
}
TARGETS = {"replay + EWC": 5.0}
OTHER_TARGET = 3.0


@dataclass(frozen=True)
class Measured:
    """New rows learned in a second, and the mean test accuracy over the tasks in 0…1."""

    samples_per_second: float
    accuracy: float


@dataclass(frozen=True)
class Row:
    """A method on both sides, and the ratios of samples/s to theirs: medians of the rounds, accuracies means.

    `bfloat16` is ours with products of matrices in that type.
    """

    method: str
    float32: Measured
    bfloat16: Measured
    theirs: Measured
    float32_ratio: float
    bfloat16_ratio: float
    target: float


class Avalanche:
    """A process that learns on request."""

    def __init__(self, python: Path, data: Path, threads: int) -> None:
        script = Path(__file__).with_name("peers_avalanche.py")
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONWARNINGS": "ignore"}
        command = [str(python), str(script), str(data), json.dumps({**CONDITIONS, "threads": threads})]
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.versions: dict[str, str] = self._answer()

    def measure(self, name: str, seed: int) -> Measured:
        """Learns the stream with a method."""
        if self._process.stdin is not None:
            self._process.stdin.write(json.dumps([name, seed]) + "\n")
            self._process.stdin.flush()
        return Measured(**self._answer())

    def close(self) -> None:
        """Ends the process."""
        self._process.terminate()
        self._process.wait()

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise RuntimeError(f"Avalanche ended with status {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def avalanche(directory: Path, data: DataSet, threads: int) -> Iterator[Avalanche]:
    """Avalanche with the same rows."""
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "data.npz"
        arrays = {name: value for name, value in data._asdict().items() if name != "name"}
        np.savez(path, **arrays)
        peer = Avalanche(
            environment(directory / f"avalanche-{AVALANCHE}", [f"avalanche-lib=={AVALANCHE}"]), path, threads
        )
        try:
            yield peer
        finally:
            peer.close()


def stream(data: DataSet) -> Stream:
    """Five tasks of two digits each, in their natural order."""
    return split(images(data), 2, "class")


def measure(tasks: Stream, name: str, precision: Precision, seed: int) -> Measured:
    """Our side of a round."""
    method = Method(name, METHODS[name], learner={"precision": precision})
    outcome = Study(tasks, PROTOCOL, method, seed).run()
    return Measured(outcome.rows / outcome.seconds, outcome.average_accuracy)


def compare(tasks: Stream, peer: Avalanche, name: str, rounds: int) -> Row:
    """All three in turns."""
    turns = [
        (measure(tasks, name, "float32", seed), measure(tasks, name, "bfloat16", seed), peer.measure(name, seed))
        for seed in range(rounds)
    ]
    float32, bfloat16, theirs = (list(side) for side in zip(*turns, strict=True))
    row = Row(
        name,
        _summary(float32),
        _summary(bfloat16),
        _summary(theirs),
        _ratio(float32, theirs),
        _ratio(bfloat16, theirs),
        TARGETS.get(name, OTHER_TARGET),
    )
    sys.stderr.write(f"{row}\n")
    return row


def _ratio(ours: list[Measured], theirs: list[Measured]) -> float:
    pairs = zip(ours, theirs, strict=True)
    return median(own.samples_per_second / other.samples_per_second for own, other in pairs)


def _summary(runs: list[Measured]) -> Measured:
    return Measured(median(run.samples_per_second for run in runs), mean(run.accuracy for run in runs))


def table(rows: list[Row], versions: dict[str, str], threads: int) -> Table:
    """One line a method."""
    title = f"Split MNIST, class-incremental, one pass, threads each: {threads}; ours beside {versions}"
    shown = Table(title=title)
    sides = ("float32", "bfloat16", "Avalanche")
    for heading in ("method", *(f"{side}: rows/s" for side in sides), "ratios", "target", "accuracies"):
        shown.add_column(heading, justify="left" if heading == "method" else "right")
    for row in rows:
        runs = (row.float32, row.bfloat16, row.theirs)
        ratios = f"{row.float32_ratio:.1f} · {row.bfloat16_ratio:.1f}"
        accuracies = " · ".join(f"{run.accuracy:.3f}" for run in runs)
        speeds = (f"{run.samples_per_second:,.0f}" for run in runs)
        shown.add_row(row.method, *speeds, ratios, f"≥ {row.target:.0f}", accuracies)
    return shown


def main(
    as_json: Annotated[bool, typer.Option("--json")] = False,
    rounds: Annotated[int, typer.Option(help="Turns of both for each method.", min=1)] = 3,
    threads: Annotated[int, typer.Option(help="Threads of each side.", min=1)] = 1,
    method: Annotated[list[str] | None, typer.Option(help="One of the methods; may be repeated; else all.")] = None,
    directory: Annotated[Path, typer.Option(help="Where the environment lies.")] = Path(".cache/peers"),
) -> None:
    """Measures every method and prints the table."""
    torch.set_num_threads(threads)
    data = mnist()
    tasks = stream(data)
    with avalanche(directory, data, threads) as peer:
        compare(tasks, peer, "replay + EWC", 1)  # warms up
        rows = [compare(tasks, peer, name, rounds) for name in method or METHODS]
    versions = {"ours": {"torch": str(torch.__version__)}, "theirs": peer.versions}
    document = {
        "conditions": {**CONDITIONS, "threads": threads},
        "versions": versions,
        "rows": [asdict(row) for row in rows],
    }
    emit(document, as_json, table(rows, peer.versions, threads))


if __name__ == "__main__":
    typer.run(main)
