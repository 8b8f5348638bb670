"""The inference route of the Open Inference Protocol, version 2, beside predict: other bytes, the same answers."""

import asyncio
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from feedback.join import prediction_id
from service.batches import Batches, Predicted, alone
from service.champion import Serving
from service.errors import Answer, RequestFault
from service.instances import InputReader
from service.issuer import Issuer
from service.limits import Headers, Scope
from service.predict import INLINE_BYTES
from service.shelf import Shelf, version_number
from service.tensors import OUTPUTS, InferRequest, WantedOutput, packed

HEADER_LENGTH = b"inference-header-content-length"
BINARY_TYPE = b"application/octet-stream"
LENGTH_DIGITS = 12


class Inferred(NamedTuple):
    """What a request was answered with, and what to remember of it."""

    request: InferRequest
    predicted: Predicted
    remembered: bytes


class InferRoute:
    """Answers the inference requests of one model, with the champion or with any registered version."""

    def __init__(self, model: str, reader: InputReader, shelf: Shelf, batches: Batches, issuer: Issuer) -> None:
        self._model = model
        self._read = reader
        self._shelf = shelf
        self._batches = batches
        self._issuer = issuer

    def needs_json(self, headers: Headers) -> bool:
        """Raw tensors may follow JSON of a length that a header says."""
        return all(name != HEADER_LENGTH for name, _ in headers)

    async def __call__(self, scope: Scope, body: bytes) -> Answer:
        """One request; its answers name the version that gave them, all the same one."""
        length = _header_length(scope)
        named = scope.get("path_params", {}).get("version")
        serving = await self._shelf.get(None if named is None else version_number(named))
        document = {"model_name": self._model, "model_version": str(serving.version)}
        if len(body) <= INLINE_BYTES:
            request, instances = self._read(memoryview(body), length)
            predicted = await self._batches.predict(serving, instances.rows, instances.task)
            inferred = Inferred(request, predicted, instances.remembered())
            answer = _answer(inferred, document, self._issued(serving, inferred))
        else:
            inferred = await asyncio.to_thread(self._infer_alone, memoryview(body), length, serving)
            answer = await asyncio.to_thread(_answer, inferred, document, self._issued(serving, inferred))
        return answer._replace(version=serving.version)

    def _infer_alone(self, body: memoryview, length: int | None, serving: Serving) -> Inferred:
        request, instances = self._read(body, length)
        predicted = alone(serving, instances.rows, instances.task)
        return Inferred(request, predicted, instances.remembered())

    def _issued(self, serving: Serving, inferred: Inferred) -> str:
        return self._issuer.issue(serving.version, inferred.remembered, len(inferred.predicted.labels))


def _answer(inferred: Inferred, document: dict[str, Any], key: str) -> Answer:
    """The wanted outputs in JSON, or as bytes after the JSON."""
    request, predicted, _ = inferred
    if request.id is not None:
        document["id"] = request.id
    described, raws = [], []
    for wanted in request.outputs or [WantedOutput(name) for name in OUTPUTS]:
        values = _values_of(wanted.name, key, predicted)
        is_binary = wanted.parameters.binary_data
        shape = list(values.shape) if isinstance(values, np.ndarray) else [len(values)]
        output: dict[str, Any] = {"name": wanted.name, "shape": shape, "datatype": OUTPUTS[wanted.name]}
        if request.parameters.binary_data_output if is_binary is None else is_binary:
            raws.append(values.astype("<f4").tobytes() if isinstance(values, np.ndarray) else packed(values))
            output["parameters"] = {"binary_data_size": len(raws[-1])}
        else:
            output["data"] = values.ravel().tolist() if isinstance(values, np.ndarray) else values
        described.append(output)
    header = msgspec.json.encode({**document, "outputs": described})
    if not raws:
        return Answer(200, header)
    return Answer(200, b"".join([header, *raws]), BINARY_TYPE, ((HEADER_LENGTH, b"%d" % len(header)),))


def _values_of(name: str, key: str, predicted: Predicted) -> list[str] | NDArray[np.floating[Any]]:
    match name:
        case "label":
            return predicted.labels
        case "probability":
            return predicted.probabilities
        case "prediction_id":
            return [prediction_id(key, index) for index in range(len(predicted.labels))]
        case "scores":
            return predicted.scores
    raise RequestFault("wrong_output", f"an output must be one of {', '.join(OUTPUTS)}")


def _header_length(scope: Scope) -> int | None:
    """How many bytes of the body are JSON when others follow it; None when all are.

    Raises:
        RequestFault: `invalid_request`.
    """
    for name, value in scope["headers"]:
        if name == HEADER_LENGTH:
            if not value.isdigit() or len(value) > LENGTH_DIGITS:
                raise RequestFault("invalid_request", "Inference-Header-Content-Length must be a number of bytes")
            return int(value)
    return None
