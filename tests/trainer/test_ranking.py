"""Slots ranked by their keys, against sorting all of them anew after every change."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from trainer import memory, ranking
from trainer.batch import Batch
from trainer.memory import ReplayBuffer, equal_shares
from trainer.ranking import Ranking

pytestmark = pytest.mark.unit

Numbers = NDArray[Any]
STREAMS = st.lists(st.lists(st.integers(0, 8), max_size=9), min_size=1, max_size=14)
"""Pieces of a stream of classes."""


class Sorting:
    """The definition: every change sorts all keys."""

    def __init__(self, keys: Numbers) -> None:
        self._by_slot = keys.copy()
        self._rank()

    def _rank(self) -> None:
        present = ~np.isnan(self._by_slot)
        self._order = self._by_slot.argsort()[: present.sum()]
        self.sizes = np.bincount(self._by_slot[self._order].astype(np.int64))
        self.starts = self.sizes.cumsum() - self.sizes

    def at(self, groups: Numbers, within: Numbers) -> Numbers:
        return self._order[self.starts[groups] + within]

    def all(self) -> Numbers:
        return self._order

    def cut(self, keys: Numbers, excess: Numbers) -> tuple[Numbers, Numbers]:
        count, everything = len(self._by_slot), np.concatenate([self._by_slot, keys])
        leaves = np.zeros(len(everything), dtype=np.bool_)
        for group, number in enumerate(excess.tolist()):
            own = (np.floor(everything) == group).nonzero()[0]
            leaves[own[everything[own].argsort()][len(own) - number :]] = True
        self._by_slot[leaves[:count]] = np.nan
        return ~leaves[count:], leaves[:count].nonzero()[0]

    def add(self, keys: Numbers, slots: Numbers) -> None:
        longer = max(len(self._by_slot), int(slots.max(initial=-1)) + 1)
        grown = np.full(longer, np.nan)
        grown[: len(self._by_slot)] = self._by_slot
        grown[slots] = keys
        self._by_slot = grown
        self._rank()


def rows(first: int, targets: list[int]) -> Batch:
    ids = torch.arange(first, first + len(targets))
    return Batch(ids, ids[:, None].float(), torch.tensor(targets, dtype=torch.int64), torch.zeros_like(ids))


def history(buffer: ReplayBuffer, stream: list[list[int]]) -> list[list[int]]:
    """What a buffer writes, holds and draws while a stream is shown to it."""
    seen, said = 0, []
    for targets in stream:
        batch = rows(seen, targets)
        seen += len(targets)
        said += [part.tolist() for part in buffer.insert(batch)]
        if len(buffer):
            kept, sizes = buffer.groups()
            said += [kept.ids.tolist(), sizes]
            said.append(buffer.draw(5, batch.targets).tolist())
    return [*said, buffer.state_dict()["keys"].tolist()]


@given(STREAMS, st.integers(1, 20), st.booleans(), st.sampled_from([None, 3]), st.sampled_from([0, 4, 8192]))
def test_a_buffer_says_what_it_would_say_if_it_sorted_all_keys_each_time(
    stream: list[list[int]], capacity: int, balanced: bool, most: int | None, recent: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "RECENT", recent)
        found = history(ReplayBuffer(capacity, balanced, seed=3, most=most), stream)
        patch.setattr(memory, "Ranking", Sorting)
        assert found == history(ReplayBuffer(capacity, balanced, seed=3, most=most), stream)


@given(STREAMS, st.integers(1, 20))
def test_a_buffer_holds_the_smallest_keys_of_every_group(stream: list[list[int]], capacity: int) -> None:
    buffer, seen = ReplayBuffer(capacity, True, seed=3), 0
    kept: list[list[float]] = [[] for _ in range(9)]
    generator = torch.Generator().manual_seed(3)
    for targets in stream:
        keys = torch.rand(len(targets), dtype=torch.float64, generator=generator) / 2
        for target, key in zip(targets, keys.tolist(), strict=True):
            kept[target].append(target + key)
        shares = equal_shares(np.array([len(group) for group in kept]), capacity)
        kept = [sorted(group)[:share] for group, share in zip(kept, shares.tolist(), strict=True)]
        buffer.insert(rows(seen, targets))
        seen += len(targets)
    assert sorted(buffer.state_dict()["keys"].tolist()) == sorted(key for group in kept for key in group)


@pytest.mark.parametrize("kind", [Ranking, Sorting])
def test_a_key_may_come_that_is_larger_than_one_that_left(kind: type[Ranking | Sorting]) -> None:
    subject = kind(np.array([0.1, 0.2, 0.3]))
    kept, left = subject.cut(np.zeros(0), np.array([2]))
    assert (kept.tolist(), left.tolist()) == ([], [1, 2])
    subject.add(np.array([0.4]), np.array([2]))
    assert subject.all().tolist() == [0, 2]


def test_only_so_many_changes_as_may_wait_make_it_merge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "RECENT", 10)
    merges: list[int] = []
    merge = Ranking._merge

    def noted(self: Ranking) -> None:
        merges.append(len(self._keys))
        merge(self)

    monkeypatch.setattr(Ranking, "_merge", noted)
    buffer = ReplayBuffer(100, True, seed=0)
    for piece in range(200):
        buffer.insert(rows(5 * piece, [0, 1, 2, 3, 4]))
    entered = 100 * (1 + float(np.log(10)))
    assert 0.5 * entered / 11 < len(merges) < 1.5 * entered / 11
    assert max(merges) <= 100
