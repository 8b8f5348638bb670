"""Optimisers on flat vectors.

`torch.optim.Optimizer` is passed by: its constructor alone imports the compiler (170 MB, seconds). Its functional form
runs the same fused kernel.
"""

import logging
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.optim.adam import adam

from trainer.vectors import FollowingVectors, Parameters

LOG = logging.getLogger(__name__)
SMALLEST_ROOT = 1e-10
CUT = (
    "the penalty is too steep for learner.learning_rate: %g; steps are taken at %.3g\n"
    "set that rate, or divide the strength of the strategies by %.3g"
)


class Optimiser(Protocol):
    """Moves a network's parameters along its gradient."""

    def step(self, network: Parameters, curvature: float, skip: Tensor | None = None) -> None:
        """One step on `network.theta`, given a bound of the penalty's second derivatives.

        Nothing changes where `skip`, a float32 scalar on the network's device, is 1 and not 0.
        """
        ...

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs to continue bit for bit."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from a saved state."""
        ...


class Adam:
    """Adam (Kingma and Ba, 2015) with β = 0.9, 0.999; its moments stay when tasks change and grow with the head."""

    def __init__(self, learning_rate: float) -> None:
        self._learning_rate = learning_rate
        self._moments = FollowingVectors("first", "second")
        self._steps = torch.zeros(())

    def step(self, network: Parameters, curvature: float, skip: Tensor | None = None) -> None:  # noqa: ARG002
        """One step; no rate is cut, for no curvature makes it diverge.

        A step's length does not depend on the gradient's: a steep penalty makes a parameter swing around its anchor
        by about the learning rate, not away from it.
        """
        self._moments.follow(network)
        self._steps = self._steps.to(network.theta.device)
        adam(
            [network.theta], [network.gradient], [self._moments["first"]], [self._moments["second"]],
            [], [self._steps], foreach=False, fused=True, amsgrad=False, maximize=False,
            beta1=0.9, beta2=0.999, lr=self._learning_rate, weight_decay=0.0, eps=1e-8, found_inf=skip,
        )  # fmt: skip

    def state_dict(self) -> dict[str, Any]:
        """Both moments and the number of steps."""
        return {**self._moments.state_dict(), "steps": self._steps.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes the moments back."""
        rest = dict(state)
        self._steps.copy_(rest.pop("steps"))
        self._moments.load_state_dict(rest)


class GradientDescent:
    """Plain gradient descent; its rate is cut to 1 / curvature, because at 2 / curvature a penalty makes it diverge.

    The first cut is logged.
    """

    def __init__(self, learning_rate: float) -> None:
        self._learning_rate = learning_rate
        self._was_cut = False

    def step(self, network: Parameters, curvature: float, skip: Tensor | None = None) -> None:
        """One step."""
        is_cut = self._learning_rate * curvature > 1
        if is_cut and not self._was_cut:
            LOG.warning(CUT, self._learning_rate, 1 / curvature, self._learning_rate * curvature)
            self._was_cut = True
        network.theta.add_(_taken(network.gradient, skip), alpha=-1 / curvature if is_cut else -self._learning_rate)

    def state_dict(self) -> dict[str, Any]:
        """Empty."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to restore."""


class Adagrad:
    """Adagrad (Duchi, Hazan and Singer, *Adaptive Subgradient Methods*, 2011); its sums of squares stay for good."""

    def __init__(self, learning_rate: float) -> None:
        self._learning_rate = learning_rate
        self._sums = FollowingVectors("squares")

    def step(self, network: Parameters, curvature: float, skip: Tensor | None = None) -> None:  # noqa: ARG002
        """One step; it only gets shorter, so no curvature makes it diverge for long."""
        self._sums.follow(network)
        gradient = _taken(network.gradient, skip)
        squares = self._sums["squares"].addcmul_(gradient, gradient)
        network.theta.addcdiv_(gradient, squares.sqrt().add_(SMALLEST_ROOT), value=-self._learning_rate)

    def state_dict(self) -> dict[str, Any]:
        """The sums of squares."""
        return self._sums.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes the sums back."""
        self._sums.load_state_dict(state)


def _taken(gradient: Tensor, skip: Tensor | None) -> Tensor:
    """The gradient, or zeros where a step is skipped."""
    return gradient if skip is None else gradient.masked_fill(skip > 0, 0.0)


OPTIMISERS: dict[str, Callable[[float], Optimiser]] = {"adam": Adam, "sgd": GradientDescent, "adagrad": Adagrad}
"""By the word of the configuration; each is made with its learning rate."""
