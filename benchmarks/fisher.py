"""Seconds of the Fisher diagonal beside one forward and one backward pass over the same rows.

    python -m benchmarks.fisher [--json] [--rows N] [--rounds N]

Random rows, one thread; both take turns and medians of the processor's seconds count.
"""

import time
from collections.abc import Callable
from statistics import median
from typing import Annotated, NamedTuple

import torch
import typer
from rich.table import Table
from torch.nn.functional import cross_entropy

from contracts.inputs import ImageInput, InputSpec, TensorInput, TextInput
from contracts.labels import Column
from lifelong.output import emit
from networks.build import build
from networks.flat import Network
from networks.settings import ConvSpec, MlpSpec, NetworkSpec, TextSpec
from trainer.batch import Batch
from trainer.fisher import FisherVariant, fisher_diagonal

CASES: dict[str, tuple[NetworkSpec, InputSpec]] = {
    "MLP": (MlpSpec(), TensorInput(shape=(784,))),
    "text": (TextSpec(), TextInput()),
    "convolutional": (ConvSpec(), ImageInput(shape=(28, 28))),
}
PASS_ROWS = 128
"""Rows of one forward and backward pass, as in training."""


class Row(NamedTuple):
    """One network with so many labels: how many passes each variant costs."""

    network: str
    labels: int
    exact: float
    sampled: float


def batch(spec: InputSpec, rows: int, labels: int) -> Batch:
    """Random rows as the network takes them."""
    numbers = torch.arange(rows)
    high = spec.buckets if isinstance(spec, TextInput) else 256
    drawn = torch.randint(high, (rows, *spec.row_shape), generator=torch.Generator().manual_seed(0))
    inputs = drawn.to(torch.from_numpy(spec.encode([])).dtype)
    return Batch(numbers, inputs, numbers % labels, torch.zeros_like(numbers))


def one_pass(network: Network, rows: Batch) -> None:
    """A forward and a backward pass over all rows."""
    for start in range(0, len(rows), PASS_ROWS):
        piece = rows.select(slice(start, start + PASS_ROWS))
        network.gradient.zero_()
        cross_entropy(network(piece.inputs), piece.targets).backward()  # type: ignore[no-untyped-call]


def seconds(work: Callable[[], object]) -> float:
    """The processor's seconds that the work takes."""
    started = time.thread_time()
    work()
    return time.thread_time() - started


def measure(name: str, labels: int, n_rows: int, rounds: int) -> Row:
    """The medians of one network."""
    spec, input_spec = CASES[name]
    network = build(spec, input_spec, [Column(str(label)) for label in range(labels)], seed=0)
    rows = batch(input_spec, n_rows, labels)
    variants: tuple[FisherVariant, ...] = ("exact", "sampled")
    taken: dict[str, list[float]] = {"pass": [], **{variant: [] for variant in variants}}
    for _ in range(rounds + 1):
        taken["pass"].append(seconds(lambda: one_pass(network, rows)))
        for variant in variants:
            taken[variant].append(seconds(lambda: fisher_diagonal(network, rows, variant)))  # noqa: B023
    plain, exact, sampled = (median(values[1:]) for values in taken.values())
    return Row(name, labels, exact / plain, sampled / plain)


def main(
    as_json: Annotated[bool, typer.Option("--json")] = False,
    rows: Annotated[int, typer.Option(help="Rows of a Fisher diagonal.")] = 1024,
    rounds: Annotated[int, typer.Option(help="Measurements of each.")] = 5,
) -> None:
    """Measures every network with 2 and 10 labels and prints the table."""
    torch.set_num_threads(1)
    measured = [measure(name, labels, rows, rounds) for name in CASES for labels in (2, 10)]
    table = Table("network", "labels", "exact, × a pass", "sampled, × a pass")
    for row in measured:
        table.add_row(row.network, str(row.labels), f"{row.exact:.2f}", f"{row.sampled:.2f}")
    emit([row._asdict() for row in measured], as_json, table)


if __name__ == "__main__":
    typer.run(main)
