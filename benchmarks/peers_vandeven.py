"""CPU seconds of a protocol beside its authors' program: synaptic intelligence on Split MNIST, five tasks in turn.

    LIFELONG_DATA_DIR=… python -m benchmarks.peers_vandeven [--json] [--rounds N] [--repository URL] [--directory DIR]

The program is *continual-learning* of van de Ven (github.com/GMvandeVen/continual-learning), whose README gives its
first example about 6 minutes on a desktop computer. It gets an environment of its own below `--directory`, with the
same torch: 6 GB. Both run as whole commands on one thread, in turns, with 2,000 steps of 128 rows for each of five
tasks, Adam, and the network 784-400-400; start, reading the data and measuring the accuracies are part of the time.
It is the processor's: what else runs on the machine counts less in it than in the clock's.
"""

import gzip
import json
import os
import resource
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from rich.table import Table

from benchmarks.peers import environment
from lifelong.data import mnist_directory
from lifelong.errors import MissingDataSet
from lifelong.output import emit

REPOSITORY = "https://github.com/GMvandeVen/continual-learning"
COMMIT = "e6d795a"
PACKAGES = ["torchvision", "numpy", "scipy", "pandas", "tqdm", "scikit-learn", "matplotlib"]
THEIRS = ["main.py", "--experiment=splitMNIST", "--scenario=task", "--si", "--no-gpus", "--no-save"]
OURS = ["-m", "lifelong", "bench", "reference", "--table", "vandeven", "--method", "SI", "--scenario", "task"]
TARGET = 3.0


@dataclass(frozen=True)
class Measured:
    """CPU seconds of the whole command, and the average test accuracy over the tasks in 0…1."""

    seconds: float
    accuracy: float


@dataclass(frozen=True)
class Found:
    """Both sides, medians over the rounds; `ratio` is the median of their seconds divided by ours."""

    ours: Measured
    theirs: Measured
    ratio: float
    target: float = TARGET


class Peer:
    """Their program, checked out with the data where it looks for them."""

    def __init__(self, repository: str, directory: Path) -> None:
        self._python = environment(directory / "vandeven", PACKAGES)
        self._place = (directory / "vandeven-continual-learning").absolute()
        if not self._place.is_dir():
            subprocess.run(["git", "clone", "--quiet", repository, self._place], check=True)
        subprocess.run(["git", "-C", self._place, "checkout", "--quiet", COMMIT], check=True)
        packed_files = sorted(_mnist().glob("*.gz"))
        raw = self._place / "store" / "datasets" / "MNIST" / "MNIST" / "raw"
        raw.mkdir(parents=True, exist_ok=True)
        for packed in packed_files:
            (raw / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))

    def measure(self) -> Measured:
        """Runs it once."""
        seconds, output = _timed([str(self._python), *THEIRS], self._place)
        (line,) = (line for line in output.splitlines() if "average accuracy over all" in line)
        return Measured(seconds, float(line.rsplit(":", 1)[1]))


def measure() -> Measured:
    """Runs ours once."""
    with tempfile.TemporaryDirectory() as scratch:
        kept = ["--seeds", "1", "--results", str(Path(scratch) / "results.jsonl"), "--json"]
        seconds, output = _timed([sys.executable, *OURS, *kept], Path.cwd())
    (cell,) = json.loads(output)["cells"]
    return Measured(seconds, cell["mean"] / 100)


def _mnist() -> Path:
    directory = mnist_directory()
    if directory is None:
        raise MissingDataSet("missing_data_set", "MNIST: put its four files into $LIFELONG_DATA_DIR/mnist")
    return directory


def _timed(command: list[str], directory: Path) -> tuple[float, str]:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        command,
        cwd=directory,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def main(
    as_json: Annotated[bool, typer.Option("--json")] = False,
    rounds: Annotated[int, typer.Option(help="Turns of both.", min=1)] = 1,
    repository: Annotated[str, typer.Option(help="Where their program is cloned from.")] = REPOSITORY,
    directory: Annotated[Path, typer.Option(help="Where program and environment lie.")] = Path(".cache/peers"),
) -> None:
    """Measures both and prints the table."""
    peer = Peer(repository, directory)
    pairs = [(measure(), peer.measure()) for _ in range(rounds)]
    ours, theirs = (
        Measured(median(run.seconds for run in side), median(run.accuracy for run in side))
        for side in zip(*pairs, strict=True)
    )
    found = Found(ours, theirs, median(theirs.seconds / ours.seconds for ours, theirs in pairs))
    shown = Table("side", "CPU seconds", "accuracy", title=f"SI, Split MNIST, five tasks: {found.ratio:.1f}×")
    for name, side in (("ours", ours), ("theirs", theirs)):
        shown.add_row(name, f"{side.seconds:.1f}", f"{side.accuracy:.4f}")
    emit(asdict(found), as_json, shown)


if __name__ == "__main__":
    typer.run(main)
