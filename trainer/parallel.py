"""Data-parallel learning: processes that share out the rows of each step and take the same step."""

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from contracts.errors import InvalidConfiguration
from contracts.inputs import InputSpec
from networks.flat import Network, scaled
from trainer.batch import Batch
from trainer.errors import PeerLost
from trainer.guard import huge
from trainer.loss import classification_loss
from trainer.optimiser import Optimiser
from trainer.step import Step
from trainer.strategy import Strategy

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store

PATIENCE = timedelta(seconds=60)
"""So long a process waits for another one in the middle of a round. Gloo notices at once that one has ended."""


class Ranks:
    """The processes that learn one model together, as one of them sees them; `rank` 0 leads."""

    def __init__(self, rank: int, size: int, store: "Store", device: torch.device) -> None:
        """Meets the others at the store: NCCL connects them where the network is on a GPU, gloo elsewhere.

        Raises:
            PeerLost: they did not all come.
        """
        self.rank, self.size = rank, size
        backend = "nccl" if device.type == "cuda" else "gloo"
        with _together():
            dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=PATIENCE)

    def owns(self, ids: Tensor) -> Tensor:
        """Which examples (n,) this process computes: every one is some process's, by its id alone."""
        return ids % self.size == self.rank

    def add_up(self, vector: Tensor) -> None:
        """Puts the sum over all processes into the vector, the same bits in each; all must call it.

        Raises:
            PeerLost: one of them is gone.
        """
        with _together():
            dist.all_reduce(vector)

    def follow(self, vector: Tensor) -> None:
        """Puts the leader's numbers into the vector; all must call it.

        Raises:
            PeerLost: one of them is gone.
        """
        with _together():
            dist.broadcast(vector, 0)

    def leave(self) -> None:
        """Takes leave of the others."""
        dist.destroy_process_group()


class ParallelStep(Step):
    """A step whose rows are shared out: each process computes those that it owns, then all take the step of the sum.

    Gradient and loss of all rows are one vector, so one all-reduce makes the step; penalties, which depend on the
    parameters alone, are added after it by each. What is random within the network is drawn by each process for
    itself, and leaves the global generators of all as equal as they were.
    """

    def __init__(
        self, network: Network, strategy: Strategy, optimiser: Optimiser, clip_norm: float, ranks: Ranks
    ) -> None:
        """The network must be one that `require_row_by_row` lets pass."""
        super().__init__(network, strategy, optimiser, clip_norm)
        self._ranks = ranks
        self._generator = torch.Generator()

    def begin(self, seed: int) -> None:
        """All begin with the leader's parameters, which only differ where processors round differently."""
        self._ranks.follow(self._network.theta)
        self._generator.manual_seed((seed + self._ranks.rank) % 2**63)

    def broken(self, mixed: Batch) -> list[int]:
        """The ids of those rows of a batch that alone break a step; every process finds those that it owns."""
        own = super().broken(mixed.select(self._ranks.owns(mixed.ids)))
        found = torch.isin(mixed.ids, torch.tensor(own, dtype=torch.int64, device=mixed.ids.device)).float()
        self._ranks.add_up(found)
        ids: list[int] = mixed.ids[found > 0].tolist()
        return ids

    def _gradient(self, mixed: Batch) -> tuple[Tensor, Tensor]:
        """Leaves the projected gradient of loss and penalties in `network.gradient`; the loss and the logits.

        Logits are zero for rows of others. A row of any process whose logit is huge makes the loss NaN in all.
        """
        network, is_own = self._network, self._ranks.owns(mixed.ids)
        self._set_mode(len(mixed))
        network.gradient.zero_()
        logits = network.theta.new_zeros(len(mixed), len(network.columns))
        loss, logits[is_own] = self._own(replace(mixed, weights=mixed.shares).select(is_own))
        summed = torch.cat([network.gradient, loss.view(1)])
        self._ranks.add_up(summed)
        network.gradient.copy_(summed[:-1])
        penalty = self._strategy.penalty(network, mixed, logits)
        if penalty.requires_grad:
            penalty.backward()  # type: ignore[no-untyped-call]
        self._strategy.project_gradients(network)
        return summed[-1] + penalty.detach(), logits

    def _own(self, rows: Batch) -> tuple[Tensor, Tensor]:
        """Leaves the gradient of these rows in `network.gradient`; their share of the loss and their logits."""
        network, seed = self._network, int(torch.randint(2**62, (), generator=self._generator))
        if not len(rows):
            return network.theta.new_zeros(()), network.theta.new_empty(0, len(network.columns))
        with _seeded(seed, network.theta.device):
            logits = network(rows.inputs, rows.targets)
            loss = classification_loss(network, rows, logits)
            loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach().masked_fill(huge(logits.detach(), rows), math.nan), logits.detach()


def require_row_by_row(module: nn.Module, input_spec: InputSpec) -> None:
    """Refuses a module that normalises over the rows of a step, or whose buffers change as it learns.

    Buffers are not shared: each process would keep its own, of its own rows. They are tried on a copy.

    Raises:
        InvalidConfiguration: `indivisible_module`, naming the part.
    """
    parts = module.named_modules()
    mixing = [f"{name} normalises over all rows of a step" for name, part in parts if isinstance(part, _BatchNorm)]
    changing = [f"{name} changes as rows are learned" for name in _changing(module, input_spec)]
    for fault in mixing + changing:
        what = f"{fault}: set learner.workers to 1, or use another normalisation"
        raise InvalidConfiguration("indivisible_module", f"network: {what}")


def _changing(module: nn.Module, input_spec: InputSpec) -> list[str]:
    """The buffers that are not what they were after two different rows in training mode."""
    rows = np.zeros((2, *input_spec.row_shape), input_spec.dtype)
    rows[1] = 1
    device = next(module.parameters()).device
    tried = copy.deepcopy(module).train()
    with _seeded(0, device), torch.no_grad():
        tried(scaled(torch.from_numpy(rows).to(device)))
    before = dict(module.named_buffers())
    return [name for name, each in tried.named_buffers() if not torch.equal(each, before[name])]


@contextmanager
def _together() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise PeerLost("a process that learns along is gone") from error


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Global generators begin anew from a seed inside, and are as they were afterwards."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
