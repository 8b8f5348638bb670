"""The leader among processes that learn together: what its learner is told, the others are told in the same order."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from torch import Tensor

from contracts.labels import Column
from networks.flat import Network
from trainer.batch import Batch
from trainer.learner import Learner, TrainingResult
from trainer.parallel import Ranks
from trainer.settings import LearnerSettings
from trainer.strategy import Fetch, Strategy


class Crew(Protocol):
    """The processes that learn together, as their leader sees them."""

    ranks: Ranks

    def told(self, call: str, *arguments: Any) -> AbstractContextManager[None]:
        """Inside, the others carry out a call of `follow_along`; it is left once all of them have.

        Raises:
            PeerLost: one of them is gone.
        """
        ...


class LeadingLearner(Learner):
    """A learner whose calls are carried out by all: each has the whole network, strategy and optimiser.

    So its state is that of any of them, whatever their number, and all else of a trainer is the leader's alone.
    """

    def __init__(self, network: Network, strategy: Strategy, settings: LearnerSettings, crew: Crew) -> None:
        super().__init__(network, strategy, settings, crew.ranks)
        self._crew = crew
        with crew.told("begin", list(network.columns)):
            pass

    def grow(self, columns: Sequence[Column]) -> None:
        """See `Learner.grow`."""
        with self._crew.told("grow", columns):
            super().grow(columns)

    def before_task(self, task: int) -> None:
        """See `Learner.before_task`."""
        with self._crew.told("before_task", task):
            super().before_task(task)

    def train(self, batch: Batch, recent: Batch, steps: int, number: int) -> TrainingResult:
        """See `Learner.train`."""
        with self._crew.told("train", batch, recent, steps, number):
            return super().train(batch, recent, steps, number)

    def consolidate(self, examples: Batch) -> float:
        """See `Learner.consolidate`; every process does all of it, so that all have the same bits."""
        with self._crew.told("consolidate", examples):
            return super().consolidate(examples)

    def restore(self, tensors: dict[str, Tensor], document: dict[str, Any], examples: Fetch) -> None:
        """See `Learner.restore`; only the leader looks examples up."""
        found: list[Batch] = []

        def noted(ids: Tensor) -> Batch:
            found.append(examples(ids))
            return found[-1]

        super().restore(tensors, document, noted)
        with self._crew.told("restore", tensors, document, found):
            pass


def follow_along(learner: Learner, call: str, arguments: Sequence[Any]) -> None:
    """Carries out what a leader tells; what it looked up is looked up in the same order."""
    if call == "restore":
        tensors, document, found = arguments
        batches = iter(found)
        learner.restore(tensors, document, lambda _: next(batches))
    else:
        getattr(learner, call)(*arguments)
