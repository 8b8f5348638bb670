"""Where strategies keep examples: preallocated rows, and the replay buffer, a fair sample of all it has seen."""

import torch
from torch import Tensor

from trainer.batch import Batch
from trainer.strategy import Fetch, State


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
            kept[slots.to(kept.device)] = new

    def read(self, slots: Tensor) -> Batch:
        """A copy of the rows in these slots, in that order."""
        store = self._reserved()
        slots = slots.to(store.ids.device)
        return Batch(*(part.index_select(0, slots) for part in _parts(store)))

    def ids(self, count: int) -> Tensor:
        """A copy of the ids in the first `count` slots, on the CPU."""
        if self._store is None:
            return torch.empty(0, dtype=torch.int64)
        return self._store.ids[:count].cpu().clone()

    def _reserved(self) -> Batch:
        if self._store is None:
            raise IndexError("no row was ever stored")
        return self._store


class ReplayBuffer:
    """A uniform sample, without replacement, of everything it was shown: of the stream, or of each class.

    Every row gets a random key on arrival; the buffer keeps the rows with the smallest keys (bottom-k sampling, in
    law the same as reservoir sampling: Vitter, *Random Sampling with a Reservoir*, 1985). Class-balanced, it keeps the
    smallest keys of every class, as many as fit when capacity is shared out equally; shares only ever shrink, so each
    class stays a uniform sample of its own rows (Chrysakis and Moens, *Online Continual Learning from Imbalanced
    Data*, 2020). Rows whose id is not above the largest id shown before count as seen and are passed over.
    """

    def __init__(self, capacity: int, balanced: bool, seed: int) -> None:
        self._capacity = capacity
        self._balanced = balanced
        self._generator = torch.Generator().manual_seed(seed)
        self._rows = Rows()
        self._keys = torch.zeros(capacity, dtype=torch.float64)
        self._groups = torch.zeros(capacity, dtype=torch.int64)
        self._count = 0
        self._seen_through = -1
        self._index()

    def __len__(self) -> int:
        """Number of rows kept, at most the capacity."""
        return self._count

    def insert(self, batch: Batch) -> None:
        """Shows the buffer rows with ascending ids."""
        batch = batch.select(batch.ids > self._seen_through)
        if len(batch) == 0:
            return
        self._seen_through = int(batch.ids[-1])
        keys = torch.rand(len(batch), dtype=torch.float64, generator=self._generator)
        groups = batch.targets.cpu() if self._balanced else torch.zeros(len(batch), dtype=torch.int64)
        self._rows.reserve(self._capacity, like=batch)
        kept = smallest_keys(
            torch.cat([self._groups[: self._count], groups]),
            torch.cat([self._keys[: self._count], keys]),
            self._capacity,
        )
        leaving = (~kept[: self._count]).nonzero().squeeze(1)
        entering = kept[self._count :].nonzero().squeeze(1)
        if len(entering) == 0:
            return
        slots = torch.cat([leaving, torch.arange(self._count, self._capacity)])[: len(entering)]
        self._rows.write(slots, batch.select(entering.to(batch.ids.device)))
        self._keys[slots], self._groups[slots] = keys[entering], groups[entering]
        self._count += len(entering) - len(leaving)
        self._index()

    def sample(self, rows: int) -> Batch:
        """Draws rows with replacement: each group's share is the same within one row, each of its rows equally likely.

        Raises:
            IndexError: the buffer is empty.
        """
        if self._count == 0:
            raise IndexError("the replay buffer is empty")
        first = torch.randint(len(self._sizes), (), generator=self._generator)
        group = (first + torch.arange(rows)) % len(self._sizes)
        within = torch.rand(rows, dtype=torch.float64, generator=self._generator) * self._sizes[group]
        return self._rows.read(self._by_group[self._starts[group] + within.long()])

    def state_dict(self) -> State:
        """Ids, keys and generator; the rows themselves stay in the example store."""
        return {
            "ids": self._rows.ids(self._count),
            "keys": self._keys[: self._count].clone(),
            "generator": self._generator.get_state(),
            "seen_through": self._seen_through,
        }

    def load_state_dict(self, state: State, examples: Fetch) -> None:
        """Continues bit for bit from a saved state; the rows are fetched by their ids."""
        self._count = len(state["ids"])
        self._seen_through = state["seen_through"]
        self._generator.set_state(state["generator"])
        if self._count:
            batch = examples(state["ids"])
            slots = torch.arange(self._count)
            self._rows.reserve(self._capacity, like=batch)
            self._rows.write(slots, batch)
            self._keys[slots] = state["keys"]
            self._groups[slots] = batch.targets.cpu() if self._balanced else 0
        self._index()

    def _index(self) -> None:
        """Lists the slots by group, so that a draw costs no search."""
        groups = self._groups[: self._count]
        self._by_group = groups.argsort(stable=True)
        counts = torch.bincount(groups)
        self._sizes = counts[counts > 0]
        self._starts = self._sizes.cumsum(0) - self._sizes


def smallest_keys(groups: Tensor, keys: Tensor, capacity: int) -> Tensor:
    """Marks (n,) the rows to keep: the smallest keys of each group, at most `capacity` shared out equally."""
    if len(keys) <= capacity:
        return torch.ones(len(keys), dtype=torch.bool)
    order = keys.argsort()
    order = order[groups[order].argsort(stable=True)]
    counts = torch.bincount(groups)
    rank = torch.arange(len(keys)) - (counts.cumsum(0) - counts)[groups[order]]
    kept = torch.empty(len(keys), dtype=torch.bool)
    kept[order] = rank < equal_shares(counts, capacity)[groups[order]]
    return kept


def equal_shares(counts: Tensor, capacity: int) -> Tensor:
    """How many rows each group may keep: the same level for all that have more, the remainder to the first of them."""
    left, level = capacity, 0
    for place, count in enumerate(ascending := sorted(counts.tolist())):
        level = left // (len(ascending) - place)
        if count > level:
            break
        left -= count
    shares = counts.clamp(max=level)
    larger = (counts > level).nonzero().squeeze(1)
    shares[larger[: capacity - int(shares.sum())]] += 1
    return shares


def _parts(batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return batch.ids, batch.inputs, batch.targets, batch.tasks
