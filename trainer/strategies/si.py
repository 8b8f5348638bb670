"""Synaptic Intelligence: parameters are held by what their way through the task did for the loss."""

import logging
from typing import ClassVar, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from networks.flat import Network
from trainer.batch import Batch
from trainer.path import Path
from trainer.quadratic import SignedPenalty
from trainer.states import State, join, part_of
from trainer.strategy import Fetch, Naive

LOG = logging.getLogger(__name__)


@dataclass(config=ConfigDict(extra="forbid"))
class SI(Naive):
    """½ λ Σ_p Ω_p (θ_p − θ*_p)², λ = `strength`, θ* the parameters at the end of the latest task.

    Each task adds ω / (Δ² + ξ) to Ω: ω = −Σ_steps g (θ_after − θ_before) is what the parameter's way took off the loss,
    Δ its displacement over the task and ξ = `damping`. (Zenke, Poole and Ganguli, *Continual Learning Through Synaptic
    Intelligence*, 2017, eq. 3 to 5, without the ½; their program sets an Ω below zero to zero after each task, as
    `clamped` does.) A `signed` Ω below zero repels its parameter, and the penalty may fall below zero.

    With `loss`, g is the gradient before clipping less that of this penalty: that of the loss with replayed rows, the
    penalties of other strategies and the projections of those that come earlier in a chain. With `total` this penalty's
    gradient counts too. Where clipping takes more than 29/30 of an outlier's gradient, g is 30 times what it left. Hsu
    et al. (*Re-evaluating Continual Learning Scenarios*, 2018) use `loss` and `signed`, van de Ven et al. (*Three types
    of incremental learning*, 2022) `total` and `signed`, both without the ½: their λ is half of ours.
    """

    is_divisible: ClassVar[bool] = True
    strength: float = Field(default=100.0, ge=0, allow_inf_nan=False)
    damping: float = Field(default=0.1, gt=0, allow_inf_nan=False)
    gradient: Literal["loss", "total"] = "loss"
    importance: Literal["clamped", "signed"] = "clamped"

    def __post_init__(self) -> None:
        """Starts without an anchor."""
        self._path = Path()
        self._anchor = SignedPenalty()

    def penalty(self, network: Network, batch: Batch, logits: Tensor) -> Tensor:  # noqa: ARG002
        """The pull of all past tasks, zero before the first one ended."""
        return self._anchor(network, self.strength)

    def project_gradients(self, network: Network) -> None:
        """Notes where the step begins and the gradient there, which it leaves as it is."""
        own = [(self._anchor, self.strength)] if self.gradient == "loss" else []
        self._path.depart(network, *own)

    def after_step(self, network: Network, batch: Batch, logits: Tensor) -> None:  # noqa: ARG002
        """Follows the step."""
        self._path.arrive(network)

    def after_task(self, network: Network, examples: Batch) -> None:  # noqa: ARG002
        """Anchors the parameters where they are now; if their way is not finite the earlier anchor stays as it was."""
        gained = self._path.fall(network) / (self._path.displacement(network).square() + self.damping)
        self._path.begin(network)
        if not bool(gained.isfinite().all()):
            LOG.warning("SI could not anchor a task: the path of the parameters is not finite")
            return
        total = self._anchor.importance(network) + gained
        self._anchor.renew(network, total if self.importance == "signed" else total.clamp_(min=0))

    def curvature(self) -> float:
        """λ max_p |Ω_p|."""
        return self.strength * self._anchor.largest_importance

    def state_dict(self) -> State:
        """The anchor and the path so far."""
        return join({"anchor": self._anchor.state_dict(), "path": self._path.state_dict()})

    def load_state_dict(self, state: State, examples: Fetch) -> None:  # noqa: ARG002
        """Takes the anchor back and goes on along the path."""
        self._anchor.load_state_dict(part_of(state, "anchor"))
        self._path.load_state_dict(part_of(state, "path"))
