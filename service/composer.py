"""Makes the answers of predict requests out of what the network said."""

import itertools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.answers import Prediction, Predictions
from feedback.join import prediction_id
from service.batches import Predicted
from service.champion import Serving
from service.issuer import Issuer


class Wish(NamedTuple):
    """What a request wants besides labels: the task that its predictions are for, and the scores of all labels."""

    task: str | None = None
    scores: bool = False


class Composer:
    """Composes the answers of one model, each with an id that feedback may name."""

    def __init__(self, model: str, issuer: Issuer) -> None:
        self._model = model
        self._issuer = issuer

    def __call__(self, serving: Serving, predicted: Predicted, wish: Wish, body: bytes) -> Predictions:
        """The answers to the instances of `body`, which is remembered for them."""
        key = self._issuer.issue(serving.version, body, len(predicted.labels))
        scores = _named(predicted.scores, serving, wish.task) if wish.scores else itertools.repeat(None)
        ids = (prediction_id(key, index) for index in range(len(predicted.labels)))
        predictions = list(map(Prediction, ids, predicted.labels, predicted.probabilities.tolist(), scores))
        return Predictions(self._model, serving.version, predictions)


def _named(scores: NDArray[np.floating[Any]], serving: Serving, task: str | None) -> list[dict[str, float]]:
    shown = [(index, column.label) for index, column in enumerate(serving.columns) if column.task in (None, task)]
    return [{label: row[index] for index, label in shown} for row in scores.tolist()]
