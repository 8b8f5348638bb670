"""Examples as tensors: what the learner and the strategies hand to each other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of examples, all on one device.

    `ids` (n,) are the examples' sequence numbers, `inputs` (n, *row) keep the type they are stored in, `targets` (n,)
    are output columns and `tasks` (n,) task numbers; whole numbers are int64. `weights` (n,) ≥ 0 are the rows' shares
    of the loss, 1/n each without them; `mask` (n, columns) says which columns compete for a row, all without it.
    Strategies put the last `appended` rows there, which are not new.
    """

    ids: Tensor
    inputs: Tensor
    targets: Tensor
    tasks: Tensor
    weights: Tensor | None = None
    mask: Tensor | None = None
    appended: int = field(default=0, kw_only=True)

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.targets)

    def select(self, rows: Tensor | slice) -> "Batch":
        """The named rows, in that order: a slice shares memory, indices copy."""
        return replace(self._each(lambda part: part[rows]), appended=0)

    def after(self, last_id: int) -> "Batch":
        """The rows with larger ids; itself when that is all of them."""
        is_later = self.ids > last_id
        return self if bool(is_later.all()) else self.select(is_later)

    def clone(self) -> "Batch":
        """A copy that shares no memory."""
        return self._each(torch.clone)

    def to(self, device: torch.device) -> "Batch":
        """The same rows on another device; itself when it is there already."""
        if self.inputs.device == device:
            return self
        return self._each(lambda part: part.to(device))

    @property
    def new(self) -> "Batch":
        """The rows that no strategy has put there."""
        return self.select(slice(0, len(self) - self.appended)) if self.appended else self

    @property
    def shares(self) -> Tensor:
        """Each row's share of the loss (n,): its weight, or 1/n."""
        if self.weights is not None:
            return self.weights
        return torch.full_like(self.targets, 1 / len(self), dtype=torch.float32)

    @property
    def parts(self) -> dict[str, Tensor]:
        """The tensors that there are, by name."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Tensor)}

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        changed: dict[str, Any] = {name: change(part) for name, part in self.parts.items()}
        return replace(self, **changed)


def concatenate(batches: Sequence[Batch]) -> Batch:
    """All rows of the batches, in order; every row counts alike and has all competitors."""
    return Batch(
        torch.cat([batch.ids for batch in batches]),
        torch.cat([batch.inputs for batch in batches]),
        torch.cat([batch.targets for batch in batches]),
        torch.cat([batch.tasks for batch in batches]),
    )


def extend(batch: Batch, rows: Batch) -> Batch:
    """The batch with rows after its own, which count as much as its own do on average; the whole weighs as before."""
    if batch.weights is None and batch.mask is None:
        return replace(concatenate([batch, rows]), appended=batch.appended + len(rows))
    weight = 1.0 if batch.weights is None else float(batch.weights.sum())
    keeps = len(batch) / (len(batch) + len(rows))
    return append(batch, rows, keeps, share=weight * (1 - keeps))


def append(batch: Batch, rows: Batch, keeps: float, share: float) -> Batch:
    """The batch with rows after its own: its own weights scaled by `keeps`, the others sharing `share` equally.

    Where no row counts, because a strategy brings the whole loss itself, those after it do not count either.
    """
    theirs = torch.full_like(rows.targets, share / len(rows), dtype=torch.float32)
    if batch.weights is not None and not bool(batch.weights.any()):
        theirs.zero_()
    plain = concatenate([batch, rows])
    weights, appended = torch.cat([batch.shares * keeps, theirs]), batch.appended + len(rows)
    return replace(plain, weights=weights, mask=_masks(batch, rows), appended=appended)


def _masks(batch: Batch, rows: Batch) -> Tensor | None:
    wide = next((each.mask for each in (batch, rows) if each.mask is not None), None)
    if wide is None:
        return None
    return torch.cat(
        [wide.new_ones(len(each), wide.shape[1]) if each.mask is None else each.mask for each in (batch, rows)]
    )
