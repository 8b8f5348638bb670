"""Riemannian Walk: parameters are held by their Fisher information and by what their way did for the loss."""

import logging
from contextlib import suppress
from typing import Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from networks.flat import Network
from trainer.batch import Batch
from trainer.fisher import fisher_diagonal
from trainer.importance import UnstableImportance
from trainer.path import Path
from trainer.quadratic import QuadraticPenalty
from trainer.states import State, join, part_of
from trainer.strategy import Fetch, Naive
from trainer.vectors import FollowingVectors

LOG = logging.getLogger(__name__)


@dataclass(config=ConfigDict(extra="forbid"))
class RWalk(Naive):
    """½ λ Σ_p (F_p + s_p) (θ_p − θ*_p)², λ = `strength`, θ* the parameters at the end of the latest task.

    F follows the empirical Fisher diagonal of each step: F ← α F_step + (1 − α) F, α = `alpha`. Every `interval` steps
    s gains max(0, ω / (½ F Δ² + ε)): ω is what the parameter's way took off the loss since, Δ its displacement, ½ F Δ²
    the KL divergence between its ends, ε = `damping`. A task's end averages s with that of earlier tasks; F and s are
    divided by their maxima, so no importance exceeds 2. (Chaudhry et al., *Riemannian Walk for Incremental Learning:
    Understanding Forgetting and Intransigence*, 2018, eq. 6 to 8, without the ½ before λ: their λ is half of ours.)

    F_step is exact over the new `rows`, or the squared gradient of the `batch`, which costs nothing, as in the authors'
    program and in Avalanche. ω uses the gradient before clipping less that of this penalty. The authors' program takes
    ε = 0.0005 and moves F once an interval; Avalanche takes ε = 1e-7 and cuts s at zero only when a task ends.
    """

    strength: float = Field(default=10.0, ge=0, allow_inf_nan=False)
    alpha: float = Field(default=0.9, gt=0, le=1)
    interval: int = Field(default=10, gt=0, le=1_000_000)
    damping: float = Field(default=0.001, gt=0, allow_inf_nan=False)
    fisher: Literal["rows", "batch"] = "rows"

    def __post_init__(self) -> None:
        """Starts without an anchor."""
        self._path = Path()
        self._vectors = FollowingVectors("fisher", "gains", "score")
        self._quadratic = QuadraticPenalty()
        self._steps = 0
        self._tasks = 0

    def penalty(self, network: Network, batch: Batch, logits: Tensor) -> Tensor:  # noqa: ARG002
        """The pull of all past tasks, zero before the first one ended."""
        return self._quadratic(network, self.strength)

    def project_gradients(self, network: Network) -> None:
        """Notes where the step begins and the gradient there, which it leaves as it is."""
        gradient = self._path.depart(network, (self._quadratic, self.strength))
        if self.fisher == "batch":
            self._follow_fisher(network, gradient.square())

    def after_step(self, network: Network, batch: Batch, logits: Tensor) -> None:  # noqa: ARG002
        """Follows the step, and notes what an interval of them gained; a Fisher that is not finite is left out."""
        self._path.arrive(network)
        if self.fisher == "rows":
            with suppress(UnstableImportance):
                self._follow_fisher(network, fisher_diagonal(network, batch, "empirical"))
        self._steps += 1
        if self._steps == self.interval:
            self._note_gains(network)

    def after_task(self, network: Network, examples: Batch) -> None:  # noqa: ARG002
        """Anchors the parameters where they are now; without finite importances the earlier anchor stays as it was."""
        self._note_gains(network)
        fisher, gains, score = (self._vectors[name] for name in ("fisher", "gains", "score"))
        average = 0.5 * (score + gains) if self._tasks else gains.clone()
        gains.zero_()
        importance = _to_one(fisher) + _to_one(average)
        if not bool(importance.isfinite().all()):
            LOG.warning("RWalk could not anchor a task: the path of the parameters is not finite")
            return
        self._tasks += 1
        score.copy_(average)
        self._quadratic.renew(network, importance, decay=0)

    def curvature(self) -> float:
        """λ max_p (F_p + s_p)."""
        return self.strength * self._quadratic.largest_importance

    def state_dict(self) -> State:
        """The anchor, the scores and the path so far."""
        parts = {"anchor": self._quadratic.state_dict(), "path": self._path.state_dict()}
        parts["scores"] = self._vectors.state_dict()
        return {**join(parts), "steps": self._steps, "tasks": self._tasks}

    def load_state_dict(self, state: State, examples: Fetch) -> None:  # noqa: ARG002
        """Takes the anchor back and goes on along the path."""
        self._quadratic.load_state_dict(part_of(state, "anchor"))
        self._path.load_state_dict(part_of(state, "path"))
        self._vectors.load_state_dict(part_of(state, "scores"))
        self._steps, self._tasks = state["steps"], state["tasks"]

    def _follow_fisher(self, network: Network, fisher: Tensor) -> None:
        self._vectors.follow(network)
        if bool(fisher.isfinite().all()):
            self._vectors["fisher"].lerp_(fisher, self.alpha)

    def _note_gains(self, network: Network) -> None:
        self._vectors.follow(network)
        divergence = 0.5 * self._vectors["fisher"] * self._path.displacement(network).square()
        self._vectors["gains"].add_((self._path.fall(network) / (divergence + self.damping)).clamp_(min=0))
        self._path.begin(network)
        self._steps = 0


def _to_one(vector: Tensor) -> Tensor:
    """The vector with its entries ≥ 0 scaled to a maximum of one; itself if all are zero."""
    largest = float(vector.max())
    return vector / largest if largest > 0 else vector
