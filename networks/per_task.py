"""A network that keeps the parameters of its tasks apart, so that a closed task answers the same for ever."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor

from contracts.labels import Column
from contracts.status import Capacity
from networks.flat import Network, evaluating, scaled
from networks.task_modules import TaskModule

LOWEST = -1e29
"""The logit of an output that was not computed, or that came after its task had closed: its probability is zero."""


class TaskNetwork(Network):
    """A network whose every output is computed from parameters that its task has for itself or shares with older ones.

    `theta` holds what is still trained. `close` ends a task: from then on its answers never change by a bit, and an
    output that comes for it later has probability zero.
    """

    module: TaskModule

    def __init__(self, module: TaskModule, columns: Sequence[Column], seed: int, device: torch.device | str) -> None:
        """Takes over a module without outputs, which gets one for each column."""
        self.module = module.to(device)
        self.columns = []
        self._seed = seed
        self._device = torch.device(device)
        self._flatten()
        self.grow(columns)

    @property
    def tasks(self) -> list[str]:
        """The tasks in the order of their first column."""
        return list(dict.fromkeys(str(column.task) for column in self.columns))

    @property
    def closed(self) -> Tensor:
        """Which columns are those of closed tasks, booleans `(columns,)`."""
        return self._closed

    def close(self, task: str) -> None:
        """Keeps a task's answers as they are now; once it is closed, this changes nothing."""
        columns = self._columns_of()[self.tasks.index(task)]
        if self.module.rank[columns].any():
            return
        self.module.rank[columns] = self.module.rank.max() + 1
        self._settle()

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes over the values of `tensors()` of a network of the same specification and columns."""
        super().load_tensors(tensors)
        self._settle()

    def capacity(self) -> Capacity:
        """How many parameters there are, and whose they are."""
        total = super().capacity().total
        sizes = [self.module.size(task, outputs) for task, outputs in enumerate(self._outputs)]
        return Capacity(total=total, free=self.module.free, tasks=dict(zip(self.tasks, sizes, strict=True)))

    def _logits(self, inputs: Tensor, targets: Tensor | None) -> Tensor:
        """As the network's, but with `targets` only the outputs of the tasks that are there are computed."""
        rows = scaled(inputs)
        logits = torch.full((len(rows), len(self.columns)), LOWEST, device=rows.device)
        asked = None if targets is None else self._task_of[targets]
        wanted = range(len(self._outputs)) if asked is None else sorted(set(asked.tolist()))
        for task in wanted:
            if asked is None or len(wanted) == 1:
                logits[:, self._outputs[task]] = self._scores(rows, task)
            else:
                mine = (asked == task).nonzero()
                logits[mine, self._outputs[task]] = self._scores(rows[mine[:, 0]], task)
        if torch.is_grad_enabled() and not logits.requires_grad:
            logits.requires_grad_()  # so that a loss of closed tasks alone has a backward pass, to nowhere
        return logits

    def _scores(self, rows: Tensor, task: int) -> Tensor:
        is_lone = self.module.training and len(rows) == 1  # batch normalisation cannot learn from a single row
        with evaluating(self.module) if is_lone else nullcontext():
            return self.module.scores(rows, task, self._outputs[task]).float()

    def _add_outputs(self, columns: Sequence[Column]) -> None:
        tasks = list(dict.fromkeys(column.task for column in [*self.columns, *columns]))
        for index, column in enumerate(columns, len(self.columns)):
            self._add_rows(self.module.head(tasks.index(column.task)), [index])
        self.module.rank = torch.cat([self.module.rank, self.module.rank.new_zeros(len(columns))])

    def _flatten(self) -> None:
        super()._flatten()
        numbers = {task: number for number, task in enumerate(self.tasks)}
        of_column = [numbers[str(column.task)] for column in self.columns]
        self._task_of = torch.tensor(of_column, dtype=torch.int64, device=self._device)
        self._outputs = [columns[_answering(self.module.rank[columns])] for columns in self._columns_of()]
        self._closed = torch.zeros_like(self._task_of, dtype=torch.bool)
        for columns in self._columns_of():
            self._closed[columns] = self.module.rank[columns].any()

    def _columns_of(self) -> list[Tensor]:
        return [(self._task_of == task).nonzero().squeeze(1) for task in range(len(self.tasks))]

    def _settle(self) -> None:
        """Freezes the tasks that are closed and lays out anew what is left to train."""
        for task, columns in enumerate(self._columns_of()):
            if self.module.rank[columns].any():
                self.module.freeze(task)
        self._flatten()


def _answering(ranks: Tensor) -> Tensor:
    """Which outputs of a task answer: all of an open one, of a closed one those that it had then."""
    return ranks > 0 if bool(ranks.any()) else ranks == 0
