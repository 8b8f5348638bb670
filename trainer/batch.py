"""Examples as tensors: what the learner and the strategies hand to each other."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of examples, all on one device.

    `ids` (n,) are the examples' sequence numbers, `inputs` (n, *row) keep the type they are stored in, `targets` (n,)
    are output columns and `tasks` (n,) task numbers; whole numbers are int64.
    """

    ids: Tensor
    inputs: Tensor
    targets: Tensor
    tasks: Tensor

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.targets)

    def select(self, rows: Tensor | slice) -> "Batch":
        """The named rows, in that order: a slice shares memory, indices copy."""
        return Batch(self.ids[rows], self.inputs[rows], self.targets[rows], self.tasks[rows])

    def after(self, last_id: int) -> "Batch":
        """The rows with larger ids; itself when that is all of them."""
        is_later = self.ids > last_id
        return self if bool(is_later.all()) else self.select(is_later)

    def to(self, device: torch.device) -> "Batch":
        """The same rows on another device; itself when it is there already."""
        if self.inputs.device == device:
            return self
        return Batch(*(getattr(self, field.name).to(device) for field in fields(self)))


def concatenate(batches: Sequence[Batch]) -> Batch:
    """All rows of the batches, in order."""
    return Batch(
        torch.cat([batch.ids for batch in batches]),
        torch.cat([batch.inputs for batch in batches]),
        torch.cat([batch.targets for batch in batches]),
        torch.cat([batch.tasks for batch in batches]),
    )
