"""Orders of a stream's tasks: as given, reversed, at random, by difficulty, and by similarity."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from contracts.errors import InvalidConfiguration
from lifelong.bench.experiment import Experiment
from lifelong.bench.stream import Stream, divided
from lifelong.bench.study import Method, learner_settings
from networks.build import build
from networks.flat import Network
from trainer.batch import Batch
from trainer.task_orders import chain, cosines, easy_first, learned_accuracy, mean_features


class Order(NamedTuple):
    """A name, and the places of the tasks as they are given."""

    name: str
    tasks: list[int]


@dataclass(frozen=True)
class Tasks:
    """The tasks of a split stream, each by its classes, with what orders are made of.

    `difficulty` is training accuracy in 0…1 after a short run of each task alone. `similarity[i][j]` in −1…1 is the
    cosine between the mean features of two tasks before training.
    """

    classes: list[list[int]]
    difficulty: list[float]
    similarity: list[list[float]]

    def orders(self, n_random: int) -> list[Order]:
        """All orders; those that are the same are one, with both names.

        The similarity orders start with the first task and go on with the nearest, or farthest, of those left: Bell and
        Lawrence, *The Effect of Task Ordering in Continual Learning*, 2022, find that neighbours should be unlike.
        """
        given = list(range(len(self.classes)))
        easy = easy_first(self.difficulty)
        named = [
            Order("given", given),
            Order("reversed", given[::-1]),
            Order("easy first", easy),
            Order("hard first", easy[::-1]),
            Order("similar next", chain(self.similarity, 1)),
            Order("dissimilar next", chain(self.similarity, -1)),
        ]
        random = (np.random.default_rng(number).permutation(len(given)).tolist() for number in range(n_random))
        named += [Order(f"random {number + 1}", tasks) for number, tasks in enumerate(random)]
        names: dict[tuple[int, ...], list[str]] = {}
        for name, tasks in named:
            names.setdefault(tuple(tasks), []).append(name)
        return [Order(" = ".join(own), list(tasks)) for tasks, own in names.items()]

    def parts(self, order: Order) -> list[list[int]]:
        """The classes of each task, in this order."""
        return [self.classes[task] for task in order.tasks]


def examine(experiment: Experiment) -> Tasks:
    """Divides the data set into tasks and measures each alone.

    Raises:
        InvalidConfiguration: the stream is no split, or has fewer than three tasks.
    """
    classes = experiment.plan.parts(experiment.source)
    if experiment.plan.kind != "split" or len(classes) < 3:
        raise InvalidConfiguration("invalid_setting", "--tasks: an order needs at least three tasks")
    streams = [divided(experiment.source.arrays, [own], experiment.plan.scenario) for own in classes]
    difficulty = [_difficulty(experiment, stream) for stream in streams]
    means = [mean_features(_untrained(experiment, each), each.experiences[0].train.inputs) for each in streams]
    return Tasks(classes, difficulty, cosines(means))


def _difficulty(experiment: Experiment, stream: Stream) -> float:
    """Training accuracy: the test rows judge the orders, so they must not choose them."""
    protocol, (only,) = experiment.protocol, stream.experiences
    settings = learner_settings(protocol, Method("alone", learner={"extra_rows": protocol.learner.batch_size}), seed=0)
    rows = Batch(torch.arange(len(only.train.targets)), *only.train)
    return learned_accuracy(_untrained(experiment, stream), rows, settings)


def _untrained(experiment: Experiment, stream: Stream) -> Network:
    return build(experiment.protocol.network, stream.spec, stream.columns, seed=0)
