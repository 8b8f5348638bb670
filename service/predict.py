"""The predict route: bytes to rows to labels to bytes, with nothing on the way that is not needed."""

import asyncio
import itertools
import json
import types
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from contracts.answers import Prediction, Predictions
from contracts.errors import InvalidInstance
from contracts.events import TaskName, explain
from contracts.inputs import InputSpec, describe
from feedback.join import prediction_id
from service.batches import Batches, Predicted
from service.champion import Champion, Serving
from service.decoding import malformed
from service.errors import Answer, RequestFault
from service.issuer import Issuer
from service.limits import Receive, Scope, read_body

INLINE_BYTES = 64 << 10
"""Larger bodies are worked on in a thread, so that one big batch does not hold up the small requests behind it."""
FIELDS = ("instances", "task", "scores")


class RequestDecoder:
    """Reads predict requests of one input specification in a single typed pass."""

    def __init__(self, spec: InputSpec, max_instances: int) -> None:
        self._spec = spec
        self._max_instances = max_instances
        fields: list[tuple[str, Any] | tuple[str, Any, Any]] = [
            ("instances", types.GenericAlias(list, (spec.instance_type,))),
            ("task", TaskName | None, None),
            ("scores", bool, False),
        ]
        request: Any = msgspec.defstruct("PredictRequest", fields, forbid_unknown_fields=True)
        self._decoder = msgspec.json.Decoder(request)

    def __call__(self, body: bytes) -> tuple[NDArray[Any], str | None, bool]:
        """The rows `(n, *row_shape)`, the task and whether scores are wanted.

        Raises:
            RequestFault: `malformed_json`, `invalid_request`, `duplicate_key` or `too_many_instances`.
            InvalidInstance: `wrong_type`, `wrong_shape` or `out_of_range`.
        """
        try:
            request = self._decoder.decode(body)
        except msgspec.ValidationError as error:
            raise self._fault(error) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise malformed() from None
        if body.count(b'"') > 2:
            check_keys(body)
        n_instances = len(request.instances)
        if n_instances == 0:
            raise RequestFault("invalid_request", "$.instances: at least one instance is needed")
        if n_instances > self._max_instances:
            raise RequestFault("too_many_instances", f"a request may have at most {self._max_instances} instances")
        return self._spec.encode(request.instances), request.task, request.scores

    def _fault(self, error: msgspec.ValidationError) -> RequestFault | InvalidInstance:
        text = explain(error)
        if text.startswith("$.instances["):
            place = text.partition("]")[0] + "]"
            return InvalidInstance("wrong_type", f"{place}: an instance must be {describe(self._spec)}")
        return RequestFault("invalid_request", text)


class PredictRoute:
    """Answers the predict requests of one model with its champion."""

    def __init__(
        self, model: str, decoder: RequestDecoder, champion: Champion, batches: Batches, issuer: Issuer, max_bytes: int
    ) -> None:
        self._model = model
        self._decode = decoder
        self._champion = champion
        self._batches = batches
        self._issuer = issuer
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive) -> Answer:
        """One request; its answers name the version that gave them, all the same one."""
        body = await read_body(scope, receive, self._max_bytes)
        serving = self._champion.require()
        if len(body) <= INLINE_BYTES:
            rows, task, is_scored = self._decode(body)
            predicted = await self._batches.predict(serving, rows, task)
        else:
            predicted, task, is_scored = await asyncio.to_thread(self._predict_alone, body, serving)
        key = self._issuer.issue(serving.version, body, len(predicted.labels))
        scores = _named(predicted.scores, serving, task) if is_scored else itertools.repeat(None)
        ids = (prediction_id(key, index) for index in range(len(predicted.labels)))
        predictions = list(map(Prediction, ids, predicted.labels, predicted.probabilities.tolist(), scores))
        return Answer(200, msgspec.json.encode(Predictions(self._model, serving.version, predictions)))

    def _predict_alone(self, body: bytes, serving: Serving) -> tuple[Predicted, str | None, bool]:
        rows, task, is_scored = self._decode(body)
        return Predicted(*serving.predictor.predict(rows, task)), task, is_scored


def check_keys(body: bytes) -> None:
    """Refuses a key that occurs twice, of which JSON readers silently drop one.

    Raises:
        RequestFault: `duplicate_key`.
    """
    if all(body.count(b'"%s"' % field.encode()) <= 1 for field in FIELDS) and b"\\u" not in body:
        return
    json.loads(body, object_pairs_hook=_without_duplicates)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) < len(pairs):
        raise RequestFault("duplicate_key", "the body names one key twice")


def _named(scores: NDArray[np.floating[Any]], serving: Serving, task: str | None) -> list[dict[str, float]]:
    shown = [(index, column.label) for index, column in enumerate(serving.columns) if column.task in (None, task)]
    return [{label: row[index] for index, label in shown} for row in scores.tolist()]
