"""The way that learning takes through parameter space, and what the loss lost along it."""

import math

import torch
from torch import Tensor

from networks.flat import Network
from trainer.quadratic import QuadraticPenalty, SignedPenalty
from trainer.states import State
from trainer.vectors import FollowingVectors, fitting

CLIPPED = 30.0
"""A gradient that was clipped to less than a thirtieth is an outlier's: it counts thirty times what the step took."""


class Path:
    """For every parameter, the fall of the loss −∫ (∂L/∂θ) dθ and the displacement ∫ dθ since the path began.

    (Zenke, Poole and Ganguli, *Continual Learning Through Synaptic Intelligence*, 2017, eq. 3.)
    """

    def __init__(self) -> None:
        self._vectors = FollowingVectors("fall", "origin")
        self._theta = self._gradient = torch.empty(0)
        self._square: Tensor | None = None

    def depart(self, network: Network, *penalties: tuple[QuadraticPenalty | SignedPenalty, float]) -> Tensor:
        """Notes where a step begins and the gradient (P,) there, before clipping, less that of penalties by strength.

        Returns the noted one; it is valid until the next call.
        """
        self._follow(network)
        self._theta, self._gradient = (fitting(each, network.theta) for each in (self._theta, self._gradient))
        self._square = torch.dot(network.gradient, network.gradient)
        self._theta.copy_(network.theta)
        noted = network.gradient
        for penalty, strength in penalties:
            noted = penalty.take_off(noted, strength, out=self._gradient)
        if noted is network.gradient:
            self._gradient.copy_(noted)
        return self._gradient

    def arrive(self, network: Network) -> None:
        """Adds the step from where `depart` was called last, given what the step left in `network.gradient`.

        Nothing if `depart` was not called since.
        """
        if self._square is None:
            return
        share = _share(float(self._square), float(torch.dot(network.gradient, network.gradient)))
        self._square = None
        step = torch.sub(network.theta, self._theta, out=self._theta)
        self._vectors["fall"].addcmul_(self._gradient, step, value=-share)

    def begin(self, network: Network) -> None:
        """Begins a new path where the parameters are now."""
        self._follow(network)
        self._vectors["fall"].zero_()
        self._vectors["origin"].copy_(network.theta)

    def fall(self, network: Network) -> Tensor:
        """How much the loss fell along each parameter, (P,), below zero where it rose; do not change it."""
        self._follow(network)
        return self._vectors["fall"]

    def displacement(self, network: Network) -> Tensor:
        """How far each parameter is from where the path began, a new vector (P,)."""
        self._follow(network)
        return network.theta - self._vectors["origin"]

    def state_dict(self) -> State:
        """Both vectors and their layout, for between two steps."""
        return self._vectors.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Continues bit for bit from a saved state."""
        self._square = None
        self._vectors.load_state_dict(state)

    def _follow(self, network: Network) -> None:
        """Lets the path of parameters that came since begin where they are."""
        before = self._vectors.layout
        if before is network.layout:
            return
        self._vectors.follow(network)
        is_known = torch.zeros_like(network.theta)
        if before is not None:
            is_known = network.expand(torch.ones(before.size, device=network.theta.device), before)
        origin = self._vectors["origin"]
        torch.where(is_known > 0, origin, network.theta, out=origin)


def _share(noted: float, taken: float) -> float:
    """What of a gradient counts, given the squared length of the whole one before clipping and of what a step took."""
    return 1.0 if noted <= CLIPPED**2 * taken else CLIPPED * math.sqrt(taken / noted)
