"""The flat-vector core of quadratic regularisers: any number of anchors at the cost of one, or one that may repel."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from networks.flat import Network
from trainer.states import State
from trainer.vectors import FollowingVectors, fitting


def is_read_at_once(scalar: Tensor) -> bool:
    """Whether a number is where the program runs, so that reading it waits for nothing."""
    return scalar.is_cpu


class QuadraticPenalty:
    """½ λ Σ_t Σ_p F_tp (θ_p − θ_tp)² over past tasks t, in two vectors whatever the number of tasks.

    With A = Σ F_t and B = Σ F_t θ_t it equals ½ λ (‖√A θ − B/√A‖² + c), where c ≥ 0 does not depend on θ, and its
    gradient is λ (A θ − B). The vectors kept are √A and B/√A: a square cannot round to below zero, and value and
    gradient together take three passes over memory.
    (Kirkpatrick et al., *Overcoming catastrophic forgetting in neural networks*, 2017, eq. 3, summed over tasks.)
    """

    def __init__(self) -> None:
        self._vectors = FollowingVectors("root", "target")
        self._scratch = torch.empty(0)
        self._ticket = torch.zeros((), requires_grad=True)
        self._constant = 0.0
        self._largest = 0.0

    @property
    def largest_importance(self) -> float:
        """max A: the largest second derivative for λ = 1, zero before the first anchor."""
        return self._largest

    def add(self, network: Network, importance: Tensor) -> None:
        """Adds a term that pulls the parameters to where they are now, with importances F ≥ 0 of shape (P,)."""
        self._vectors.follow(network)
        root, target = self._vectors["root"], self._vectors["target"]
        before, after = root.square(), root.square().add_(importance)
        anchor = torch.where(before > 0, target / root, network.theta)
        harmonic = torch.where(after > 0, before * importance / after, 0.0)
        self._constant += float((harmonic * (anchor - network.theta).square()).sum(dtype=torch.float64))
        pull = before * anchor + importance * network.theta
        torch.sqrt(after, out=root)
        target.copy_(torch.where(after > 0, pull / root, 0.0))
        self._largest = float(after.max())

    def renew(self, network: Network, importance: Tensor, decay: float) -> None:
        """Keeps one term: earlier importances scaled by γ = `decay`, plus F, all pulling to the present parameters.

        (Schwarz et al., *Progress & Compress*, 2018, section 3.2.)
        """
        self._vectors.follow(network)
        root, target = self._vectors["root"], self._vectors["target"]
        after = root.square().mul_(decay).add_(importance)
        torch.sqrt(after, out=root)
        torch.mul(root, network.theta, out=target)
        self._constant = 0.0
        self._largest = float(after.max())

    def importance(self, network: Network) -> Tensor:
        """A new vector of the importances Σ_t F_t, (P,): zero for parameters that came after the last anchor."""
        self._vectors.follow(network)
        return self._vectors["root"].square()

    def take_off(self, gradient: Tensor, strength: float, out: Tensor) -> Tensor:
        """A gradient (P,) less that of this penalty, λ (A θ − B), at the parameters where the penalty was called last.

        The penalty must be a summand of the loss, without a factor. The result stands in `out`; before the first anchor
        it is the given one itself.
        """
        if self._largest == 0.0:
            return gradient
        return torch.addcmul(gradient, self._vectors["root"], self._scratch, value=strength, out=out)

    def __call__(self, network: Network, strength: float) -> Tensor:
        """The penalty for λ = `strength` as a scalar; its backward pass adds to `network.gradient`."""
        if self._largest == 0.0:
            return network.theta.new_zeros(())
        self._vectors.follow(network)
        root = self._vectors["root"]
        scratch = self._scratch = fitting(self._scratch, network.theta)
        torch.addcmul(self._vectors["target"], root, network.theta, value=-1, out=scratch)
        value = torch.dot(scratch, scratch).add_(self._constant).mul_(0.5 * strength)

        def add(factor: float) -> None:
            network.gradient.addcmul_(root, scratch, value=-strength * factor)

        return _with_gradient(self._ticket, value, scratch, add)

    def state_dict(self) -> State:
        """Both vectors with their layout, and what does not depend on the parameters."""
        return {**self._vectors.state_dict(), "constant": self._constant, "largest": self._largest}

    def load_state_dict(self, state: State) -> None:
        """Continues bit for bit from a saved state."""
        self._constant, self._largest = state["constant"], state["largest"]
        self._vectors.load_state_dict({name: state[name] for name in state.keys() - {"constant", "largest"}})


class SignedPenalty:
    """½ λ Σ_p Ω_p (θ_p − θ*_p)² with one anchor θ* and importances Ω of either sign: below zero they repel.

    The penalty may then fall below zero.
    """

    def __init__(self) -> None:
        self._vectors = FollowingVectors("importance", "anchor")
        self._distance = self._pull = torch.empty(0)
        self._ticket = torch.zeros((), requires_grad=True)
        self._largest = 0.0

    @property
    def largest_importance(self) -> float:
        """max |Ω|: the largest second derivative for λ = 1, zero before the first anchor."""
        return self._largest

    def renew(self, network: Network, importance: Tensor) -> None:
        """Anchors all parameters where they are now, with these importances (P,)."""
        self._vectors.follow(network)
        self._vectors["importance"].copy_(importance)
        self._vectors["anchor"].copy_(network.theta)
        self._largest = float(importance.abs().max())

    def importance(self, network: Network) -> Tensor:
        """Ω, (P,), zero for parameters that came after the last anchor; do not change it."""
        self._vectors.follow(network)
        return self._vectors["importance"]

    def take_off(self, gradient: Tensor, strength: float, out: Tensor) -> Tensor:
        """A gradient (P,) less that of this penalty, λ Ω (θ − θ*), at the parameters where it was called last.

        The penalty must be a summand of the loss, without a factor. The result stands in `out`; before the first anchor
        it is the given one itself.
        """
        return gradient if self._largest == 0.0 else torch.sub(gradient, self._pull, alpha=strength, out=out)

    def __call__(self, network: Network, strength: float) -> Tensor:
        """The penalty for λ = `strength` as a scalar; its backward pass adds to `network.gradient`."""
        if self._largest == 0.0:
            return network.theta.new_zeros(())
        self._vectors.follow(network)
        self._pull, self._distance = (fitting(each, network.theta) for each in (self._pull, self._distance))
        distance = torch.sub(network.theta, self._vectors["anchor"], out=self._distance)
        pull = torch.mul(self._vectors["importance"], distance, out=self._pull)
        value = torch.dot(distance, pull).mul_(0.5 * strength)

        def add(factor: float) -> None:
            network.gradient.add_(pull, alpha=strength * factor)

        return _with_gradient(self._ticket, value, pull, add)

    def state_dict(self) -> State:
        """Both vectors with their layout."""
        return {**self._vectors.state_dict(), "largest": self._largest}

    def load_state_dict(self, state: State) -> None:
        """Continues bit for bit from a saved state."""
        self._largest = state["largest"]
        self._vectors.load_state_dict({name: state[name] for name in state.keys() - {"largest"}})


def _with_gradient(ticket: Tensor, value: Tensor, scratch: Tensor, add: Callable[[float], None]) -> Tensor:
    """A scalar whose backward pass calls `add` with the factor that arrives at it.

    So the gradient goes straight into `network.gradient`, where autograd puts that of the loss: no vector is made for
    it. The ticket is a scalar that needs a gradient, so that autograd comes back. What `add` adds is linear in the
    scratch vector: that is scaled where reading the factor would have to wait for a GPU.
    """
    scalar: Tensor = _Direct.apply(ticket, value, scratch, add)
    return scalar


class _Direct(Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        """The value."""
        _, value, ctx.scratch, ctx.add = inputs
        result: Tensor = value.view_as(value)
        return result

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[None, ...]:
        """Calls `add`."""
        if is_read_at_once(outer[0]):
            ctx.add(float(outer[0]))
        else:
            ctx.scratch.mul_(outer[0])
            ctx.add(1.0)
        return None, None, None, None
