"""The learner's course through the record: applies steps, saves checkpoints, and rebuilds any point bit for bit."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from contracts.inputs import InputSpec
from contracts.labels import Column, LabelSpec
from networks.flat import Network
from trainer.batch import Batch
from trainer.decoding import decoded
from trainer.examples import StoredExample
from trainer.learner import Learner, TrainingResult
from trainer.record import ROOT, Closing, Round, Step
from trainer.stores import Stores

RECENT_EXAMPLES = 256
Boundary = tuple[list[Column], bytes]
"""What answered when the last task closed: its outputs and its weights."""
CHECKPOINT_AFTER_SECONDS = 2.0
"""Training time between checkpoints: bounds what a crash or a rollback has to train again."""


class Course:
    """The learner, the tasks it has met, and the step it stands at."""

    def __init__(
        self,
        make_learner: Callable[[Sequence[Column]], Learner],
        spec: InputSpec,
        labels: LabelSpec,
        stores: Stores,
        on_closing: Callable[[Closing, "Course"], None],
    ) -> None:
        self._make_learner = make_learner
        self._spec = spec
        self._labels = labels
        self._store = stores.examples
        self._record = stores.record
        self._checkpoints = stores.checkpoints
        self._on_closing = on_closing
        self._reset()

    def _reset(self) -> None:
        self.learner = self._make_learner(self._labels.initial_columns())
        self.step = ROOT
        self.tasks: list[str] = []
        self.closings: list[int] = []
        self.boundary: Boundary | None = None
        self.trained: dict[str, int] = {}
        self._uncheckpointed_seconds = 0.0

    @property
    def network(self) -> Network:
        """The network being trained."""
        return self.learner.network

    @property
    def answering(self) -> Network:
        """The network that a version made now would answer with."""
        return self.learner.strategy.predictor(self.network)

    def apply(self, step: Step) -> TrainingResult | None:
        """Applies the next step of the record; the same record always gives the same weights on CPU."""
        started = time.perf_counter()
        result: TrainingResult | None = None
        if isinstance(step, Round):
            result = self._train(step)
        else:
            self._close(step)
        self.step = step.number
        self._uncheckpointed_seconds += time.perf_counter() - started
        return result

    def _train(self, step: Round) -> TrainingResult:
        rows = self._store.between(step.first_sequence, step.last_sequence, "train")
        self._meet(rows)
        recent = self._store.recent(step.last_sequence, RECENT_EXAMPLES)
        for row in rows:
            self.trained[row.label] = self.trained.get(row.label, 0) + 1
        return self.learner.train(self.batch(rows), self.batch(recent), step.steps, step.number)

    def _meet(self, rows: Sequence[StoredExample]) -> None:
        """Grows the head for labels never seen and opens tasks never seen, in the order of their first rows."""
        columns = dict.fromkeys(self._labels.column_for(row.label, row.task) for row in rows)
        known = set(self.network.columns)
        new = [column for column in columns if column not in known]
        if new:
            self.learner.grow(new)
        for task in dict.fromkeys(row.task for row in rows):
            if task not in self.tasks or new:
                if task not in self.tasks:
                    self.tasks.append(task)
                self.learner.before_task(self.tasks.index(task))

    def _close(self, step: Closing) -> None:
        rows = self._store.of_task(step.task, step.last_sequence, "train")
        self.learner.consolidate(self.batch(rows))
        self.closings.append(step.number)
        self._on_closing(step, self)
        answering = self.answering
        self.boundary = (list(answering.columns), answering.weights())

    def batch(self, examples: Sequence[StoredExample]) -> Batch:
        """Decodes stored examples into tensors; their labels and tasks must be known to the learner."""
        index = {column: number for number, column in enumerate(self.network.columns)}
        task_index = {task: number for number, task in enumerate(self.tasks)}
        targets = [index.get(self._labels.column_for(row.label, row.task), -1) for row in examples]
        tasks = [task_index.get(row.task, -1) for row in examples]
        return Batch(
            ids=torch.tensor([row.sequence for row in examples], dtype=torch.int64),
            inputs=decoded(examples, self._spec),
            targets=torch.tensor(targets, dtype=torch.int64),
            tasks=torch.tensor(tasks, dtype=torch.int64),
        )

    def _fetch(self, ids: Tensor) -> Batch:
        return self.batch(self._store.by_sequence(ids.tolist()))

    def checkpoint(self, force: bool = False) -> bool:
        """Saves the learner when enough was trained since the last time, or when forced to; returns whether it did."""
        if not force and self._uncheckpointed_seconds < CHECKPOINT_AFTER_SECONDS:
            return False
        if self.step == ROOT or self._checkpoints.has(self.step):
            return False
        tensors, document = self.learner.state()
        boundary_columns: list[Column] | None = None
        if self.boundary is not None:
            boundary_columns, weights = self.boundary
            tensors = {**tensors, "boundary": torch.frombuffer(bytearray(weights), dtype=torch.uint8)}
        course = {
            "columns": self.network.columns,
            "tasks": self.tasks,
            "closings": self.closings,
            "trained": self.trained,
            "boundary_columns": boundary_columns,
        }
        self._checkpoints.save(self.step, tensors, {"learner": document, "course": course})
        self._uncheckpointed_seconds = 0.0
        return True

    def move_to(self, tip: int, on_step: Callable[[int, int], None] = lambda _done, _steps: None) -> None:
        """Rebuilds the learner as it was after step `tip`: nearest sound checkpoint, then the recorded steps again.

        `on_step` is told after each of them how many are done, and of how many.
        """
        self._reset()
        pending: list[Step] = []
        for step in self._record.chain(tip):
            if self._restore(step.number):
                break
            pending.append(step)
        for done, step in enumerate(reversed(pending), start=1):
            self.apply(step)
            on_step(done, len(pending))

    def _restore(self, step: int) -> bool:
        """Takes up a checkpoint; False when there is none at that step."""
        saved = self._checkpoints.load(step)
        if saved is None:
            return False
        tensors, document = saved
        course: dict[str, Any] = document["course"]
        boundary = tensors.pop("boundary", None)
        if boundary is not None:
            columns = [Column(*column) for column in course["boundary_columns"]]
            self.boundary = (columns, boundary.numpy().tobytes())
        self.learner = self._make_learner([Column(*column) for column in course["columns"]])
        self.tasks, self.closings = course["tasks"], course["closings"]
        self.trained = course["trained"]
        self.learner.restore(tensors, document["learner"], self._fetch)
        self.step = step
        return True
