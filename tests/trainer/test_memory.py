"""The replay buffer is a fair sample: its law, its shares, and what it keeps of a row."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.trainer.strategy_contract.checks import same_rows
from trainer.batch import Batch
from trainer.memory import ReplayBuffer, equal_shares, fill_up

pytestmark = pytest.mark.unit


def rows(first: int, targets: list[int]) -> Batch:
    ids = torch.arange(first, first + len(targets))
    inputs = (ids % 251).to(torch.uint8)[:, None].expand(-1, 3).contiguous()
    return Batch(ids, inputs, torch.tensor(targets), torch.zeros_like(ids))


def fill(capacity: int, balanced: bool, targets: list[int], seed: int, piece: int = 7) -> ReplayBuffer:
    buffer = ReplayBuffer(capacity, balanced, seed)
    for start in range(0, len(targets), piece):
        buffer.insert(rows(start, targets[start : start + piece]))
    return buffer


def kept(buffer: ReplayBuffer) -> Tensor:
    ids: Tensor = buffer.state_dict()["ids"]
    return ids.sort().values


def uniformity(counts: Tensor, trials: int, share: float) -> float:
    """Probability (χ², n − 1 degrees) of counts at least this uneven if each row is kept with probability `share`."""
    n = len(counts)
    variance = trials * share * (1 - share) * n / (n - 1)
    square = ((counts - trials * share) ** 2).sum() / variance
    return float(torch.special.gammaincc(torch.tensor((n - 1) / 2), square / 2))


@pytest.mark.parametrize(("capacity", "n", "piece"), [(1, 10, 1), (1, 10, 4), (12, 60, 7), (12, 60, 60)])
def test_every_row_of_the_stream_is_kept_with_the_same_probability(capacity: int, n: int, piece: int) -> None:
    counts, trials = torch.zeros(n), 200
    for seed in range(trials):
        counts[kept(fill(capacity, False, [0] * n, seed, piece))] += 1
    assert float(counts.sum()) == trials * capacity
    assert uniformity(counts, trials, capacity / n) > 0.001


def test_a_class_stays_a_uniform_sample_while_its_share_shrinks() -> None:
    targets = [0] * 30 + [1, 2, 0] * 10
    counts, trials = torch.zeros(60), 200
    for seed in range(trials):
        counts[kept(fill(12, True, targets, seed))] += 1
    for label in range(3):
        own = counts[torch.tensor(targets) == label]
        assert float(own.sum()) == trials * 4
        assert uniformity(own, trials, 4 / len(own)) > 0.001


def test_the_test_of_uniformity_notices_a_first_row_that_cannot_stay() -> None:
    counts, random = torch.zeros(10), torch.Generator().manual_seed(0)
    for _ in range(200):
        counts[int(torch.randint(1, 10, (), generator=random))] += 1
    assert uniformity(counts, 200, 0.1) < 0.001


def test_few_rows_of_a_class_are_all_kept_beside_many_of_another() -> None:
    buffer = fill(20, True, [0] * 100 + [1] * 5 + [0] * 50, seed=0)
    assert set(range(100, 105)) <= set(kept(buffer).tolist())
    assert len(buffer) == 20


NO_TARGETS = torch.empty(0, dtype=torch.int64)


def test_a_draw_gives_each_class_its_share_whatever_is_kept_of_it() -> None:
    drawn = fill(20, True, [0] * 100 + [1] * 5 + [2], seed=0).sample(31, NO_TARGETS)
    counts = torch.bincount(drawn.targets)
    assert sorted(counts.tolist()) == [10, 10, 11]


def test_a_draw_goes_to_the_classes_that_the_new_rows_lack() -> None:
    buffer = fill(20, True, [0, 2, 3, 5] * 5, seed=0)
    drawn = buffer.sample(30, torch.tensor([7] * 50 + [3] * 40 + [5] * 4))
    assert torch.bincount(drawn.targets, minlength=6).tolist() in ([11, 0, 12, 0, 0, 7], [12, 0, 11, 0, 0, 7])


def test_the_row_left_over_goes_to_every_class_in_turn() -> None:
    buffer = fill(20, True, [0, 1, 2] * 10, seed=0)
    favoured = torch.stack([torch.bincount(buffer.sample(4, NO_TARGETS).targets, minlength=3) for _ in range(60)])
    assert (favoured.sum(dim=0) > 60).all()


@given(st.lists(st.integers(0, 40), min_size=1, max_size=12), st.integers(0, 60))
def test_filling_up_makes_counts_as_equal_as_they_can_be(counts: list[int], rows: int) -> None:
    added = fill_up(np.array(counts), rows).tolist()
    filled = [count + more for count, more in zip(counts, added, strict=True)]
    assert sum(added) == rows
    assert all(more >= 0 for more in added)
    raised = [total for total, more in zip(filled, added, strict=True) if more]
    assert not raised or max(raised) <= min(filled) + 1


def test_a_draw_from_a_reservoir_follows_the_stream() -> None:
    drawn = fill(1000, False, [0] * 900 + [1] * 100, seed=0).sample(5000, NO_TARGETS)
    assert abs(float((drawn.targets == 1).float().mean()) - 0.1) < 0.02


@given(st.lists(st.integers(0, 40), min_size=1, max_size=12), st.integers(1, 60))
def test_shares_are_equal_full_and_never_more_than_there_is(counts: list[int], capacity: int) -> None:
    shares = equal_shares(np.array(counts), capacity).tolist()
    assert sum(shares) == min(sum(counts), capacity)
    assert all(share <= count for share, count in zip(shares, counts, strict=True))
    cut = [share for share, count in zip(shares, counts, strict=True) if share < count]
    assert not cut or max(shares) <= min(cut) + 1


def test_a_row_seen_before_is_not_taken_again() -> None:
    buffer = fill(50, True, [0, 1] * 10, seed=0)
    before = buffer.state_dict()
    buffer.insert(rows(5, [0, 1] * 5))
    after = buffer.state_dict()
    assert torch.equal(before["ids"], after["ids"])
    assert torch.equal(before["generator"], after["generator"])


def test_bytes_stay_bytes_in_memory_that_is_taken_once() -> None:
    buffer = fill(10, True, [0, 1] * 10, seed=0)
    place = buffer._rows._reserved().inputs.data_ptr()
    buffer.insert(rows(20, [2, 3] * 10))
    assert buffer._rows._reserved().inputs.data_ptr() == place
    drawn = buffer.sample(40, NO_TARGETS)
    assert drawn.inputs.dtype == torch.uint8
    assert torch.equal(drawn.inputs[:, 0], (drawn.ids % 251).to(torch.uint8))


def test_a_saved_buffer_names_rows_and_holds_none() -> None:
    targets = [number % 3 for number in range(60)]
    buffer, resumed = fill(12, True, targets, seed=0), ReplayBuffer(12, True, seed=99)
    state = buffer.state_dict()
    assert all(value.ndim <= 1 for value in state.values() if isinstance(value, Tensor))
    resumed.load_state_dict(state, rows(0, targets).select)
    for each in (buffer, resumed):
        each.insert(rows(60, [3, 4, 5] * 4))
    assert same_rows(buffer.sample(30, NO_TARGETS), resumed.sample(30, NO_TARGETS))


def test_tasks_kept_apart_share_the_capacity_whatever_their_classes_and_order() -> None:
    buffer = ReplayBuffer(12, True, seed=0, by="tasks")
    for task, first, targets in ((0, 50, [0, 1] * 25), (1, 0, [0] * 40), (0, 100, [2] * 10)):
        batch = rows(first, targets)
        buffer.insert(replace(batch, tasks=torch.full_like(batch.ids, task)))
    kept, sizes = buffer.groups()
    assert sizes == [6, 6]
    assert [set(tasks.tolist()) for tasks in torch.split(kept.tasks, sizes)] == [{0}, {1}]
    assert buffer.sample(8, torch.zeros(8, dtype=torch.int64)).tasks.tolist() == [1] * 8


def test_a_group_holds_no_more_than_it_may_even_where_there_is_room() -> None:
    buffer = ReplayBuffer(20, True, seed=0, most=4)
    for start, target in ((0, 0), (30, 1), (60, 2)):
        buffer.insert(rows(start, [target] * 30))
    assert buffer.groups()[1] == [4, 4, 4]
    for target in range(3, 8):
        buffer.insert(rows(30 * target, [target] * 30))
    assert sorted(buffer.groups()[1]) == [2, 2, 2, 2, 3, 3, 3, 3]


def test_slots_tell_which_row_went_where() -> None:
    buffer, held = ReplayBuffer(6, True, seed=0), torch.full((6,), -1)
    for start in range(0, 40, 5):
        batch = rows(start, [0, 1, 2, 1] * 2)
        slots, places = buffer.insert(batch)
        held[slots] = batch.ids[places]
    assert torch.equal(held, buffer.state_dict()["ids"])
    kept, sizes = buffer.groups()
    assert [set(targets.tolist()) for targets in torch.split(kept.targets, sizes)] == [{0}, {1}, {2}]
    assert not len(buffer.insert(rows(0, [0] * 40))[0])


def test_distinct_draws_name_no_slot_twice() -> None:
    buffer = fill(20, False, [0] * 50, seed=0)
    counts = torch.stack([torch.bincount(buffer.draw_distinct(5), minlength=20) for _ in range(400)])
    assert int(counts.max()) == 1
    assert uniformity(counts.sum(dim=0).double(), 400, 5 / 20) > 0.001
    assert len(buffer.draw_distinct(50)) == 20


def test_an_exchange_keeps_the_numbers_and_lets_the_first_chosen_stay_longest() -> None:
    buffer = fill(20, True, [0, 1] * 30, seed=0)
    buffer.exchange(rows(0, [0, 1] * 30), lambda batch, count: torch.arange(len(batch)).flip(0)[:count])
    assert kept(buffer).tolist() == list(range(40, 60))
    buffer.insert(rows(60, [2, 3] * 20))
    assert kept(buffer).tolist()[:10] == list(range(50, 60))


def test_an_exchange_leaves_the_rows_of_other_tasks() -> None:
    buffer = fill(20, True, [0, 1] * 30, seed=0)
    before, later = kept(buffer), rows(60, [0, 1] * 30)
    buffer.exchange(replace(later, tasks=later.tasks + 1), lambda _, count: torch.arange(count))
    assert torch.equal(kept(buffer), before)


def test_an_empty_buffer_has_nothing_to_draw() -> None:
    with pytest.raises(IndexError, match="empty"):
        ReplayBuffer(4, True, 0).sample(1, NO_TARGETS)
