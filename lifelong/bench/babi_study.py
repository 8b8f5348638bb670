"""Trains the memory network on the bAbI tasks as its authors did, where they leave plain training rounds."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from lifelong.bench.stream import Stream
from lifelong.bench.study import Method, Outcome, Protocol, Study
from networks.flat import Network
from networks.memory import MemoryNetwork
from networks.settings import MemorySpec
from trainer.batch import Batch
from trainer.learner import Learner, TrainingResult
from trainer.settings import LearnerSettings
from trainer.strategy import Strategy


class Pass(NamedTuple):
    """One pass over a task's questions."""

    is_linear: bool
    rate: float


@dataclass(frozen=True)
class Recipe:
    """How a memory network learns (Sukhbaatar et al., 2015, §4.2, and their joint configuration).

    First `linear_passes` passes without softmax at `linear_rate`, then `passes` at `rate`, which halves every
    `halve_every` passes. Rates and `clip_norm` are those of the summed gradients of a batch, as published.
    """

    width: int = 50
    hops: int = 3
    noise: float = 0.1
    linear_passes: int = 30
    linear_rate: float = 0.005
    passes: int = 60
    rate: float = 0.01
    halve_every: int = 15
    batch_size: int = 32
    clip_norm: float = 40.0

    @property
    def n_passes(self) -> int:
        """Passes over a task in all."""
        return self.linear_passes + self.passes

    @property
    def protocol(self) -> Protocol:
        """The network and the rows of a task; what a pass changes is not in it."""
        network = MemorySpec(hops=self.hops, width=self.width, noise=self.noise)
        return Protocol(network, self.settings(self.rate, seed=0), self.n_passes)

    def schedule(self, is_first: bool) -> list[Pass]:
        """The passes over a task: only a network that has learned nothing yet starts linearly."""
        linear = [Pass(is_first, self.linear_rate)] * self.linear_passes
        return linear + [Pass(False, self.rate * 0.5 ** (done // self.halve_every)) for done in range(self.passes)]

    def settings(self, rate: float, seed: int) -> LearnerSettings:
        """Plain gradient descent at a rate; the learner takes the mean of a batch, not its sum."""
        return LearnerSettings(
            batch_size=self.batch_size,
            optimiser="sgd",
            learning_rate=rate * self.batch_size,
            clip_norm=self.clip_norm / self.batch_size,
            min_steps=0,
            seed=seed,
        )


class RecipeLearner(Learner):
    """Learns each round, a pass over a task, as the recipe has it; `on_pass` hears of its mean loss in nats."""

    def __init__(
        self, network: Network, strategy: Strategy, recipe: Recipe, seed: int, on_pass: Callable[[float], None]
    ) -> None:
        super().__init__(network, strategy, recipe.settings(recipe.rate, seed))
        self._recipe, self._on_pass = recipe, on_pass
        self._passes: list[Pass] = []
        rates = {each.rate for each in recipe.schedule(is_first=True)}
        self._learners = {rate: Learner(network, strategy, recipe.settings(rate, seed)) for rate in rates}
        self.loss = math.nan
        """Of the last pass."""

    def before_task(self, task: int) -> None:
        """Starts the schedule anew."""
        super().before_task(task)
        self._passes = self._recipe.schedule(is_first=math.isnan(self.loss))

    def train(self, batch: Batch, recent: Batch, steps: int, number: int) -> TrainingResult:
        """Gradient descent keeps nothing from step to step: so each rate can have a learner of its own."""
        now = self._passes.pop(0)
        for part in self.network.module.modules():
            if isinstance(part, MemoryNetwork):
                part.is_linear = now.is_linear
        result = self._learners[now.rate].train(batch, recent, steps, number)
        self.loss = result.loss
        self._on_pass(self.loss)
        return result


def study(
    tasks: Stream, method: Method, seed: int, recipe: Recipe, on_pass: Callable[[float], None]
) -> tuple[Outcome, float]:
    """Learns the tasks by a method, and says the last pass's loss, too; the same arguments give the same bits on CPU.

    Raises:
        InvalidConfiguration: a strategy needs another scenario, or cannot work on this network.
    """
    made = Study(tasks, recipe.protocol, method, seed)
    learner = RecipeLearner(made.learner.network, made.learner.strategy, recipe, seed, on_pass)
    made.learner = learner
    outcome = made.run()
    return outcome, learner.loss
