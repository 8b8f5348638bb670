"""Orders of tasks, by difficulty and by similarity, and how both are measured on a network."""

import math
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn.functional import normalize

from networks.flat import Network, evaluating
from trainer.batch import Batch
from trainer.learner import Learner
from trainer.loss import competing, masked
from trainer.settings import LearnerSettings
from trainer.strategy import Naive

Row = TypeVar("Row")
PROBE_STEPS = 20
"""Steps of the short run that says how difficult a task is: few enough that tasks still differ."""
MEASURED_ROWS = 1000
"""Rows of a task that it is measured on at most: an accuracy is then known to within three points."""


def learned_accuracy(network: Network, rows: Batch, settings: LearnerSettings) -> float:
    """How easy a task is: accuracy in 0…1 on its rows after 20 steps on samples of `settings.extra_rows` of them.

    The network, which must have the task's columns, is spoiled. Torch's global generator is left as it was.
    """
    rows = rows.to(network.theta.device)
    with torch.random.fork_rng(devices=[]):
        Learner(network, Naive(), settings).train(rows.select(slice(0, 0)), rows, PROBE_STEPS, number=0)
    some = rows.select(_spread(len(rows)))
    with evaluating(network.module), torch.inference_mode():
        answers = masked(network(some.inputs), competing(network, some)).argmax(dim=1)
    return float((answers == some.targets).float().mean())


@torch.inference_mode()
def mean_features(network: Network, inputs: Tensor) -> Tensor:
    """What the head reads of a task's rows `(n, *row_shape)`, on average: `(features,)`."""
    with evaluating(network.module):
        return network.features(inputs[_spread(len(inputs))].to(network.theta.device)).mean(dim=0)


def cosines(means: Sequence[Tensor]) -> list[list[float]]:
    """How similar tasks are, −1…1 for each pair: cosines of their mean features, less the mean over all tasks."""
    features = torch.stack(list(means))
    directions = normalize(features - features.mean(dim=0), dim=1)
    found: list[list[float]] = (directions @ directions.T).tolist()
    return found


def easy_first(accuracy: Sequence[float]) -> list[int]:
    """The tasks by falling accuracy; equal ones stay in the order in which they were given.

    Example:
        >>> easy_first([0.7, 0.9, 0.7])
        [1, 0, 2]
    """
    return sorted(range(len(accuracy)), key=lambda task: -accuracy[task])


def chain(similarity: Sequence[Sequence[float]], sign: int) -> list[int]:
    """The first task, then again and again the one of those left that is most similar (`sign` 1) or least (−1).

    Example:
        >>> chain([[1.0, 0.1, 0.9], [0.1, 1.0, 0.3], [0.9, 0.3, 1.0]], 1)
        [0, 2, 1]
    """
    order, left = [0], list(range(1, len(similarity)))
    while left:
        here = similarity[order[-1]]
        order.append(max(left, key=lambda task: sign * here[task]))
        left.remove(order[-1])
    return order


def measured(rows: Sequence[Row]) -> Sequence[Row]:
    """Those of a task's rows that it is measured on; of these, `mean_features` takes all."""
    return rows[_spread(len(rows))]


def _spread(n_rows: int) -> slice:
    """So many of a task's rows as are measured, evenly spaced, because they may come label by label."""
    return slice(None, None, max(1, math.ceil(n_rows / MEASURED_ROWS)))
