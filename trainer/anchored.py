"""What methods share that hold parameters by an importance which the end of a task measures."""

import logging
from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from networks.flat import Network
from trainer.batch import Batch
from trainer.importance import UnstableImportance
from trainer.quadratic import QuadraticPenalty
from trainer.states import State
from trainer.strategy import Fetch, Naive

LOG = logging.getLogger(__name__)


class Anchored(Naive):
    """½ λ Σ_p Ω_p (θ_p − θ*_p)², λ = `strength`, with Ω measured at each task's end on rows of that task.

    Without finite importances the earlier anchor stays as it was.
    """

    has_still_penalty: ClassVar[bool] = True
    is_divisible: ClassVar[bool] = True
    strength: float
    decay: float
    seed: int

    def __post_init__(self) -> None:
        """Starts without an anchor."""
        self._generator = torch.Generator().manual_seed(self.seed)
        self._quadratic = QuadraticPenalty()

    def penalty(self, network: Network, batch: Batch, logits: Tensor) -> Tensor:  # noqa: ARG002
        """The pull of all past tasks, zero before the first one ended."""
        return self._quadratic(network, self.strength)

    def after_task(self, network: Network, examples: Batch) -> None:
        """Anchors the parameters where they are now."""
        if len(examples) == 0:
            return
        try:
            importance = self._importance(network, examples)
        except UnstableImportance as error:
            LOG.warning("%s could not anchor a task: %s", type(self).__name__, error.detail)
            return
        self._anchor(network, importance)

    def curvature(self) -> float:
        """λ max_p Ω_p."""
        return self.strength * self._quadratic.largest_importance

    def state_dict(self) -> State:
        """The anchor and the generator."""
        return {**self._quadratic.state_dict(), "generator": self._generator.get_state()}

    def load_state_dict(self, state: State, examples: Fetch) -> None:  # noqa: ARG002
        """Takes the anchor back."""
        rest = dict(state)
        self._generator.set_state(rest.pop("generator"))
        self._quadratic.load_state_dict(rest)

    @abstractmethod
    def _importance(self, network: Network, examples: Batch) -> Tensor:
        """Ω ≥ 0 of the task's rows, of shape (P,).

        Raises:
            UnstableImportance: it is not finite.
        """

    def _anchor(self, network: Network, importance: Tensor) -> None:
        """Takes up the importances; unless a method says otherwise, earlier ones are scaled by γ = `decay`."""
        self._quadratic.renew(network, importance, self.decay)

    def _drawn(self, examples: Batch, rows: int) -> Tensor:
        """The numbers of at most so many rows, drawn without replacement."""
        return torch.randperm(len(examples), generator=self._generator)[:rows]
