"""Learning as the trainer does it, without the service: rounds of images, tasks that end, a head that grows."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from contracts.inputs import ImageInput
from contracts.labels import Column
from lifelong.data import Images, Labels
from networks.build import build
from networks.settings import MlpSpec
from trainer.batch import Batch, concatenate
from trainer.catalogue import load
from trainer.learner import Learner, TrainingResult
from trainer.settings import LearnerSettings

RECENT_ROWS = 256


class Offline:
    """A default network on one thread that learns digits class-incrementally; every example gets the next id."""

    def __init__(self, strategies: Sequence[dict[str, Any]], seed: int) -> None:
        torch.set_num_threads(1)
        self.settings = LearnerSettings(seed=seed)
        network = build(MlpSpec(), ImageInput(shape=(28, 28)), [], seed)
        self.learner = Learner(network, load(strategies, seed), self.settings)
        self._rounds: list[Batch] = []

    def learn(self, images: Images, digits: Labels, task: int, steps: int) -> TrainingResult:
        """One round of at least so many steps."""
        new = [Column(str(digit)) for digit in np.unique(digits) if str(digit) not in self._labels()]
        if new:
            self.learner.network.grow(new)
            self.learner.before_task(task)
        first = int(self._rounds[-1].ids[-1]) + 1 if self._rounds else 0
        ids = torch.arange(first, first + len(digits))
        batch = Batch(ids, torch.from_numpy(images), self._targets(digits), torch.full_like(ids, task))
        self._rounds.append(batch)
        return self.learner.train(batch, self._recent(), steps, number=len(self._rounds))

    def close(self, task: int) -> None:
        """Ends a task."""
        self.learner.consolidate(concatenate([batch for batch in self._rounds if int(batch.tasks[0]) == task]))

    def accuracy(self, images: Images, digits: Labels) -> float:
        """Accuracy in 0…1 over all digits learned so far."""
        with torch.inference_mode():
            answers = self.learner.network(torch.from_numpy(images)).argmax(dim=1)
        return float((answers == self._targets(digits)).float().mean())

    def _recent(self) -> Batch:
        newest, rows = [self._rounds[-1]], len(self._rounds[-1])
        for batch in reversed(self._rounds[:-1]):
            if rows >= RECENT_ROWS:
                break
            newest.insert(0, batch)
            rows += len(batch)
        return concatenate(newest).select(slice(-RECENT_ROWS, None))

    def _labels(self) -> list[str]:
        return [column.label for column in self.learner.network.columns]

    def _targets(self, digits: Labels) -> Tensor:
        index = {label: number for number, label in enumerate(self._labels())}
        return torch.tensor([index.get(str(digit), -1) for digit in digits], dtype=torch.int64)
