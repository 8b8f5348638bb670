"""Training of a strategy's own, when a task ends: shuffled passes over examples that it has at hand."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from networks.flat import Network
from trainer.batch import Batch
from trainer.loss import classification_loss


@contextmanager
def training(network: Network, generator: torch.Generator) -> Iterator[None]:
    """Training mode inside, with random numbers seeded by `generator`; mode and generators as before afterwards."""
    device, mode = network.theta.device, network.module.training
    with torch.random.fork_rng(devices=[] if device.type == "cpu" else [device]):
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        network.module.train()
        try:
            yield
        finally:
            network.module.train(mode)


def passes(examples: Batch, epochs: int, batch_size: int, generator: torch.Generator) -> Iterator[tuple[int, Batch]]:
    """The examples in batches of equal size, `batch_size` at most, in a new order each time; each with its pass."""
    for epoch in range(epochs):
        order = torch.randperm(len(examples), generator=generator).to(examples.ids.device)
        for rows in order.tensor_split(math.ceil(len(examples) / batch_size)):
            yield epoch, examples.select(rows)


def take_gradient(network: Network, batch: Batch) -> None:
    """Leaves the gradient of the batch's classification loss, and nothing else, in `network.gradient`."""
    network.gradient.zero_()
    loss = classification_loss(network, batch, network(batch.inputs, batch.targets))
    loss.backward()  # type: ignore[no-untyped-call]
