"""GDumb: a fair memory of the stream, and a network trained on nothing else. What a method must beat."""

import copy
import math

import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from networks.flat import Network
from trainer.batch import Batch
from trainer.memory import ReplayBuffer
from trainer.passes import passes, take_gradient, training
from trainer.states import State, join, part_of
from trainer.strategy import Fetch, Naive

MOMENTUM = 0.9


@dataclass(config=ConfigDict(extra="forbid"))
class GDumb(Naive):
    """Answers with a network that is trained, when a task ends, from its first weights on `capacity` kept examples.

    These hold every class in equal number, each a uniform sample of it (the paper keeps a class's first ones). Steps of
    the stream change no parameter. Training takes `epochs` passes in batches of `batch_size` by gradient descent with
    momentum 0.9, gradients no longer than `clip_norm`, at rates that fall from `rate` to `rate_end` along a cosine,
    anew after 1, 3, 7, 15, … passes. (Prabhu, Torr and Dokania, *GDumb: A Simple Approach that Questions Our Progress
    in Continual Learning*, 2020; rates: Loshchilov and Hutter, *SGDR*, 2017.)
    """

    owns = frozenset({"predictor"})

    capacity: int = Field(default=2000, gt=0, le=10_000_000)
    epochs: int = Field(default=31, gt=0, le=10_000)
    batch_size: int = Field(default=16, gt=0, le=65_536)
    rate: float = Field(default=0.05, gt=0, allow_inf_nan=False)
    rate_end: float = Field(default=0.0005, ge=0, allow_inf_nan=False)
    clip_norm: float = Field(default=10.0, gt=0)
    seed: int = Field(default=0, ge=0, lt=2**63)

    def __post_init__(self) -> None:
        """Starts with an empty memory and no network."""
        self._generator = torch.Generator().manual_seed(self.seed)
        self._buffer = ReplayBuffer(self.capacity, balanced=True, seed=self.seed)
        self._answering: Network | None = None
        self._saved: State = {}

    def project_gradients(self, network: Network) -> None:
        """Leaves nothing of the gradient: the network stays as it was initialised."""
        network.gradient.zero_()

    def after_step(self, network: Network, batch: Batch, logits: Tensor) -> None:  # noqa: ARG002
        """Offers the new rows to the memory."""
        self._buffer.insert(batch)

    def after_task(self, network: Network, examples: Batch) -> None:  # noqa: ARG002
        """Trains a new network."""
        if len(self._buffer) == 0:
            return
        memory = self._buffer.read(torch.arange(len(self._buffer)))
        self._saved, self._answering = {}, _copy(network, len(network.columns))
        self._train(self._answering, memory)

    def predictor(self, network: Network) -> Network:
        """The network of the last task's end; before the first, the one that never learns."""
        if self._saved:
            self._answering = _copy(network, self._saved["columns"])
            self._answering.load_tensors(part_of(self._saved, "weights"))
            self._saved = {}
        return self._answering or network

    def state_dict(self) -> State:
        """The memory as ids, keys and generator, and the trained network's weights."""
        state = {**self._buffer.state_dict(), "sampler": self._generator.get_state()}
        if self._answering is None:
            return {**state, **self._saved}
        weights = {name: tensor.clone() for name, tensor in self._answering.tensors().items()}
        return {**state, **join({"weights": weights}), "columns": len(self._answering.columns)}

    def load_state_dict(self, state: State, examples: Fetch) -> None:
        """Fills the memory again; the network is built when it is asked for."""
        self._buffer.load_state_dict(state, examples)
        self._generator.set_state(state["sampler"])
        self._answering, self._saved = None, {}
        if "columns" in state:
            self._saved = {"columns": state["columns"], **join({"weights": part_of(state, "weights")})}

    def _train(self, network: Network, memory: Batch) -> None:
        velocity = torch.zeros_like(network.theta)
        with training(network, self._generator):
            for epoch, batch in passes(memory, self.epochs, self.batch_size, self._generator):
                self._descend(network, batch, velocity, self._rate(epoch))

    def _descend(self, network: Network, batch: Batch, velocity: Tensor, rate: float) -> None:
        """One step; changes the velocity (P,), too, but nothing if the gradient is not finite."""
        network.module.train(len(batch) > 1)  # batch normalisation cannot learn from a single row
        take_gradient(network, batch)
        length = float(network.gradient.norm())
        if math.isfinite(length):
            velocity.mul_(MOMENTUM).add_(network.gradient, alpha=self.clip_norm / max(length, self.clip_norm))
            network.theta.sub_(velocity, alpha=rate)

    def _rate(self, epoch: int) -> float:
        cycle = 1 << ((epoch + 1).bit_length() - 1)
        progress = (epoch + 1 - cycle) / cycle
        return self.rate_end + (self.rate - self.rate_end) * (1 + math.cos(math.pi * progress)) / 2


def _copy(network: Network, columns: int) -> Network:
    """A network of its own with the same first columns, in evaluation mode."""
    module = copy.deepcopy(network.module).eval()
    return Network(module, network.columns[:columns], 0, network.theta.device, keeps_head=True)
