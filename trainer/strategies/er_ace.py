"""Replay with an asymmetric cross-entropy: what is new does not push what is old out of the way."""

from dataclasses import replace
from typing import ClassVar, Literal

import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from networks.flat import Network
from trainer.batch import Batch, append
from trainer.memory import ReplayBuffer
from trainer.rows import Owns
from trainer.states import State
from trainer.strategy import Fetch, Naive


@dataclass(config=ConfigDict(extra="forbid"))
class ErAce(Naive):
    """CE(new rows, among the classes of the step's new rows) + CE(`rows` exemplars, among all), each a mean.

    So the gradient of new rows leaves the outputs of absent classes alone. The exemplars come from a buffer of
    `capacity` examples, a reservoir of the stream or as many of every class. (Caccia et al., *New Insights on Reducing
    Abrupt Representation Change in Online Continual Learning*, 2022, eq. 2.)
    """

    is_divisible: ClassVar[bool] = True
    capacity: int = Field(default=2000, gt=0, le=10_000_000)
    rows: int = Field(default=128, gt=0, le=65_536)
    selection: Literal["reservoir", "class_balanced"] = "reservoir"
    seed: int = Field(default=0, ge=0, lt=2**63)

    def __post_init__(self) -> None:
        """Starts with an empty buffer."""
        self._buffer = ReplayBuffer(self.capacity, self.selection == "class_balanced", self.seed)

    def divide(self, owns: Owns) -> None:
        """Divides the buffer."""
        self._buffer.divide(owns)

    def replay(self, network: Network, batch: Batch) -> Batch:
        """The batch with its own classes as competitors, and exemplars for which all compete."""
        present = torch.zeros(len(network.columns), dtype=torch.bool, device=batch.targets.device)
        present[batch.new.targets] = True
        is_new = torch.arange(len(batch), device=present.device) < len(batch.new)
        mask = present | ~is_new[:, None]
        narrow = replace(batch, mask=mask if batch.mask is None else batch.mask & mask)
        if len(self._buffer) == 0:
            return narrow
        return append(narrow, self._buffer.sample(self.rows, beside=batch.targets), keeps=1.0, share=1.0)

    def after_step(self, network: Network, batch: Batch, logits: Tensor) -> None:  # noqa: ARG002
        """Offers the new rows to the buffer."""
        self._buffer.insert(batch)

    def state_dict(self) -> State:
        """The buffer as ids, keys and generator."""
        return self._buffer.state_dict()

    def load_state_dict(self, state: State, examples: Fetch) -> None:
        """Fills the buffer again with the same examples."""
        self._buffer.load_state_dict(state, examples)
