"""The flat-vector core of all quadratic regularisers: any number of anchors at the cost of one."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from networks.flat import Network
from trainer.states import State
from trainer.vectors import FollowingVectors


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

        It stands in `out`; before the first anchor it is the given one itself.
        """
        if self._largest == 0.0:
            return gradient
        return torch.addcmul(gradient, self._vectors["root"], self._scratch, value=strength, out=out)

    def __call__(self, network: Network, strength: float) -> Tensor:
        """The penalty for λ = `strength` as a scalar; its backward pass adds to `network.gradient`."""
        if self._largest == 0.0:
            return network.theta.new_zeros(())
        self._follow(network)
        value: Tensor = _HalfSquare.apply(self._ticket, network, self._vectors, self._scratch, strength, self._constant)
        return value

    def state_dict(self) -> State:
        """Both vectors with their layout, and what does not depend on the parameters."""
        return {**self._vectors.state_dict(), "constant": self._constant, "largest": self._largest}

    def load_state_dict(self, state: State) -> None:
        """Continues bit for bit from a saved state."""
        self._constant, self._largest = state["constant"], state["largest"]
        self._vectors.load_state_dict({name: state[name] for name in state.keys() - {"constant", "largest"}})

    def _follow(self, network: Network) -> None:
        self._vectors.follow(network)
        if self._scratch.shape != network.theta.shape or self._scratch.device != network.theta.device:
            self._scratch = torch.empty_like(network.theta)


class _HalfSquare(Function):
    """½ λ (‖√A θ − B/√A‖² + c), with the bracket kept in a scratch vector between value and gradient.

    The gradient goes straight into `network.gradient`, where autograd puts that of the loss: no vector is made for it.
    """

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        """The value; the first input is a scalar that needs a gradient, so that autograd comes back."""
        _, network, vectors, scratch, strength, constant = inputs
        ctx.network, ctx.root, ctx.scratch, ctx.strength = network, vectors["root"], scratch, strength
        torch.addcmul(vectors["target"], ctx.root, network.theta, value=-1, out=scratch)
        return torch.dot(scratch, scratch).add_(constant).mul_(0.5 * strength)

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[None, ...]:
        """Adds λ (A θ − B)."""
        if outer[0].is_cpu:
            ctx.network.gradient.addcmul_(ctx.root, ctx.scratch, value=-ctx.strength * float(outer[0]))
        else:  # does not wait for the device
            ctx.network.gradient.addcmul_(ctx.root, ctx.scratch.mul_(outer[0]), value=-ctx.strength)
        return None, None, None, None, None, None
