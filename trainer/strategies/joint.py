"""Joint training: every example is kept and learned again and again. The upper bound of a study, not a method."""

import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from networks.flat import Network
from trainer.batch import Batch, extend
from trainer.rows import Rows
from trainer.states import State
from trainer.strategy import Fetch, Naive


@dataclass(config=ConfigDict(extra="forbid"))
class Joint(Naive):
    """Appends `rows` examples drawn uniformly from all that was ever learned, so a step is close to one on all data.

    Memory grows with the stream.
    """

    rows: int = Field(default=512, gt=0, le=65_536)
    seed: int = Field(default=0, ge=0, lt=2**63)

    def __post_init__(self) -> None:
        """Starts with nothing kept."""
        self._generator = torch.Generator().manual_seed(self.seed)
        self._kept = Rows()
        self._count = 0
        self._seen_through = -1

    def replay(self, network: Network, batch: Batch) -> Batch:  # noqa: ARG002
        """The batch with `rows` earlier examples, or the batch itself while there are none."""
        if self._count == 0:
            return batch
        slots = torch.randint(self._count, (self.rows,), generator=self._generator)
        return extend(batch, self._kept.read(slots))

    def after_step(self, network: Network, batch: Batch, logits: Tensor) -> None:  # noqa: ARG002
        """Keeps the rows that are new."""
        batch = batch.after(self._seen_through)
        if len(batch):
            self._seen_through = int(batch.ids.max())
            self._keep(batch)

    def state_dict(self) -> State:
        """The ids of all examples, and the generator."""
        return {
            "ids": self._kept.ids(self._count),
            "generator": self._generator.get_state(),
            "seen_through": self._seen_through,
        }

    def load_state_dict(self, state: State, examples: Fetch) -> None:
        """Keeps the same examples again."""
        self._count, self._seen_through = 0, state["seen_through"]
        self._generator.set_state(state["generator"])
        if len(state["ids"]):
            self._keep(examples(state["ids"]))

    def _keep(self, batch: Batch) -> None:
        after = self._count + len(batch)
        self._kept.reserve(1 << (after - 1).bit_length(), like=batch)
        self._kept.write(torch.arange(self._count, after), batch)
        self._count = after
