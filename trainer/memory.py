"""The replay buffer: a fair sample of all it has seen."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.batch import Batch
from trainer.ranking import Ranking
from trainer.rows import DividedRows, Owns, Rows, pick
from trainer.states import State
from trainer.strategy import Fetch

Numbers = NDArray[Any]


class ReplayBuffer:
    """A uniform sample, without replacement, of everything it was shown: of the stream, or of each class or each task.

    Every row gets a random key on arrival and the buffer keeps the rows with the smallest ones (bottom-k sampling, in
    law the same as Vitter, *Random Sampling with a Reservoir*, 1985). Balanced, it keeps the smallest keys of every
    group, a class or a task, as many as fit when the capacity is shared out equally; shares only ever shrink, so what
    is kept of a group stays a uniform sample of it (the aim of Chrysakis and Moens, *Online Continual Learning from
    Imbalanced Data*, 2020). Rows whose id is not above the largest one shown of their task count as seen and are
    passed over.
    """

    def __init__(
        self,
        capacity: int,
        balanced: bool,
        seed: int,
        by: Literal["targets", "tasks"] = "targets",
        most: int | None = None,
    ) -> None:
        """Holds at most `capacity` rows; where balanced, groups are told apart by `by` and hold at most `most` each."""
        self._capacity = capacity
        self._most = most or capacity
        self._balanced = balanced
        self._by = by
        self._generator = torch.Generator().manual_seed(seed)
        self._rows = Rows()
        self._keys = np.zeros(0)
        self._count = 0
        self._seen_through = np.zeros(0, dtype=np.int64)
        self._ranking = Ranking(self._keys)

    def divide(self, owns: Owns) -> None:
        """Holds the inputs only of examples that `owns` picks, before the first row comes; others are read as zeros."""
        self._rows = DividedRows(owns)

    def __len__(self) -> int:
        """Number of rows kept, at most the capacity."""
        return self._count

    def insert(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Shows the buffer rows; returns the slots that were written and which rows of the batch they now hold."""
        new = self._find_new(batch)
        keys, count = self._draw_keys(batch, new), self._count
        kept, leaving = self._ranking.cut(keys, self._excess(keys))
        entering = kept.nonzero()[0]
        slots = np.concatenate([leaving, np.arange(count, count + len(entering) - len(leaving))])
        written, rows = torch.from_numpy(slots), torch.from_numpy(new[entering])
        self._ranking.add(keys[entering], slots)
        if len(entering) == 0:
            return written, rows
        self._reserve(batch)
        self._rows.write(written, pick(batch, rows.to(batch.ids.device)))
        self._keys[slots] = keys[entering]
        self._count += len(entering) - len(leaving)
        return written, rows

    def sample(self, rows: int, beside: Tensor) -> Batch:
        """Draws rows with replacement, as `draw` does."""
        return self.read(self.draw(rows, beside))

    def draw(self, rows: int, beside: Tensor) -> Tensor:
        """Draws slots with replacement; within a group, or within a reservoir, each is equally likely.

        Balanced, the draw goes to the groups that are rarest among those of the rows `beside` (n,): together they hold
        each group as equally as so many rows allow.

        Raises:
            IndexError: the buffer is empty.
        """
        if len(self) == 0:
            raise IndexError("the replay buffer is empty")
        draws = torch.rand(rows + 1, dtype=torch.float64, generator=self._generator).numpy()
        labels = self._ranking.sizes.nonzero()[0]
        present = np.zeros(len(labels), dtype=np.int64)
        if self._balanced:
            present = np.bincount(beside.cpu().numpy(), minlength=labels[-1] + 1)[labels]
        wanted = np.roll(fill_up(np.roll(present, first := int(draws[-1] * len(present))), rows), -first)
        group = np.repeat(labels, wanted)
        within = (draws[:-1] * self._ranking.sizes[group]).astype(np.int64)
        return torch.from_numpy(self._ranking.at(group, within))

    def draw_distinct(self, rows: int) -> Tensor:
        """Draws at most `rows` different slots, each equally likely."""
        return torch.randperm(len(self), generator=self._generator)[:rows]

    def read(self, slots: Tensor) -> Batch:
        """A copy of the rows in these slots, in that order."""
        return self._rows.read(slots)

    def groups(self) -> tuple[Batch, list[int]]:
        """A copy of all rows, group after group, and how many each group that has any has.

        Raises:
            IndexError: the buffer is empty.
        """
        sizes = self._ranking.sizes
        return self.read(torch.from_numpy(self._ranking.all())), sizes[sizes > 0].tolist()

    def exchange(self, examples: Batch, choose: Callable[[Batch, int], Tensor]) -> None:
        """Puts other examples of a task in the place of its rows that are kept, class by class and one for one.

        `choose` names so many of a class's examples; the first of them stay the longest when the class must shrink.
        """
        if len(self) == 0 or len(examples) == 0:
            return
        kept = self._rows.view(len(self))
        slots = torch.from_numpy(self._ranking.all())
        slots = slots[torch.isin(kept.tasks, examples.tasks).cpu()[slots]]
        targets = kept.targets.cpu()[slots]
        for target in sorted(set(targets.tolist())):
            own, candidates = slots[targets == target], examples.select(examples.targets == target)
            chosen = choose(candidates, len(own))
            self._rows.write(own[: len(chosen)], candidates.select(chosen))

    def state_dict(self) -> State:
        """Ids, keys and generator; the rows themselves stay in the example store."""
        return {
            "ids": self._rows.ids(len(self)),
            "keys": torch.from_numpy(self._keys[: self._count].copy()),
            "generator": self._generator.get_state(),
            "seen_through": torch.from_numpy(self._seen_through.copy()),
        }

    def load_state_dict(self, state: State, examples: Fetch) -> None:
        """Continues bit for bit from a saved state; the rows are fetched by their ids."""
        keys = state["keys"].numpy()
        self._seen_through = state["seen_through"].numpy().copy()
        self._generator.set_state(state["generator"])
        self._count, self._ranking = len(keys), Ranking(keys)
        if len(keys):
            batch = examples(state["ids"])
            self._reserve(batch)
            self._rows.write(torch.arange(len(keys)), batch)
            self._keys[: len(keys)] = keys

    def _reserve(self, like: Batch) -> None:
        """Takes the memory for all rows that will ever be kept, at the first of them."""
        self._rows.reserve(self._capacity, like)
        if len(self._keys) == 0:
            self._keys = np.zeros(self._capacity)

    def _find_new(self, batch: Batch) -> Numbers:
        """Which rows were never shown; takes note that all were."""
        ids, tasks = batch.ids.cpu().numpy(), batch.tasks.cpu().numpy()
        unknown = max(0, tasks.max(initial=-1) + 1 - len(self._seen_through))
        self._seen_through = np.pad(self._seen_through, (0, unknown), constant_values=-1)
        new: Numbers = (ids > self._seen_through[tasks]).nonzero()[0]
        np.maximum.at(self._seen_through, tasks, ids)
        return new

    def _draw_keys(self, batch: Batch, rows: Numbers) -> Numbers:
        """A random number for each row, plus its group where those are kept apart; below ½, so no sum rounds up."""
        keys: Numbers = torch.rand(len(rows), dtype=torch.float64, generator=self._generator).numpy() / 2
        groups: Tensor = getattr(batch, self._by)
        return keys + groups.cpu().numpy()[rows] if self._balanced else keys

    def _excess(self, keys: Numbers) -> Numbers:
        """How many rows of each group are too many once rows with these keys have come."""
        counts = np.bincount(keys.astype(np.int64), minlength=len(self._ranking.sizes))
        counts[: len(self._ranking.sizes)] += self._ranking.sizes
        excess: Numbers = counts - equal_shares(counts.clip(max=self._most), self._capacity)
        return excess


def equal_shares(counts: Numbers, capacity: int) -> Numbers:
    """How many rows each group may keep: the same level for all that have more, the remainder to the first of them."""
    left, level = capacity, 0
    for place, count in enumerate(ascending := sorted(counts.tolist())):
        level = left // (len(ascending) - place)
        if count > level:
            break
        left -= count
    shares = counts.clip(max=level)
    larger = (counts > level).nonzero()[0]
    shares[larger[: capacity - int(shares.sum())]] += 1
    return shares


def fill_up(counts: Numbers, rows: int) -> Numbers:
    """How many of `rows` each group gets so that, added to `counts`, they come as close to equal as they can."""
    ascending = np.sort(counts)
    level = ((ascending.cumsum() + rows) // np.arange(1, len(counts) + 1)).min()
    added: Numbers = (level - counts).clip(min=0)
    lowest = (counts <= level).nonzero()[0]
    added[lowest[: rows - int(added.sum())]] += 1
    return added
