"""The predict route: bytes to rows to labels to bytes, with nothing on the way that is not needed."""

import asyncio
import types
from typing import Any

import msgspec
from numpy.typing import NDArray

from contracts.errors import InvalidInstance
from contracts.events import TaskName, explain
from contracts.inputs import ImageInput, InputSpec, TabularInput, describe
from service.batches import Batches, Predicted, alone
from service.bodies import NDJSON, as_json, form_of, options_of, with_options
from service.champion import Champion, Serving
from service.composer import Composer, Wish
from service.decoding import check_keys, malformed
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
        self.max_instances = max_instances
        fields: list[tuple[str, Any] | tuple[str, Any, Any]] = [
            ("instances", types.GenericAlias(list, (spec.instance_type,))),
            ("task", TaskName | None, None),
            ("scores", bool, False),
        ]
        request: Any = msgspec.defstruct("PredictRequest", fields, forbid_unknown_fields=True)
        self._decoder = msgspec.json.Decoder(request)

    def has_files(self, body: bytes) -> bool:
        """Whether the body may hold files of images, which take long to decode however small they are."""
        return isinstance(self.spec, ImageInput) and body.count(b"{") > 1

    def __call__(self, body: bytes) -> tuple[NDArray[Any], Wish]:
        """The rows `(n, *row_shape)`, and what is wished with them.

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
        n_instances = len(request.instances)
        if body.count(b'"') > 2:
            check_keys(body, FIELDS)
            if isinstance(self.spec, TabularInput):
                check_keys(body, tuple(self.spec.columns), n_instances)
        if n_instances == 0:
            raise RequestFault("invalid_request", "$.instances: at least one instance is needed")
        if n_instances > self.max_instances:
            raise RequestFault("too_many_instances", f"a request may have at most {self.max_instances} instances")
        return self.spec.encode(request.instances), Wish(request.task, request.scores)

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
            decode = self._decode
            body = await asyncio.to_thread(as_json, form, body, decode.spec, options, decode.max_instances)
        elif options:
            body = with_options(body, options)
        if len(body) <= INLINE_BYTES and not self._decode.has_files(body):
            rows, wish = self._decode(body)
            predicted = await self._batches.predict(serving, rows, wish.task)
        else:
            predicted, wish = await asyncio.to_thread(self._predict_alone, body, serving)
        content = msgspec.json.encode(self._compose(serving, predicted, wish, body))
        return Answer(200, content, version=serving.version)

    def _predict_alone(self, body: bytes, serving: Serving) -> tuple[Predicted, Wish]:
        rows, wish = self._decode(body)
        return alone(serving, rows, wish.task), wish
