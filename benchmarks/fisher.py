"""Seconds of the Fisher diagonal beside one forward and one backward pass over the same rows.

    python -m benchmarks.fisher [--json] [--rows N] [--rounds N]

Each network once as it is built, with random rows, and once after it learned the rows, as at the end of a task: for
images the bundled 8×8 digits, each pixel three wide and with a margin of two, for texts random tokens of which one in
eight is of the label's own. One thread; all take turns and medians of the processor's seconds count.
"""

import time
from collections.abc import Callable
from itertools import product
from statistics import median
from typing import Annotated, NamedTuple

import torch
import typer
from rich.table import Table
from torch import Tensor
from torch.nn.functional import cross_entropy, pad

from contracts.inputs import ImageInput, InputSpec, TensorInput, TextInput
from contracts.labels import Column
from lifelong.data import small_digits
from lifelong.output import emit
from networks.build import build
from networks.flat import Network, evaluating
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
LEARNING_PASSES = 40
"""How often a network learns its rows, with Adam and a rate of 0.001; every one then knows over 95 % of them."""
OWN_TOKENS = 50
"""How many tokens say which label a text has."""


class Row(NamedTuple):
    """One network with so many labels, and what it knows of its rows: how many passes each variant costs."""

    network: str
    labels: int
    learned: bool
    accuracy: float
    exact: float
    sampled: float


def batch(spec: InputSpec, inputs: Tensor, targets: Tensor) -> Batch:
    """Rows as the network takes them."""
    numbers = torch.arange(len(targets))
    rows = inputs.reshape(len(targets), *spec.row_shape).to(torch.from_numpy(spec.encode([])).dtype)
    return Batch(numbers, rows, targets, torch.zeros_like(numbers))


def random_rows(spec: InputSpec, rows: int, labels: int) -> Batch:
    """Rows that say nothing of their labels."""
    high = spec.buckets if isinstance(spec, TextInput) else 256
    drawn = torch.randint(high, (rows, *spec.row_shape), generator=torch.Generator().manual_seed(0))
    return batch(spec, drawn, torch.arange(rows) % labels)


def learnable_rows(spec: InputSpec, rows: int, labels: int) -> Batch:
    """Rows that a network can learn: digits by their remainder, or texts by the tokens of their label."""
    if isinstance(spec, TextInput):
        generator, targets = torch.Generator().manual_seed(0), torch.arange(rows) % labels
        shape = (rows, *spec.row_shape)
        common = torch.randint(1 + labels * OWN_TOKENS, spec.buckets, shape, generator=generator)
        own = 1 + targets[:, None] * OWN_TOKENS + torch.randint(OWN_TOKENS, shape, generator=generator)
        return batch(spec, torch.where(torch.rand(shape, generator=generator) < 1 / 8, own, common), targets)
    data = small_digits()
    chosen = torch.arange(rows) % len(data.train_labels)
    wide = torch.from_numpy(data.train_images).repeat_interleave(3, dim=1).repeat_interleave(3, dim=2)
    images = pad(wide, (2, 2, 2, 2))[chosen]
    targets = torch.from_numpy(data.train_labels)[chosen] % labels
    return batch(spec, images / 255 if isinstance(spec, TensorInput) else images, targets)


def learn(network: Network, rows: Batch) -> None:
    """Passes over the rows in random order, as a task's learning does."""
    optimiser = torch.optim.Adam(network.module.parameters(), lr=0.001)
    generator = torch.Generator().manual_seed(0)
    for _ in range(LEARNING_PASSES):
        for piece in torch.split(torch.randperm(len(rows), generator=generator), PASS_ROWS):
            one_pass(network, rows.select(piece))
            optimiser.step()


def accuracy(network: Network, rows: Batch) -> float:
    """The share of the rows that the network knows."""
    with evaluating(network.module), torch.no_grad():
        return float((network(rows.inputs).argmax(dim=1) == rows.targets).float().mean())


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


def measure(name: str, labels: int, is_learned: bool, n_rows: int, rounds: int) -> Row:
    """The medians of one network."""
    spec, input_spec = CASES[name]
    network = build(spec, input_spec, [Column(str(label)) for label in range(labels)], seed=0)
    rows = (learnable_rows if is_learned else random_rows)(input_spec, n_rows, labels)
    if is_learned:
        learn(network, rows)
    variants: tuple[FisherVariant, ...] = ("exact", "sampled")
    taken: dict[str, list[float]] = {"pass": [], **{variant: [] for variant in variants}}
    for _ in range(rounds + 1):
        taken["pass"].append(seconds(lambda: one_pass(network, rows)))
        for variant in variants:
            taken[variant].append(seconds(lambda: fisher_diagonal(network, rows, variant)))  # noqa: B023
    plain, exact, sampled = (median(values[1:]) for values in taken.values())
    return Row(name, labels, is_learned, accuracy(network, rows), exact / plain, sampled / plain)


def main(
    as_json: Annotated[bool, typer.Option("--json")] = False,
    rows: Annotated[int, typer.Option(help="Rows of a Fisher diagonal.")] = 1024,
    rounds: Annotated[int, typer.Option(help="Measurements of each.")] = 5,
) -> None:
    """Measures every network with 2 and 10 labels, before and after it learned, and prints the table."""
    torch.set_num_threads(1)
    cases = product(CASES, (2, 10), (False, True))
    measured = [measure(name, labels, is_learned, rows, rounds) for name, labels, is_learned in cases]
    table = Table("network", "labels", "learned", "accuracy", "exact, × a pass", "sampled, × a pass")
    for row in measured:
        learned = "yes" if row.learned else "no"
        ratios = (f"{ratio:.2f}" for ratio in (row.accuracy, row.exact, row.sampled))
        table.add_row(row.network, str(row.labels), learned, *ratios)
    emit([row._asdict() for row in measured], as_json, table)


if __name__ == "__main__":
    typer.run(main)
