"""Answers of one version: labels and probabilities of encoded instances."""

from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from contracts.answers import Method
from contracts.versions import ModelDocument
from networks.errors import UnknownLabel, UnknownTask, Untrained
from networks.flat import Network

if TYPE_CHECKING:
    from networks.attribution import Attribution

Numbers = NDArray[np.float32]
LARGEST_LOGIT = np.float32(1e30)
"""Logits beyond it, or not finite, come from inputs near the end of float32; their differences would overflow."""


class Attributed(NamedTuple):
    """A label, and what each number or token of a row adds to its logit, of the row's shape."""

    label: str
    attribution: Numbers


class Predictor:
    """A version's network, in evaluation mode for good. `predict` is safe to call from several threads.

    It computes on as many threads as torch has in this process; for single rows one is fastest.
    """

    def __init__(self, network: Network, document: ModelDocument) -> None:
        network.module.eval()
        self._network = network
        self._document = document
        self._labels = [column.label for column in document.columns]
        columns_of: dict[str, list[int]] = {}
        for index, column in enumerate(document.columns):
            if column.task is not None:
                columns_of.setdefault(column.task, []).append(index)
        self._others = {task: self._all_but(columns) for task, columns in columns_of.items()}
        self._column_of = {task: columns[0] for task, columns in columns_of.items()}

    def predict(self, rows: NDArray[Any], task: str | None) -> tuple[list[str], Numbers, Numbers]:
        """For each row the likeliest label, its probability `(n,)`, and those of all columns `(n, columns)`.

        The probabilities of a row are finite and sum to 1 whatever the numbers in it. In the task scenario the columns
        of other tasks get exactly 0; in the others `task` is ignored.

        Raises:
            Untrained: `untrained`, if the version has no columns yet.
            UnknownTask: `task_required` or `unknown_task`, in the task scenario.
        """
        others = self._masked(task)
        given = torch.from_numpy(rows if rows.flags.writeable else rows.copy())
        device = self._network.theta.device
        with torch.inference_mode():
            targets = None
            if task in self._column_of:
                targets = torch.full((len(given),), self._column_of[task], device=device)
            logits: Numbers = self._network(given.to(device), targets).cpu().numpy()
        scores = _softmax(logits, others)
        return [self._labels[index] for index in scores.argmax(axis=1).tolist()], scores.max(axis=1), scores

    def explain(self, row: NDArray[Any], task: str | None, method: Method, label: str | None) -> Attributed:
        """What a row `row_shape` owes its logit of a label to, by default that of its prediction; see `Attribution`.

        One thread may call this at a time. The first call builds a network of its own to differentiate.

        Raises:
            Untrained, UnknownTask: as `predict`.
            UnknownLabel: `unknown_label`, a label that the version, or the task, lacks.
            Unexplained: as `Attribution`.
        """
        others = self._masked(task)
        if label is None:
            label = self.predict(row[None], task)[0][0]
        for index, name in enumerate(self._labels):
            if name == label and (others is None or not others[index]):
                return Attributed(label, self._attribution(row, index, method))
        raise UnknownLabel("unknown_label", "this version has learned no label of that name")

    @cached_property
    def _attribution(self) -> "Attribution":
        from networks.attribution import Attribution  # captum takes a second, and most replicas are never asked

        return Attribution(self._document, self._network.weights(), str(self._network.theta.device))

    def _masked(self, task: str | None) -> NDArray[np.bool_] | None:
        if not self._labels:
            raise Untrained("untrained", "this version has learned no label yet")
        if not self._others:
            return None
        if task is None:
            raise UnknownTask("task_required", "every task has labels of its own, so a prediction must name its task")
        if task not in self._others:
            raise UnknownTask("unknown_task", "this version has learned no task of that name")
        return self._others[task]

    def _all_but(self, columns: list[int]) -> NDArray[np.bool_]:
        mask = np.ones(len(self._labels), dtype=np.bool_)
        mask[columns] = False
        return mask


def _softmax(logits: Numbers, others: NDArray[np.bool_] | None) -> Numbers:
    """In NumPy, because a handful of torch operations on ten numbers takes longer than a small network."""
    if not np.abs(logits).max(initial=0.0) < LARGEST_LOGIT:
        logits = np.nan_to_num(logits).clip(-LARGEST_LOGIT, LARGEST_LOGIT)
    if others is not None:
        logits = np.where(others, np.float32(-np.inf), logits)
    scores: Numbers = np.exp(logits - logits.max(axis=1, keepdims=True))
    scores /= scores.sum(axis=1, keepdims=True)
    return scores
