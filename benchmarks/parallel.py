"""What several processes that learn one model together gain, and what a step costs each of them.

    python -m benchmarks.parallel [--workers 1 --workers 2] [--rounds 6] [--json]

Replay + EWC on rows of MNIST's size with an MLP wider than the default one, one thread a process, gloo between them.
Where there are as few cores as processes, what else runs on them counts double: the processor's seconds are shown, too.
"""

import multiprocessing
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from typing import Annotated, Any, NamedTuple

import torch
import typer
from rich.table import Table
from torch.distributed import FileStore  # type: ignore[attr-defined]

from benchmarks.penalty import EWC, REPLAY, rows
from contracts.inputs import TensorInput
from contracts.labels import Column
from lifelong.output import emit
from networks.build import build
from networks.settings import MlpSpec
from trainer.catalogue import load
from trainer.learner import Learner
from trainer.parallel import Ranks
from trainer.settings import LearnerSettings

HIDDEN = [2048, 2048]
BATCH = 512
STEPS = 4
COLUMNS = [Column(str(digit)) for digit in range(10)]


class Measured(NamedTuple):
    """One process of so many: milliseconds a step by the clock, of its own processor time, and in the sum of a step."""

    workers: int
    parameters: int
    step: float
    processor: float
    adding: float


class TimedRanks(Ranks):
    """Ranks that take the time of their sums."""

    seconds = 0.0

    def add_up(self, vector: torch.Tensor) -> None:
        """As `Ranks` has it."""
        started = time.perf_counter()
        super().add_up(vector)
        self.seconds += time.perf_counter() - started


def learned(rank: int, size: int, place: str, rounds: int) -> Measured:
    """What the rounds cost one of the processes; the first one fills the buffer and does not count."""
    torch.set_num_threads(1)
    store = FileStore(place, size)
    ranks = TimedRanks(rank, size, store, torch.device("cpu")) if size > 1 else None
    network = build(MlpSpec(hidden=HIDDEN), TensorInput(shape=(784,)), COLUMNS, seed=0)
    settings = LearnerSettings(batch_size=BATCH)
    learner = Learner(network, load([{**REPLAY, "rows": BATCH}, EWC]), settings, ranks)
    learner.train(rows(0, BATCH * STEPS), rows(0, 0), steps=STEPS, number=0)
    learner.consolidate(rows(0, 64))
    steps, processor, adding = [], [], []
    for number in range(1, rounds + 1):
        batch, before = rows(number * BATCH * STEPS, BATCH * STEPS), ranks.seconds if ranks else 0.0
        started, used = time.perf_counter(), _processor()
        learner.train(batch, batch, steps=STEPS, number=number)
        steps.append(time.perf_counter() - started)
        processor.append(_processor() - used)
        adding.append((ranks.seconds if ranks else 0.0) - before)
    if ranks:
        ranks.leave()
    each = [1000 * median(seconds) / STEPS for seconds in (steps, processor, adding)]
    return Measured(size, network.layout.size, *each)


def measure(size: int, rounds: int) -> Measured:
    """The leader of so many processes."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as directory, ProcessPoolExecutor(size, context) as pool:
        place = str(Path(directory) / "meeting")
        jobs = [pool.submit(learned, rank, size, place, rounds) for rank in range(size)]
        leader, *_ = [job.result() for job in jobs]
    return leader


def main(
    workers: Annotated[list[int] | None, typer.Option(help="How many processes; may be repeated.")] = None,
    rounds: int = 6,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Prints the table or its document."""
    measured = [measure(size, rounds) for size in workers or [1, 2]]
    table = Table(
        title=f"{measured[0].parameters:,} parameters, {BATCH} new + {BATCH} replayed rows a step, one thread"
    )
    for heading in ("workers", "new rows/s", "ms a step", "its processor ms", "ms in the sum"):
        table.add_column(heading, justify="right")
    for each in measured:
        times = (f"{value:.0f}" for value in (1000 * BATCH / each.step, each.step, each.processor, each.adding))
        table.add_row(str(each.workers), *times)
    document: list[dict[str, Any]] = [each._asdict() for each in measured]
    emit({"rows": document}, as_json, table)


def _processor() -> float:
    """Seconds of processor time that this process has used, all threads of it."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    typer.run(main)
