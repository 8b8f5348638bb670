"""The metrics on matrices written by hand."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.metrics import average_accuracy, backward_transfer, forgetting, forward_transfer

pytestmark = pytest.mark.unit

FORGETS: list[list[float | None]] = [[1.0, 0.25, None], [0.5, 1.0, 0.375], [0.25, 0.75, 1.0]]
LEARNS_ON: list[list[float | None]] = [[0.75, 0.5], [0.875, 1.0]]


def test_a_hand_written_matrix() -> None:
    assert average_accuracy(FORGETS) == pytest.approx(2 / 3)
    assert backward_transfer(FORGETS) == pytest.approx(-0.5)
    assert forward_transfer(FORGETS, [0.125, 0.125, 0.125]) == pytest.approx(0.1875)
    assert forgetting(FORGETS) == [0.75, 0.25, 0.0]


def test_backward_transfer_is_negative_when_forgetting_and_positive_when_later_tasks_help() -> None:
    forgets, helps = backward_transfer(FORGETS), backward_transfer(LEARNS_ON)
    assert forgets is not None
    assert helps is not None
    assert forgets < 0 < helps


def test_forgetting_is_measured_from_the_best_row_not_from_the_diagonal() -> None:
    assert forgetting([[0.5, None], [0.75, 1.0], [0.625, 0.5]]) == [0.125, 0.5]


def test_cells_that_were_not_measured_are_left_out() -> None:
    assert average_accuracy([[None, None], [0.5, None]]) == 0.5
    assert backward_transfer([[None, None], [0.5, 1.0]]) is None
    assert forward_transfer([[1.0, None], [0.5, 1.0]], [0.1, 0.1]) is None
    assert forgetting([[0.5, None], [None, 1.0]]) == [None, 0.0]


def test_before_the_first_row_there_is_nothing_to_say() -> None:
    assert average_accuracy([]) is None
    assert backward_transfer([]) is None
    assert forward_transfer([], []) is None
    assert forgetting([]) == []
    assert backward_transfer([[1.0]]) is None


@st.composite
def matrices(draw: st.DrawFn) -> list[list[float]]:
    size = draw(st.integers(2, 6))
    cell = st.floats(0, 1, allow_nan=False)
    return draw(st.lists(st.lists(cell, min_size=size, max_size=size), min_size=size, max_size=size))


@settings(deadline=None)
@given(matrices())
def test_ranges(accuracy: list[list[float]]) -> None:
    average, backward = average_accuracy(accuracy), backward_transfer(accuracy)
    forward = forward_transfer(accuracy, [0.5] * len(accuracy))
    assert average is not None
    assert backward is not None
    assert forward is not None
    assert 0 <= average <= 1
    assert -1 <= backward <= 1
    assert -1 <= forward <= 1
    assert all(lost is not None and 0 <= lost <= 1 for lost in forgetting(accuracy))


@settings(deadline=None)
@given(matrices())
def test_forgetting_bounds_what_backward_transfer_lost(accuracy: list[list[float]]) -> None:
    backward, lost = backward_transfer(accuracy), forgetting(accuracy)
    assert backward is not None
    assert -backward <= sum(value or 0.0 for value in lost[:-1]) / (len(accuracy) - 1) + 1e-9
