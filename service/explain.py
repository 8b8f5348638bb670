"""The explain route: which parts of an instance a version's answer comes from, worked out off the event loop."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from contracts.answers import Explanation, Method
from contracts.decoder import InstanceDecoder
from contracts.events import TaskName
from contracts.inputs import InputSpec, TabularInput, TextInput
from service.champion import Serving
from service.decoding import check_keys, decoded
from service.errors import Answer
from service.limits import Headers, Scope
from service.shelf import Shelf

MAX_WAITING = 4
"""One explanation is worked out at a time, so that it never has more than one of the replica's cores."""


class ExplainRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of an explain request."""

    instance: msgspec.Raw
    method: Method = "saliency"
    target: str | None = None
    task: TaskName | None = None
    version: int | None = None


_REQUEST = msgspec.json.Decoder(ExplainRequest)


class ExplainRoute:
    """Answers the explain requests of one model."""

    def __init__(self, model: str, spec: InputSpec, shelf: Shelf) -> None:
        self._model = model
        self._spec = spec
        self._decode = InstanceDecoder(spec)
        self._shelf = shelf
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="explain")

    def needs_json(self, _headers: Headers) -> bool:
        """Always."""
        return True

    async def __call__(self, _scope: Scope, body: bytes) -> Answer:
        """One request; its work is bounded by the method's fixed number of passes."""
        request = decoded(_REQUEST, body)
        check_keys(body, ExplainRequest.__struct_fields__)
        serving = await self._shelf.get(request.version)
        answer = await asyncio.get_running_loop().run_in_executor(self._thread, self._explain, request, serving)
        return Answer(200, msgspec.json.encode(answer))

    def close(self) -> None:
        """Waits for the request in the thread."""
        self._thread.shutdown()

    def _explain(self, request: ExplainRequest, serving: Serving) -> Explanation:
        row = self._decode(request.instance)
        label, values = serving.predictor.explain(row, request.task, request.method, request.target)
        facts = self._model, serving.version, request.method, label
        match self._spec:
            case TextInput():
                terms = self._spec.terms(msgspec.json.decode(request.instance))
                return Explanation(*facts, values[: len(terms)].tolist(), terms)
            case TabularInput():
                return Explanation(*facts, _of_columns(self._spec.places, values))
            case _:
                return Explanation(*facts, values.tolist())


def _of_columns(places: Mapping[str, slice], values: NDArray[np.floating[Any]]) -> dict[str, float]:
    """One number a column: for categories, the sum over their one-hot parts."""
    return {name: float(values[place].sum()) for name, place in places.items()}
