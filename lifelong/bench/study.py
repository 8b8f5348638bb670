"""A study: a stream learned by one method under one protocol, measured after every task and, on request, within it."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from lifelong.bench.stream import Rows, Stream
from networks.build import build
from networks.flat import Network, evaluating
from networks.settings import NetworkSpec
from trainer import metrics
from trainer.batch import Batch
from trainer.catalogue import architecture, load
from trainer.learner import Learner
from trainer.loss import competing, masked
from trainer.settings import LearnerSettings

ROUND_STEPS = 100
TEST_ROWS = 2048
"""Rows of one forward pass when accuracies are measured."""


def plain_learner(**settings: Any) -> LearnerSettings:
    """A learner as published protocols have it: one pass has no further steps, and gradients are not limited.

    Raises:
        pydantic.ValidationError: a setting is unknown or out of range.
    """
    return LearnerSettings.model_validate({"min_steps": 0, "clip_norm": 1e12, **settings})


@dataclass(frozen=True)
class Protocol:
    """What every method of a table has in common.

    A task is learned for `epochs` passes over its shuffled rows or, if given, for `iterations` batches of them.
    `all_columns` starts with every output of the stream; otherwise the head grows with each task.
    """

    network: NetworkSpec
    learner: LearnerSettings
    epochs: int = 1
    iterations: int | None = None
    all_columns: bool = False


@dataclass(frozen=True)
class Method:
    """A method as a table names it: its strategies, and what it changes in the protocol.

    `is_joint` sees all tasks at once, `is_cumulative` with each task those before it again. `reserves_columns` has all
    outputs from the start, but lets one compete only once its task has come.
    """

    name: str
    strategies: Sequence[dict[str, Any]] = ()
    is_joint: bool = False
    is_cumulative: bool = False
    reserves_columns: bool = False
    learner: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Point:
    """Test accuracies in 0…1 of all tasks, None where a task has no columns yet, after so many steps in all.

    `place` is that of the task that was being learned.
    """

    place: int
    step: int
    accuracy: list[float | None]


@dataclass(frozen=True)
class Outcome:
    """What a study found: R[i][j] in 0…1, the accuracies at initialisation, and what it took.

    `seconds` is the time that learning took, measuring excluded; `rows` counts the new rows learned in that time.
    """

    tasks: list[str]
    accuracy: list[list[float | None]]
    baseline: list[float | None]
    curve: list[Point]
    rows: int
    seconds: float

    @property
    def average_accuracy(self) -> float:
        """The mean over all tasks after the last one, in 0…1."""
        average = metrics.average_accuracy(self.accuracy)
        return 0.0 if average is None else average


class Study:
    """Learns a stream; the same arguments give the same bits on CPU."""

    def __init__(self, stream: Stream, protocol: Protocol, method: Method, seed: int) -> None:
        settings = learner_settings(protocol, method, seed)
        self._stream = stream.merged() if method.is_joint else stream.cumulative() if method.is_cumulative else stream
        self._protocol, self._batch_size = protocol, settings.batch_size
        self._has_all = protocol.all_columns or stream.scenario == "domain"
        self._reserved: Tensor | None = torch.zeros(len(stream.columns), dtype=torch.bool)
        if not method.reserves_columns:
            self._reserved = None
        initial = stream.columns if self._has_all or method.reserves_columns else []
        self._build = partial(build, architecture(method.strategies, protocol.network), stream.spec, seed=seed)
        strategy = load(method.strategies, seed, stream.scenario)
        self.learner = Learner(self._build(initial), strategy, settings)
        self._random = torch.Generator().manual_seed(seed)
        self._steps = self._rounds = self._seen = 0
        self._seconds = 0.0

    @property
    def network(self) -> Network:
        """What answers now."""
        return self.learner.strategy.predictor(self.learner.network)

    def run(self, measure_every: int = 0) -> Outcome:
        """Learns task after task; `measure_every` steps, if any, the accuracies are measured within tasks, too."""
        accuracy: list[list[float | None]] = []
        curve: list[Point] = []
        for place, experience in enumerate(self._stream.experiences):
            for _ in self._learn(place, experience.train, measure_every):
                curve.append(Point(place, self._steps, self.accuracies(self.network)))
            accuracy.append(self.accuracies(self.network))
        untrained = self._build(self._stream.columns)
        tasks = [each.task for each in self._stream.experiences]
        return Outcome(tasks, accuracy, self.accuracies(untrained), curve, self._seen, self._seconds)

    @torch.inference_mode()
    def accuracies(self, network: Network) -> list[float | None]:
        """Test accuracy of every task in 0…1, among the columns that compete; None where some are not known yet."""
        with evaluating(network.module):
            return [self._accuracy(network, each.test) for each in self._stream.experiences]

    def _accuracy(self, network: Network, test: Rows) -> float | None:
        if int(test.targets.max()) >= len(network.columns):
            return None
        right = 0
        for first in range(0, len(test.targets), TEST_ROWS):
            rows = self._batch(Rows(*(part[first : first + TEST_ROWS] for part in test)), test.targets[:0])
            answers = masked(network(rows.inputs), competing(network, rows)).argmax(dim=1)
            right += int((answers == rows.targets).sum())
        return right / len(test.targets)

    def _learn(self, place: int, train: Rows, measure_every: int) -> Iterator[None]:
        """Learns a task, pausing after every `measure_every` steps."""
        if len(train.targets) == 0:
            return
        order = torch.randperm(len(train.targets), generator=self._random)
        ids = torch.arange(self._seen, self._seen + len(order))
        self._meet(place)
        examples = self._batch(Rows(*(part[order] for part in train)), ids)
        self.learner.before_task(place)
        nothing = examples.select(slice(0, 0))
        for rows in self._passes(len(order), measure_every):
            started = time.perf_counter()
            self._rounds += 1
            self._steps += self.learner.train(examples.select(rows), nothing, 0, self._rounds).steps
            self._seconds += time.perf_counter() - started
            self._seen += len(rows)
            if measure_every:
                yield
        self._seconds += self.learner.consolidate(examples)

    def _meet(self, place: int) -> None:
        """Lets the columns of a task compete."""
        known = self._stream.columns_of(place)
        if self._reserved is not None:
            self._reserved[:known] = True
        elif not self._has_all:
            self.learner.network.grow(self._stream.columns[len(self.learner.network.columns) : known])

    def _batch(self, rows: Rows, ids: Tensor) -> Batch:
        mask = None if self._reserved is None else self._reserved.expand(len(rows.targets), -1)
        return Batch(ids, rows.inputs, rows.targets, rows.tasks, mask=mask)

    def _passes(self, n_rows: int, measure_every: int) -> Iterator[Tensor]:
        """Row numbers in the order of learning, in rounds of whole batches: each pass is shuffled anew."""
        size = self._batch_size
        total = self._protocol.epochs * n_rows
        if self._protocol.iterations is not None:
            total = self._protocol.iterations * size
        passes = [torch.arange(n_rows)]  # the rows come shuffled, and ids must rise with the first pass
        passes += [torch.randperm(n_rows, generator=self._random) for _ in range(-(-total // n_rows) - 1)]
        if self._protocol.iterations is None:
            whole = [torch.split(each, size * measure_every) if measure_every else [each] for each in passes]
            return iter([piece for pieces in whole for piece in pieces])
        round_rows = size * (measure_every or ROUND_STEPS)
        return iter(torch.split(torch.cat(passes)[:total], round_rows))


def learner_settings(protocol: Protocol, method: Method, seed: int) -> LearnerSettings:
    """The protocol's learner with what the method changes in it."""
    return LearnerSettings.model_validate({**protocol.learner.model_dump(), **method.learner, "seed": seed})
