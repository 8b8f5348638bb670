"""Requests that arrive together: one pass of the network, everyone gets their own."""

import asyncio
from typing import Any

import numpy as np
import pytest

from contracts.errors import LifelongError
from contracts.labels import Column
from service.batches import Batches, Predicted
from service.champion import Serving
from service.followers import Generation

pytestmark = pytest.mark.unit


class Recording:
    """A predictor that answers with the rows and remembers how many it got at a time."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def predict(self, rows: Any, task: str | None) -> tuple[list[str], Any, Any]:
        """The first number of each row, as label and probability."""
        self.sizes.append(len(rows))
        if task == "unheard":
            raise LifelongError("unknown_task", "no such task")
        return [str(int(row[0])) for row in rows], rows[:, 0], rows

    def explain(self, row: Any, task: str | None, method: str, label: str | None) -> tuple[str, Any]:
        """Never called."""
        raise NotImplementedError


def serving(generation: int, predictor: Recording) -> Serving:
    """A version that answers by the predictor."""
    return Serving(generation, Generation(is_announced=True, number=generation), [Column("0")], predictor)


def rows(*firsts: int) -> Any:
    """Rows that begin with the given numbers."""
    return np.asarray([[first, 0] for first in firsts], np.float32)


def together(*requests: tuple[Serving, Any, str | None]) -> list[Any]:
    """The outcomes of requests that arrive in one turn of the loop."""

    async def run() -> list[Any]:
        batches = Batches()
        asked = (batches.predict(*request) for request in requests)
        return list(await asyncio.gather(*asked, return_exceptions=True))

    return asyncio.run(run())


def labels(outcomes: list[Predicted]) -> list[list[str]]:
    """The labels that each request got."""
    return [outcome.labels for outcome in outcomes]


def test_requests_of_one_turn_are_answered_in_one_pass() -> None:
    one = Recording()
    same = serving(1, one)
    outcomes = together(*((same, rows(*firsts), None) for firsts in ([1, 2], [3], [4, 5, 6])))
    assert one.sizes == [6]
    assert labels(outcomes) == [["1", "2"], ["3"], ["4", "5", "6"]]
    assert [outcome.scores.shape for outcome in outcomes] == [(2, 2), (1, 2), (3, 2)]


def test_versions_and_tasks_are_never_mixed() -> None:
    old, new = Recording(), Recording()
    first, second = serving(1, old), serving(2, new)
    outcomes = together((first, rows(1), "a"), (second, rows(2), "a"), (second, rows(3), "b"))
    assert labels(outcomes) == [["1"], ["2"], ["3"]]
    assert (old.sizes, new.sizes) == ([1], [1, 1])


def test_a_fault_reaches_those_it_concerns_alone() -> None:
    same = serving(1, Recording())
    good, bad, other = together(*((same, rows(7), task) for task in (None, "unheard", "unheard")))
    assert good.labels == ["7"]
    assert isinstance(bad, LifelongError)
    assert isinstance(other, LifelongError)


def test_a_client_that_leaves_takes_no_other_answer_along() -> None:
    same = serving(1, Recording())

    async def run() -> Predicted:
        batches = Batches()
        leaving = asyncio.create_task(batches.predict(same, rows(1), None))
        staying = asyncio.create_task(batches.predict(same, rows(2), None))
        await asyncio.sleep(0)
        leaving.cancel()
        return await staying

    assert asyncio.run(run()).labels == ["2"]
