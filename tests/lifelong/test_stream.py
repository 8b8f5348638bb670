"""The demonstration's tasks are two digits each, and their test rows are none of those that are learned."""

import numpy as np
import pytest

from contracts.status import Matrix
from lifelong.data import small_digits
from lifelong.demo import settings
from lifelong.stream import TASKS, split
from lifelong.tables import comparison_table, percent, signed

pytestmark = pytest.mark.unit


def test_every_task_has_two_digits_and_every_row_is_in_one_task() -> None:
    data = small_digits()
    tasks = split(data, rows_per_task=10_000)
    assert [tuple(np.unique(task.labels)) for task in tasks] == list(TASKS)
    assert sum(len(task.labels) for task in tasks) == len(data.train_labels)
    assert sum(len(task.test_labels) for task in tasks) == len(data.test_labels)


def test_a_limit_takes_the_same_rows_every_time() -> None:
    one, other = split(small_digits(), 20, seed=1), split(small_digits(), 20, seed=1)
    assert all(len(task.labels) == 20 for task in one)
    assert all(np.array_equal(a.images, b.images) for a, b in zip(one, other, strict=True))


def test_the_bounds_differ_from_the_served_model_in_their_strategies_alone() -> None:
    served, finetuned, joint = settings(small_digits())
    assert finetuned.strategies == []
    assert [strategy["kind"] for strategy in joint.strategies] == ["joint"]
    for bound in (finetuned, joint):
        assert (bound.input, bound.network, bound.learner, bound.probes) == (
            served.input,
            served.network,
            served.learner,
            served.probes,
        )


def test_forgetting_is_averaged_over_the_tasks_that_could_be_forgotten() -> None:
    matrix = Matrix(average_accuracy=0.75, backward_transfer=-0.2, forgetting=[0.3, 0.1, 0.0])
    (row,) = zip(*(column.cells for column in comparison_table({"mine": matrix}).columns), strict=True)
    assert row == ("mine", "75.0", "-20.0", "20.0")


def test_what_was_not_measured_is_a_dash() -> None:
    assert (percent(None), signed(None), percent(1.0), signed(0.05)) == ("–", "–", "100.0", "+5.0")
