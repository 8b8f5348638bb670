"""L2: parameters are held where past tasks left them, all equally."""

from typing import ClassVar, Literal

import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from networks.flat import Network
from trainer.batch import Batch
from trainer.quadratic import QuadraticPenalty
from trainer.states import State
from trainer.strategy import Fetch, Naive


@dataclass(config=ConfigDict(extra="forbid"))
class L2(Naive):
    """½ λ Σ_t ‖θ − θ_t‖² over past tasks t, λ = `strength`: EWC with all importances one.

    With `latest` only the last task counts. (Kirkpatrick et al., *Overcoming catastrophic forgetting in neural
    networks*, 2017, fig. 2. Hsu et al., *Re-evaluating Continual Learning Scenarios*, 2018, use `latest` without the ½:
    their λ is half of ours.)
    """

    has_still_penalty: ClassVar[bool] = True
    is_divisible: ClassVar[bool] = True
    strength: float = Field(default=0.1, ge=0, allow_inf_nan=False)
    anchors: Literal["all", "latest"] = "all"

    def __post_init__(self) -> None:
        """Starts without an anchor."""
        self._quadratic = QuadraticPenalty()

    def penalty(self, network: Network, batch: Batch, logits: Tensor) -> Tensor:  # noqa: ARG002
        """The pull of all past tasks, zero before the first one ended."""
        return self._quadratic(network, self.strength)

    def after_task(self, network: Network, examples: Batch) -> None:  # noqa: ARG002
        """Anchors the parameters where they are now."""
        if self.anchors == "all":
            self._quadratic.add(network, torch.ones_like(network.theta))
        else:
            self._quadratic.renew(network, torch.ones_like(network.theta), decay=0)

    def curvature(self) -> float:
        """λ times the number of anchors."""
        return self.strength * self._quadratic.largest_importance

    def state_dict(self) -> State:
        """The anchor."""
        return self._quadratic.state_dict()

    def load_state_dict(self, state: State, examples: Fetch) -> None:  # noqa: ARG002
        """Takes the anchor back."""
        self._quadratic.load_state_dict(state)
