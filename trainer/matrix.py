"""The accuracy matrix as it grows: a row at every task end, the cells before the diagonal, and the worst since."""

from contracts.status import Matrix
from trainer.course import Course
from trainer.examiner import Examiner
from trainer.record import Closing
from trainer.stores import Stores


class MatrixBook:
    """Measures and stores what belongs into the matrix at each task end, once (formulae in `trainer.metrics`)."""

    def __init__(self, stores: Stores, examiner: Examiner) -> None:
        self._database = stores.database
        self._history = stores.history
        self._examiner = examiner
        self.worst: dict[str, float] = self._database.get("worst", dict[str, float], {})

    def close(self, step: Closing, course: Course) -> None:
        """Stores the row after a task: R[i][j] of every task measured, and for the closed one R[i−1][i] and b[i]."""
        if self._history.has_row(step.number):
            return
        network = course.answering
        row = self._examiner.measure(network).accuracy()
        baseline = self._examiner.accuracy_of(network.columns, None, step.task)
        with self._database.transaction():
            if course.boundary is not None and len(course.closings) > 1:
                before = self._examiner.accuracy_of(*course.boundary, step.task)
                self._history.note_cell(course.closings[-2], step.task, before)
            self._history.note_row(step.number, step.task, row)
            self._history.note_baseline(step.task, baseline)

    def note_worst(self, closed: set[str], accuracy: dict[str, float]) -> None:
        """Lowers the worst accuracy since its end of every closed task; a task that is open again has none."""
        worst = {task: worst for task, worst in self.worst.items() if task in closed}
        for task in closed & accuracy.keys():
            worst[task] = min(accuracy[task], worst.get(task, 1.0))
        if worst != self.worst:
            self.worst = worst
            self._database.put("worst", worst)

    def matrix(self, course: Course) -> Matrix:
        """The matrix over the learner's task ends so far."""
        return self._history.matrix(course.closings)
