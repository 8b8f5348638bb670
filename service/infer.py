"""The inference route of the Open Inference Protocol, version 2, beside predict: other bytes, the same answers."""

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from contracts.inputs import ImageInput, InputSpec, Rows, StoryInput, TabularInput, TensorInput, TextInput
from feedback.join import MAX_DIGITS, encode_rows, prediction_id
from service.batches import Batches, Predicted
from service.champion import Serving
from service.decoding import decoded
from service.errors import Answer, RequestFault
from service.issuer import Issuer
from service.limits import Headers, Scope
from service.predict import INLINE_BYTES
from service.shelf import Shelf
from service.tensors import InferRequest, Tensor, WantedOutput, packed, split

HEADER_LENGTH = b"inference-header-content-length"
BINARY_TYPE = b"application/octet-stream"
OUTPUTS = {"label": "BYTES", "probability": "FP32", "prediction_id": "BYTES", "scores": "FP32"}
"""Names and types of what is answered; all but the scores `(n, columns)` have one element an instance."""

_REQUEST = msgspec.json.Decoder(InferRequest)
_STORY = msgspec.json.Decoder(StoryInput().instance_type)


class Instances(NamedTuple):
    """A request's instances: rows ready for the network, and what feedback can take an instance from later."""

    rows: Rows
    remembered: Callable[[], bytes]
    task: str | None


class InputReader:
    """Turns the tensors of a request into instances of one input specification."""

    def __init__(self, spec: InputSpec, max_instances: int) -> None:
        self._spec = spec
        self._max_instances = max_instances

    def __call__(self, body: memoryview, length: int | None) -> tuple[InferRequest, Instances]:
        """The request and its instances; the first `length` bytes of the body are its JSON, None: all of them.

        Raises:
            RequestFault: `malformed_json`, `invalid_request`, `wrong_input`, `wrong_datatype`, `wrong_shape`,
                `wrong_type`, `too_many_instances`.
            InvalidInstance: `wrong_shape` or `out_of_range`.
        """
        length = len(body) if length is None else length
        if length > len(body):
            raise RequestFault("wrong_shape", "the body is shorter than its header is said to be")
        request = decoded(_REQUEST, body[:length])
        tensors = split(request, body[length:])
        for tensor in tensors:
            self._check_number(tensor)
        return request, self._instances(tensors, request.parameters.task)

    def _instances(self, tensors: Sequence[Tensor], task: str | None) -> Instances:
        spec = self._spec
        match spec:
            case TensorInput() | ImageInput():
                numbers = _only(tensors).numbers()
                if spec.kind == "image" and numbers.dtype.kind == "f":
                    raise RequestFault("wrong_datatype", "an image must be of whole numbers, such as UINT8")
                rows = spec.encode(numbers)
                return Instances(rows, lambda: encode_rows(rows, task), task)
            case TabularInput():
                table = self._table(spec, tensors)
                return _described(spec.encode(table), table, task)
            case TextInput():
                texts = _only(tensors).texts()
                return _described(spec.encode(texts), texts, task)
            case StoryInput():
                stories = [_story(text) for text in _only(tensors).texts()]
                return _described(spec.encode(stories), stories, task)

    def _check_number(self, tensor: Tensor) -> None:
        if not tensor.shape or tensor.shape[0] == 0:
            raise RequestFault("wrong_shape", "an input's first dimension counts the instances; at least 1 is needed")
        if tensor.shape[0] > self._max_instances:
            raise RequestFault("too_many_instances", f"a request may have at most {self._max_instances} instances")

    def _table(self, spec: TabularInput, tensors: Sequence[Tensor]) -> list[dict[str, Any]]:
        columns = {tensor.name: tensor for tensor in tensors}
        if columns.keys() != spec.columns.keys() or len(columns) < len(tensors):
            raise RequestFault("wrong_input", f"the inputs must be the columns {', '.join(sorted(spec.columns))}, once")
        values = {name: _column(columns[name], isinstance(kind, list)) for name, kind in spec.columns.items()}
        if len({len(column) for column in values.values()}) > 1:
            raise RequestFault("wrong_shape", "all columns must have the same number of elements")
        return [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]


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
        if len(body) <= INLINE_BYTES:
            request, instances = self._read(memoryview(body), length)
            predicted = await self._batches.predict(serving, instances.rows, instances.task)
        else:
            request, instances, predicted = await asyncio.to_thread(
                self._predict_alone, memoryview(body), length, serving
            )
        key = self._issuer.issue(serving.version, instances.remembered(), len(predicted.labels))
        return _answer(request, {"model_name": self._model, "model_version": str(serving.version)}, key, predicted)

    def _predict_alone(
        self, body: memoryview, length: int | None, serving: Serving
    ) -> tuple[InferRequest, Instances, Predicted]:
        request, instances = self._read(body, length)
        return request, instances, Predicted(*serving.predictor.predict(instances.rows, instances.task))


def _answer(request: InferRequest, document: dict[str, Any], key: str, predicted: Predicted) -> Answer:
    """The wanted outputs in JSON, or as bytes after the JSON."""
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
            if not value.isdigit() or len(value) > MAX_DIGITS:
                raise RequestFault("invalid_request", "Inference-Header-Content-Length must be a number of bytes")
            return int(value)
    return None


def version_number(named: str) -> int:
    """The version that a path names.

    Raises:
        RequestFault: `unknown_version`, for what is no number.
    """
    if not named.isascii() or not named.isdigit() or len(named) > MAX_DIGITS:
        raise RequestFault("unknown_version", "the model has no version of this number")
    return int(named)


def _described(rows: Rows, instances: Sequence[Any], task: str | None) -> Instances:
    """Instances that are remembered as they are, in JSON."""
    return Instances(rows, lambda: msgspec.json.encode({"instances": instances, "task": task}), task)


def _only(tensors: Sequence[Tensor]) -> Tensor:
    if len(tensors) != 1:
        raise RequestFault("wrong_input", f"the model takes one input tensor, the request has {len(tensors)}")
    return tensors[0]


def _column(tensor: Tensor, is_category: bool) -> list[Any]:
    """One column of a table, whose tensor may have a second dimension of 1."""
    if math.prod(tensor.shape) != tensor.shape[0]:
        raise RequestFault("wrong_shape", "a column must have one element an instance")
    return tensor.texts() if is_category else tensor.numbers().ravel().tolist()


def _story(text: str) -> Any:
    try:
        return _STORY.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise RequestFault("wrong_type", "an element must be a story with its question, in JSON") from None
