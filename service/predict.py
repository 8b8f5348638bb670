"""The predict route: bytes to rows to labels to bytes, with nothing on the way that is not needed."""

import asyncio
import json
import types
from typing import Any

import msgspec
from numpy.typing import NDArray

from contracts.errors import InvalidInstance
from contracts.events import TaskName, explain
from contracts.inputs import InputSpec, describe
from service.batches import Batches, Predicted
from service.bodies import NDJSON, as_json, form_of, options_of
from service.champion import Champion, Serving
from service.composer import Composer, Wish
from service.decoding import malformed
from service.errors import Answer, RequestFault, Streamed
from service.limits import Headers, Scope
from service.lines import LineAnswers

INLINE_BYTES = 64 << 10
"""Larger bodies are worked on in a thread, so that one big batch does not hold up the small requests behind it."""
FIELDS = ("instances", "task", "scores")


class RequestDecoder:
    """Reads predict requests of one input specification in a single typed pass."""

    def __init__(self, spec: InputSpec, max_instances: int) -> None:
        self.spec = spec
        self._max_instances = max_instances
        fields: list[tuple[str, Any] | tuple[str, Any, Any]] = [
            ("instances", types.GenericAlias(list, (spec.instance_type,))),
            ("task", TaskName | None, None),
            ("scores", bool, False),
        ]
        request: Any = msgspec.defstruct("PredictRequest", fields, forbid_unknown_fields=True)
        self._decoder = msgspec.json.Decoder(request)

    def __call__(self, body: bytes, options: dict[str, Any]) -> tuple[NDArray[Any], Wish]:
        """The rows `(n, *row_shape)`, and what is wished with them: by the body, else by the address's `options`.

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
        task, scores = request.task, request.scores
        if options:
            task, scores = task or options.get("task"), scores or options.get("scores", False)
        return self.spec.encode(request.instances), Wish(task, scores)

    def _fault(self, error: msgspec.ValidationError) -> RequestFault | InvalidInstance:
        text = explain(error)
        if text.startswith("$.instances["):
            place = text.partition("]")[0] + "]"
            return InvalidInstance("wrong_type", f"{place}: an instance must be {describe(self.spec)}")
        return RequestFault("invalid_request", text)


class PredictRoute:
    """Answers the predict requests of one model with its champion."""

    def __init__(self, decoder: RequestDecoder, champion: Champion, batches: Batches, composer: Composer) -> None:
        self._decode = decoder
        self._champion = champion
        self._batches = batches
        self._compose = composer
        self._lines = LineAnswers(decoder.spec, composer)

    def needs_json(self, headers: Headers) -> bool:
        """Other bodies are taken as well."""
        return form_of(headers) is None

    async def __call__(self, scope: Scope, body: bytes) -> Answer | Streamed:
        """One request; its answers name the version that gave them: all the same one, but for a stream of lines."""
        form = form_of(scope["headers"])
        serving = self._champion.require()
        options = options_of(scope["query_string"]) if scope["query_string"] else {}
        if form == NDJSON:
            return Streamed(self._lines(body, options, self._champion), NDJSON)
        if form is not None:
            body = await asyncio.to_thread(as_json, form, body, self._decode.spec)
        if len(body) <= INLINE_BYTES:
            rows, wish = self._decode(body, options)
            predicted = await self._batches.predict(serving, rows, wish.task)
        else:
            predicted, wish = await asyncio.to_thread(self._predict_alone, body, options, serving)
        return Answer(200, msgspec.json.encode(self._compose(serving, predicted, wish, body)))

    def _predict_alone(self, body: bytes, options: dict[str, Any], serving: Serving) -> tuple[Predicted, Wish]:
        rows, wish = self._decode(body, options)
        return Predicted(*serving.predictor.predict(rows, wish.task)), wish


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
