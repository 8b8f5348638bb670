"""Which probe rows a version answers right, and the same rows answered by champion and challenger side by side."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from contracts.labels import Column

Flags = NDArray[np.bool_]
Numbers = NDArray[np.int64]


class Best(msgspec.Struct, frozen=True):
    """The best accuracy in 0…1 that a promoted version had on a task, and over how many probe rows it is known."""

    accuracy: float
    rows: int


@dataclass(frozen=True)
class Answers:
    """One version's answers to all probe rows; every array has the shape (rows,) and the order of `ids`.

    `task` indexes `tasks`; `label` indexes `labels`. A row whose label the version does not know is not `known` and
    counts as wrong.
    """

    tasks: tuple[str, ...]
    labels: tuple[Column, ...]
    columns: tuple[Column, ...]
    ids: Numbers
    task: Numbers
    label: Numbers
    correct: Flags

    @property
    def known(self) -> Flags:
        """Whether the version can answer each row's label at all."""
        has = np.array([label in self.columns for label in self.labels], dtype=np.bool_)
        return has[self.label]

    def accuracy(self) -> dict[str, float]:
        """Accuracy per task in 0…1, in the order of `tasks`; tasks without probe rows are left out."""
        return {task: right / rows for task, (right, rows) in self._counts().items() if rows}

    def rows(self) -> dict[str, int]:
        """Probe rows per task, in the order of `tasks`; tasks without probe rows are left out."""
        return {task: rows for task, (_, rows) in self._counts().items() if rows}

    def _counts(self) -> dict[str, tuple[int, int]]:
        rows = np.bincount(self.task, minlength=len(self.tasks))
        right = np.bincount(self.task[self.correct], minlength=len(self.tasks))
        return {task: (int(right[index]), int(rows[index])) for index, task in enumerate(self.tasks)}


@dataclass(frozen=True)
class PairedAnswers:
    """One task's probe rows, oldest first: right `before` (champion) and `after` (challenger), each of shape (rows,).

    `known` marks the rows whose label the champion can answer. `is_current`: trained on since the champion was made.
    `best` is None until a promoted version was measured on the task.
    """

    task: str
    before: Flags
    after: Flags
    known: Flags
    is_current: bool
    best: Best | None

    @property
    def best_accuracy(self) -> float:
        """The best promoted accuracy, carried over to today's rows: rows that joined since count as the champion's."""
        return self._carried(self.before)

    @property
    def next_best(self) -> Best:
        """What `best` becomes if the challenger is promoted."""
        return Best(max(float(self.after.mean()), self._carried(self.after)), len(self.after))

    def _carried(self, answers: Flags) -> float:
        rows = len(answers)
        if self.best is None:
            return float(answers.mean())
        joined = min(rows, max(rows - self.best.rows, int((~self.known).sum())))
        return (self.best.accuracy * (rows - joined) + int(answers[rows - joined :].sum())) / rows


@dataclass(frozen=True)
class Paired:
    """All that the gate looks at. `unmeasured` are the labels that the challenger adds and no probe row has.

    `is_first`: no promoted version was ever measured, so nothing learned can be lost.
    """

    tasks: Sequence[PairedAnswers]
    unmeasured: Sequence[str] = ()
    is_first: bool = False


def pair(champion: Answers, challenger: Answers, current: Collection[str], best: Mapping[str, Best]) -> Paired:
    """Puts both versions' answers to the same probe rows side by side.

    Args:
        champion: answers of the serving version.
        challenger: answers of the candidate to the same rows in the same order.
        current: names of the tasks trained on since the champion was made.
        best: per task, the best that a promoted version reached.
    """
    known, order = champion.known, np.argsort(challenger.ids, kind="stable")
    tasks = []
    for index, task in enumerate(challenger.tasks):
        rows = order[challenger.task[order] == index]
        if len(rows):
            before, after = champion.correct[rows], challenger.correct[rows]
            tasks.append(PairedAnswers(task, before, after, known[rows], task in current, best.get(task)))
    measured = {challenger.labels[index] for index in np.unique(challenger.label)}
    added = [column for column in challenger.columns if column not in champion.columns]
    unmeasured = [column.label for column in added if column not in measured]
    return Paired(tasks, unmeasured, is_first=not best)
