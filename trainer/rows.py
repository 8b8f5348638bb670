"""Preallocated rows of examples, by slot: all that strategies keep, or what one process of several keeps of it."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from trainer.batch import Batch

Owns = Callable[[Tensor], Tensor]
"""Says for the ids (n,) of examples, as booleans, which of them this process computes."""
ROOM = 64
"""Rows for which memory is taken at once, at least; once there are many, for half as many again."""


class Rows:
    """Preallocated storage of examples by slot; inputs keep the type they arrive in, so uint8 stays uint8."""

    def __init__(self) -> None:
        self._store: Batch | None = None

    def reserve(self, slots: int, like: Batch) -> None:
        """Makes room for at least `slots` rows of the kind of `like`; what is stored stays."""
        present = 0 if self._store is None else len(self._store)
        if slots <= present:
            return
        grown = Batch(*(part.new_zeros(slots, *part.shape[1:]) for part in _parts(like)))
        if self._store is not None:
            for new, old in zip(_parts(grown), _parts(self._store), strict=True):
                new[:present] = old
        self._store = grown

    def write(self, slots: Tensor, batch: Batch) -> None:
        """Puts the rows of the batch into these slots."""
        for kept, new in zip(_parts(self._reserved()), _parts(batch), strict=True):
            if kept.is_cpu:
                kept.numpy()[slots.numpy()] = new.cpu().numpy()  # torch takes three times as long for bytes
            else:
                kept[slots.to(kept.device)] = new

    def read(self, slots: Tensor) -> Batch:
        """A copy of the rows in these slots, in that order."""
        store = self._reserved()
        slots = slots.to(store.ids.device)
        return pick(store, slots)

    def ids(self, count: int) -> Tensor:
        """A copy of the ids in the first `count` slots, on the CPU."""
        if self._store is None:
            return torch.empty(0, dtype=torch.int64)
        return self._store.ids[:count].cpu().clone()

    def view(self, count: int) -> Batch:
        """The rows in the first `count` slots, not copied."""
        return self._reserved().select(slice(count))

    def _reserved(self) -> Batch:
        if self._store is None:
            raise IndexError("no row was ever stored")
        return self._store


class DividedRows(Rows):
    """As `Rows`, but with the inputs only of examples that `owns` picks; those of others are read as zeros."""

    def __init__(self, owns: Owns) -> None:
        super().__init__()
        self._owns = owns
        self._inputs = torch.empty(0)
        self._places = torch.empty(0, dtype=torch.int64)
        self._free: list[int] = []

    def reserve(self, slots: int, like: Batch) -> None:
        """Makes room for `slots` rows; for inputs it is made as they come."""
        super().reserve(slots, _without_inputs(like))
        if not len(self._places):
            self._inputs = like.inputs[:0].clone()
        new = torch.full((max(0, slots - len(self._places)),), -1)
        self._places = torch.cat([self._places, new])

    def write(self, slots: Tensor, batch: Batch) -> None:
        """Puts the rows of the batch into these slots, and forgets the inputs that were there."""
        super().write(slots, _without_inputs(batch))
        left = self._places[slots]
        self._free += left[left >= 0].tolist()
        own = self._owns(batch.ids)
        places = self._take(int(own.sum()))
        self._places[slots] = -1
        self._places[slots[own.cpu()]] = places
        self._inputs[places.to(self._inputs.device)] = batch.inputs[own]

    def read(self, slots: Tensor) -> Batch:
        """A copy of the rows in these slots, in that order."""
        places = self._places[slots]
        is_here, places = (places >= 0).to(self._inputs.device), places[places >= 0].to(self._inputs.device)
        inputs = self._inputs.new_zeros(len(slots), *self._inputs.shape[1:])
        inputs[is_here] = self._inputs[places]
        return replace(super().read(slots), inputs=inputs)

    def _take(self, count: int) -> Tensor:
        """Places for so many inputs; there are never more than slots."""
        missing, present = count - len(self._free), len(self._inputs)
        if missing > 0:
            spare = min(max(ROOM, present // 2), len(self._places) - present)
            more = self._inputs.new_zeros(max(missing, spare), *self._inputs.shape[1:])
            self._inputs = torch.cat([self._inputs, more])
            self._free += range(present, len(self._inputs))
        taken, self._free = self._free[:count], self._free[count:]
        return torch.tensor(taken, dtype=torch.int64)


def _without_inputs(batch: Batch) -> Batch:
    return replace(batch, inputs=batch.inputs.new_empty(len(batch), 0))


def pick(batch: Batch, rows: Tensor) -> Batch:
    """The named rows, in that order, without weights or masks; quicker than `Batch.select` for bytes."""
    return Batch(*(part.index_select(0, rows) for part in _parts(batch)))


def _parts(batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return batch.ids, batch.inputs, batch.targets, batch.tasks
