"""PackNet: all tasks in one network, of which each keeps the weights that matter to it and frees the rest."""

import logging
import math
from typing import ClassVar, cast

import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from networks.flat import Layout, Network
from networks.settings import Sharing
from networks.task_modules import LARGEST_OWNER, Packed
from trainer.batch import Batch
from trainer.optimiser import Adam
from trainer.passes import passes, take_gradient, training
from trainer.per_task import PerTask, of_tasks, task_of
from trainer.states import State
from trainer.strategy import Fetch

LOG = logging.getLogger(__name__)


@dataclass(config=ConfigDict(extra="forbid"))
class PackNet(PerTask):
    """θ_t = θ ⊙ 1[0 < owner ≤ t]: a task answers with its own weights and those of the tasks that closed before it.

    When a task closes it claims, in each weight matrix, the share `keep` of the free weights that is largest by
    magnitude; the others become zero and free for later tasks. For `epochs` passes over its examples it then learns to
    do with what it kept. Biases belong to the first task. Where nothing is free any more, a task learns its outputs
    alone. (Mallya and Lazebnik, *PackNet: Adding Multiple Tasks to a Single Network by Iterative Pruning*, 2018.)
    """

    sharing: ClassVar[Sharing | None] = "packed"

    keep: float = Field(default=0.5, gt=0, le=1)
    epochs: int = Field(default=2, ge=0, le=1000)
    batch_size: int = Field(default=64, gt=0, le=65_536)
    learning_rate: float = Field(default=0.001, gt=0, le=10)
    seed: int = Field(default=0, ge=0, lt=2**63)

    def __post_init__(self) -> None:
        """Starts with nothing frozen."""
        self._generator = torch.Generator().manual_seed(self.seed)
        self._layout: Layout | None = None

    def replay(self, network: Network, batch: Batch) -> Batch:
        """The batch; rows of closed tasks have no share of the loss."""
        self._follow(network)
        return super().replay(network, batch)

    def project_gradients(self, network: Network) -> None:
        """Leaves out what is frozen."""
        self._follow(network)
        network.gradient.masked_fill_(self._frozen, 0.0)

    def after_step(self, network: Network, batch: Batch, logits: Tensor) -> None:  # noqa: ARG002
        """Puts back what an optimiser with momentum has moved all the same."""
        torch.where(self._frozen, self._values, network.theta, out=network.theta)

    def after_task(self, network: Network, examples: Batch) -> None:
        """Prunes, recovers, and closes the task."""
        if len(examples) == 0 or bool(of_tasks(network).closed[examples.targets[0]]):
            return
        self._follow(network)
        free = _free(network)
        kept = self._largest(network, free)
        if not kept.any():
            LOG.warning("packnet is full: earlier tasks own every weight, so a task keeps nothing but its outputs")
        network.theta.masked_fill_(free & ~kept, 0.0)
        self._recover(network, examples, self._frozen | free & ~kept)
        rank = int(of_tasks(network).module.rank.max()) + 1
        if rank <= LARGEST_OWNER:
            mine = network.layout.views(kept)
            for name, owner in _owners(network).items():
                owner.masked_fill_(mine[name], rank)
        of_tasks(network).close(task_of(network, examples))

    def state_dict(self) -> State:
        """The generator: what is frozen is in the network."""
        return {"generator": self._generator.get_state()}

    def load_state_dict(self, state: State, examples: Fetch) -> None:  # noqa: ARG002
        """Takes the generator back."""
        self._generator.set_state(state["generator"])
        self._layout = None

    def _follow(self, network: Network) -> None:
        """Takes note of what is frozen, whenever parameters have come or gone."""
        if self._layout is not network.layout:
            self._layout = network.layout
            self._frozen, self._values = _frozen(network), network.theta.clone()

    def _largest(self, network: Network, free: Tensor) -> Tensor:
        """What of the free weights a task keeps, booleans (P,): vectors whole, of matrices the share `keep`."""
        kept = torch.zeros_like(free)
        chosen, values = network.layout.views(kept), network.layout.views(network.theta)
        for name, candidates in network.layout.views(free).items():
            share = self.keep if candidates.dim() > 1 else 1.0
            magnitudes = values[name].abs().masked_fill(~candidates, -1.0).flatten()
            count = math.ceil(share * int(candidates.sum()))
            chosen[name].view(-1)[magnitudes.topk(count).indices] = True
        return kept

    def _recover(self, network: Network, examples: Batch, fixed: Tensor) -> None:
        """Learns the examples again, with a fresh optimiser, while the `fixed` parameters (P,) stay as they are."""
        optimiser, values = Adam(self.learning_rate), network.theta.clone()
        with training(network, self._generator):
            for _, batch in passes(examples, self.epochs, self.batch_size, self._generator):
                take_gradient(network, batch)
                network.gradient.masked_fill_(fixed, 0.0)
                if network.gradient.isfinite().all():
                    optimiser.step(network, 0.0)
                    torch.where(fixed, values, network.theta, out=network.theta)


def _owners(network: Network) -> dict[str, Tensor]:
    """The owner of each weight that has one or may get one, by the names of the network's layout."""
    packed = of_tasks(network).module
    return {f"whole.{name}": owner for name, owner in cast(Packed, packed).owners().items()}


def _free(network: Network) -> Tensor:
    """Which weights no task has claimed, booleans (P,); outputs are not among them."""
    free = torch.zeros_like(network.theta, dtype=torch.bool)
    places = network.layout.views(free)
    for name, owner in _owners(network).items():
        places[name].copy_(owner == 0)
    return free


def _frozen(network: Network) -> Tensor:
    """Which parameters no step may change, booleans (P,): claimed weights, and outputs of closed tasks."""
    frozen = ~_free(network)
    closed = of_tasks(network).closed
    heads = network.layout.views(frozen)
    for name in heads.keys() - _owners(network).keys():
        heads[name].copy_(closed.view(-1, *[1] * (heads[name].dim() - 1)).expand_as(heads[name]))
    return frozen
