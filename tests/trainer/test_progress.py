"""Positions are accounted for in any order, and `through` never runs ahead of a missing one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.progress import Progress

pytestmark = pytest.mark.unit


def test_a_missing_position_holds_the_mark_back() -> None:
    progress = Progress()
    progress.note([1, 2, 4, 5])
    assert (progress.through, progress.ahead) == (2, [4, 5])
    progress.note([3])
    assert (progress.through, progress.ahead) == (5, [])


def test_events_without_a_position_change_nothing() -> None:
    progress = Progress(through=3)
    progress.note([None, None])
    assert progress.through == 3


@given(st.permutations(range(1, 30)), st.lists(st.integers(1, 29)))
def test_any_order_with_repeats_ends_at_the_same_mark(order: list[int], repeats: list[int]) -> None:
    progress = Progress()
    for position in order:
        progress.note([position, *repeats[:2]])
    assert (progress.through, progress.ahead) == (29, [])
