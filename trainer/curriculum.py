"""The order in which queued tasks are learned: decided once, before it is recorded, so that no replay decides again."""

import itertools
import logging
from collections.abc import Callable, Collection, Sequence

import torch

from contracts.inputs import InputSpec
from contracts.labels import LabelSpec
from networks.flat import Network
from trainer.batch import Batch
from trainer.decoding import decoded
from trainer.examples import StoredExample
from trainer.policies import CurriculumKind
from trainer.settings import LearnerSettings
from trainer.task_orders import chain, cosines, easy_first, learned_accuracy, mean_features, measured

LOG = logging.getLogger(__name__)
MOST_TASKS = 100
"""Tasks that are measured at most: each takes as long as 20 small steps, and nothing is learned meanwhile."""


class Curriculum:
    """Arranges a backlog; it measures tasks on copies and changes nothing.

    `begun` names the tasks that the learner has met, `copy` makes a network to measure on, as it is now.
    """

    def __init__(
        self,
        kind: CurriculumKind,
        spec: InputSpec,
        labels: LabelSpec,
        settings: LearnerSettings,
        begun: Callable[[], Collection[str]],
        copy: Callable[[], Network],
    ) -> None:
        self._kind = kind
        self._spec = spec
        self._labels = labels
        self._settings = settings
        self._begun = begun
        self._copy = copy

    def arrange(self, examples: Sequence[StoredExample], over: Collection[str]) -> list[list[StoredExample]]:
        """The examples in parts that are learned one after the other, with their sequence numbers given out anew.

        What belongs to tasks begun before comes first, as it came; then each new task that is `over` by itself, and
        last, as they came, those that are not: a task learned in between and not closed there would be forgotten before
        a strategy could hold it. Where less than two tasks can be put in order, or more than 100, there is one part.
        """
        begun = set(self._begun())
        new = dict.fromkeys(each.task for each in examples if each.split == "train" and each.task not in begun)
        queued: dict[str, list[StoredExample]] = {task: [] for task in new if task in over}
        if not 2 <= len(queued) <= MOST_TASKS:
            return [list(examples)]
        first: list[StoredExample] = []
        last: list[StoredExample] = []
        for example in examples:
            queued.get(example.task, last if example.task in new else first).append(example)
        tasks = list(queued.values())
        order = self._order(tasks)
        LOG.info("a backlog of %d tasks is learned in the order %s", len(order), [tasks[i][0].task for i in order])
        return _numbered([first, *(tasks[place] for place in order), last], examples[0].sequence)

    def _order(self, tasks: Sequence[Sequence[StoredExample]]) -> list[int]:
        training = [[example for example in task if example.split == "train"] for task in tasks]
        match self._kind:
            case "easy_first":
                return easy_first([self._accuracy(rows) for rows in training])
            case "hard_first":
                return easy_first([self._accuracy(rows) for rows in training])[::-1]
            case "similar_next":
                return chain(self._similarity(training), 1)
            case "dissimilar_next":
                return chain(self._similarity(training), -1)
            case "given":
                return list(range(len(tasks)))

    def _accuracy(self, rows: Sequence[StoredExample]) -> float:
        network = self._copy()
        columns = [self._labels.column_for(row.label, row.task) for row in rows]
        network.grow([column for column in dict.fromkeys(columns) if column not in network.columns])
        index = {column: number for number, column in enumerate(network.columns)}
        targets = torch.tensor([index[column] for column in columns])
        ids = torch.tensor([row.sequence for row in rows])
        batch = Batch(ids, decoded(rows, self._spec), targets, torch.zeros_like(targets))
        return learned_accuracy(network, batch, self._settings)

    def _similarity(self, tasks: Sequence[Sequence[StoredExample]]) -> list[list[float]]:
        network = self._copy()
        return cosines([mean_features(network, decoded(measured(task), self._spec)) for task in tasks])


def _numbered(parts: Sequence[Sequence[StoredExample]], first: int) -> list[list[StoredExample]]:
    """The same examples with rising sequence numbers."""
    numbers = itertools.count(first)
    return [[example._replace(sequence=next(numbers)) for example in part] for part in parts]
