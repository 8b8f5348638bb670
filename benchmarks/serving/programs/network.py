"""What the peers' programs are given; it runs in their environments, which have nothing of ours but this package."""

import itertools
import os
from pathlib import Path

import torch
from torch import nn
from torch.nn.utils import vector_to_parameters

from benchmarks.serving.programs import BATCH_VARIABLE, WEIGHTS_VARIABLE


def load() -> nn.Sequential:
    """The perceptron 784-400-400-10 on one thread, in evaluation mode: rows `(n, 784)` to scores `(n, 10)`."""
    torch.set_num_threads(1)
    sizes = (784, 400, 400, 10)
    linear = [nn.Linear(n_in, n_out) for n_in, n_out in itertools.pairwise(sizes)]
    network = nn.Sequential(linear[0], nn.ReLU(), linear[1], nn.ReLU(), linear[2])
    weights = torch.load(Path(os.environ[WEIGHTS_VARIABLE]), weights_only=True)
    vector_to_parameters(weights, network.parameters())
    return network.eval().requires_grad_(False)


def is_batched() -> bool:
    """Whether the server joins requests."""
    return BATCH_VARIABLE in os.environ
