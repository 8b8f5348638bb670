"""Gradient episodic memory: a step may not raise the loss on what is kept of any past task."""

import numpy as np
import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from networks.flat import Network
from trainer.episodic import Episodic
from trainer.gradients import GroupGradients
from trainer.nonnegative import Numbers, minimise

RIDGE = 1e-3
"""Added to the diagonal of G Gᵀ, as the authors' code does, so that equal tasks leave one solution."""


@dataclass(config=ConfigDict(extra="forbid"))
class GEM(Episodic):
    """The gradient g becomes g + Gᵀ v, v = argmin_{v ≥ γ} ½ vᵀ (G Gᵀ + ε 1) v + (G g)ᵀ v, if any (G g)_t < 0.

    Row t of G is the loss gradient, in evaluation mode, on all that is kept of ended task t; γ = `margin`, ε = 10⁻³.
    The memory of `capacity` examples is shared out equally among the ended tasks, `task_rows` at most for each. Cost
    grows with the memory: a step learns that many rows more. (Lopez-Paz and Ranzato, *Gradient Episodic Memory for
    Continual Learning*, 2017, eq. 11.)
    """

    capacity: int = Field(default=1000, gt=0, le=10_000_000)
    task_rows: int | None = Field(default=None, gt=0)
    margin: float = Field(default=0.5, ge=0, allow_inf_nan=False)
    seed: int = Field(default=0, ge=0, lt=2**63)

    def __post_init__(self) -> None:
        """Starts with an empty memory."""
        super().__post_init__()
        self._gradients = GroupGradients()

    def project_gradients(self, network: Network) -> None:
        """Turns the gradient so that it opposes no past task's, as little as that takes.

        A task whose own gradient is not of finite length, because of a row that overflows, is left out of a step.
        """
        if len(self._buffer) == 0:
            return
        past = self._gradients(network, *self._buffer.groups())
        gram, against = _exact(past @ past.T), _exact(past @ network.gradient)
        finite = np.isfinite(gram.diagonal()) & np.isfinite(against)
        if not finite.all():
            past, gram, against = past[finite.nonzero()[0]], gram[np.ix_(finite, finite)], against[finite]
        if (against < 0).any() and np.isfinite(gram).all():
            network.gradient.addmv_(past.T, torch.from_numpy(_dual(gram, against, self.margin)).to(past))


def _dual(gram: Numbers, against: Numbers, margin: float) -> Numbers:
    """The v ≥ margin of the program above, from G Gᵀ and G g, solved for u = v − margin ≥ 0."""
    matrix = gram + RIDGE * np.eye(len(gram))
    return margin + minimise(matrix, against + margin * matrix.sum(axis=1))


def _exact(values: Tensor) -> Numbers:
    return values.double().cpu().numpy()
