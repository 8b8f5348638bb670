"""Probe sets: the held-out rows of every task in one tensor, answered by a version in one pass."""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from contracts.inputs import InputSpec
from contracts.labels import Column
from trainer.answers import Answers, Flags, Numbers

CHUNK_ROWS = 1024
"""Rows a forward takes at once: more would keep hundreds of megabytes of a convolution's activations."""
FIRST_CAPACITY = 256


class ProbeSets:
    """Held-out rows of all tasks; a task keeps at most `rows_per_task`, shared fairly among its labels.

    Rows lie in one tensor that doubles when it is full. When a task is full, a row whose label is under-represented
    takes the place of the newest row of the task's most frequent label, so a label that comes late is still measured.
    """

    def __init__(self, spec: InputSpec, rows_per_task: int, device: str = "cpu") -> None:
        self._rows_per_task = rows_per_task
        dtype = torch.from_numpy(np.empty(0, dtype=spec.dtype)).dtype
        self._inputs = torch.empty((FIRST_CAPACITY, *spec.row_shape), dtype=dtype, device=device)
        self.clear()

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks that have probe rows, in the order of their first."""
        return list(self._tasks)

    def clear(self) -> None:
        """Forgets all rows and tasks."""
        self._inputs.zero_()
        self._ids: list[int] = []
        self._task: list[int] = []
        self._label: list[int] = []
        self._tasks: dict[str, int] = {}
        self._labels: dict[Column, int] = {}
        self._slots: list[list[int]] = []

    def add(self, task: str, columns: Sequence[Column], ids: Sequence[int], inputs: Tensor) -> None:
        """Adds rows of one task, of shape (rows, *row_shape); `columns` are the outputs that would be right.

        A label need not be known to any network yet: until it is, its rows count as wrong.
        """
        if len(ids) and task not in self._tasks:
            self._tasks[task] = len(self._tasks)
            self._slots.append([])
        for column, identifier, row in zip(columns, ids, inputs, strict=True):
            label = self._labels.setdefault(column, len(self._labels))
            slot = self._slot(self._tasks[task], label)
            if slot is None:
                continue
            self._inputs[slot] = row
            self._ids[slot : slot + 1] = [identifier]
            self._task[slot : slot + 1] = [self._tasks[task]]
            self._label[slot : slot + 1] = [label]

    def _slot(self, task: int, label: int) -> int | None:
        """Where a row of that task and label belongs; None when the task is full and the label is not short."""
        slots = self._slots[task]
        if len(slots) < self._rows_per_task:
            if len(self) == len(self._inputs):
                self._inputs = torch.cat([self._inputs, torch.empty_like(self._inputs)])
            slots.append(len(self))
            return len(self)
        frequency = Counter(self._label[slot] for slot in slots)
        commonest, most = frequency.most_common(1)[0]
        if frequency[label] + 1 >= most:
            return None
        return max((slot for slot in slots if self._label[slot] == commonest), key=lambda slot: self._ids[slot])

    def answers(
        self, score: Callable[[Tensor], Tensor], columns: Sequence[Column], earlier: Answers | None = None
    ) -> Answers:
        """A version's answers to all rows.

        Args:
            score: inputs (rows, *row_shape) to scores (rows, columns), in evaluation mode; no gradient is kept.
            columns: the version's outputs; an output of another task than the row's is never chosen (task scenario).
            earlier: answers of the same version: only the rows that have joined since are scored.
        """
        ids, labels = np.array(self._ids, dtype=np.int64), tuple(self._labels)
        correct = np.zeros(len(ids), dtype=np.bool_)
        fresh = np.arange(len(ids))
        if earlier is not None and len(earlier.ids):
            fresh = _carry_over(earlier, ids, correct)
        if columns:
            for start in range(0, len(fresh), CHUNK_ROWS):
                rows = fresh[start : start + CHUNK_ROWS]
                correct[rows] = self._score(score, list(columns), rows)
        task, label = np.array(self._task, dtype=np.int64), np.array(self._label, dtype=np.int64)
        return Answers(tuple(self._tasks), labels, tuple(columns), ids, task, label, correct)

    @torch.inference_mode()
    def _score(self, score: Callable[[Tensor], Tensor], columns: list[Column], rows: Numbers) -> Flags:
        index = torch.from_numpy(rows)
        whole = len(rows) == len(self) and rows[0] == 0
        inputs = self._inputs[: len(self)] if whole else self._inputs[index.to(self._inputs.device)]
        scores = score(inputs).cpu()
        task = torch.tensor(self._task)[index]
        owners = torch.tensor([-1 if c.task is None else self._tasks.get(c.task, -2) for c in columns])
        foreign = (owners != -1) & (owners != task[:, None])
        position = {column: number for number, column in enumerate(columns)}
        wanted = torch.tensor([position.get(column, -1) for column in self._labels])
        targets = wanted[torch.tensor(self._label)[index]]
        right: Flags = (scores.masked_fill(foreign, -torch.inf).argmax(dim=1) == targets).numpy()
        return right


def _carry_over(earlier: Answers, ids: Numbers, correct: Flags) -> Numbers:
    """Copies the answers that are already known into `correct` and returns the positions of the others."""
    order = np.argsort(earlier.ids)
    found = np.minimum(np.searchsorted(earlier.ids, ids, sorter=order), len(order) - 1)
    place = order[found]
    same = earlier.ids[place] == ids
    correct[same] = earlier.correct[place[same]]
    return np.flatnonzero(~same)
