"""Requests that arrive together pass the network together: its weights are read from memory once for all of them."""

import asyncio
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.champion import Serving

Key = tuple[Serving, str | None]


INLINE_INSTANCES = 64


class Predicted(NamedTuple):
    """Labels, their probabilities `(n,)` and the scores of all columns `(n, columns)`."""

    labels: list[str]
    probabilities: NDArray[np.floating[Any]]
    scores: NDArray[np.floating[Any]]


def alone(serving: Serving, rows: NDArray[Any], task: str | None) -> Predicted:
    """The answers to rows that pass the network by themselves."""
    return Predicted(*serving.predictor.predict(rows, task))


class Batches:
    """Joins what is ready in one turn of the event loop. There is no timer: a lone request is never held back."""

    def __init__(self) -> None:
        self._open: dict[Key, _Batch] = {}

    async def predict(self, serving: Serving, rows: NDArray[Any], task: str | None) -> Predicted:
        """The answers to the rows `(n, *row_shape)`; raises what the predictor raises.

        More than a few rows pass the network by themselves, in a thread, so that they hold up no others.
        """
        if len(rows) > INLINE_INSTANCES:
            return await asyncio.to_thread(alone, serving, rows, task)
        key = serving, task
        batch = self._open.get(key)
        if batch is None:
            batch = self._open[key] = _Batch()
            # The task begins after all that is ready now, so the requests that came with this one can still join.
            batch.answers = asyncio.create_task(self._answer(key, batch))
        start = batch.add(rows)
        labels, probabilities, scores = await asyncio.shield(batch.answers)
        own = slice(start, start + len(rows))
        return Predicted(labels[own], probabilities[own], scores[own])

    async def _answer(self, key: Key, batch: "_Batch") -> Predicted:
        serving, task = key
        del self._open[key]
        rows = batch.rows[0] if len(batch.rows) == 1 else np.concatenate(batch.rows)
        return alone(serving, rows, task)


class _Batch:
    """Rows of several requests, one after another."""

    answers: asyncio.Task[Predicted]

    def __init__(self) -> None:
        self.rows: list[NDArray[Any]] = []
        self._n_rows = 0

    def add(self, rows: NDArray[Any]) -> int:
        """Appends a request's rows and returns where they begin."""
        start = self._n_rows
        self.rows.append(rows)
        self._n_rows += len(rows)
        return start
