"""Instances out of the tensors of an inference request, by the model's input."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from contracts.inputs import ImageInput, InputSpec, Rows, StoryInput, TabularInput, TensorInput, TextInput
from feedback.join import encode_rows
from service.decoding import check_keys, decoded
from service.errors import RequestFault
from service.tensors import InferRequest, Tensor, split

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
        check_keys(body[:length], ("inputs",))
        if len({wanted.name for wanted in request.outputs}) < len(request.outputs):
            raise RequestFault("wrong_output", "an output may be wanted once")
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
                texts = _column(_only(tensors), is_text=True)
                return _described(spec.encode(texts), texts, task)
            case StoryInput():
                stories = [_story(text) for text in _column(_only(tensors), is_text=True)]
                return _described(spec.encode(stories), stories, task)

    def _check_number(self, tensor: Tensor) -> None:
        if not tensor.shape or 0 in tensor.shape:
            raise RequestFault("wrong_shape", "an input's first dimension counts the instances; no dimension may be 0")
        if tensor.shape[0] > self._max_instances:
            raise RequestFault("too_many_instances", f"a request may have at most {self._max_instances} instances")

    def _table(self, spec: TabularInput, tensors: Sequence[Tensor]) -> list[dict[str, Any]]:
        columns = {tensor.name: tensor for tensor in tensors}
        if columns.keys() != spec.columns.keys() or len(columns) < len(tensors):
            raise RequestFault("wrong_input", f"the inputs must be the columns {', '.join(sorted(spec.columns))}, once")
        values = {name: _column(columns[name], is_text=isinstance(kind, list)) for name, kind in spec.columns.items()}
        if len({len(column) for column in values.values()}) > 1:
            raise RequestFault("wrong_shape", "all columns must have the same number of elements")
        return [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]


def _described(rows: Rows, instances: Sequence[Any], task: str | None) -> Instances:
    """Instances that are remembered as they are, in JSON."""
    return Instances(rows, lambda: msgspec.json.encode({"instances": instances, "task": task}), task)


def _only(tensors: Sequence[Tensor]) -> Tensor:
    if len(tensors) != 1:
        raise RequestFault("wrong_input", f"the model takes one input tensor, the request has {len(tensors)}")
    return tensors[0]


def _column(tensor: Tensor, is_text: bool) -> list[Any]:
    """One text or number an instance; the tensor may have further dimensions of 1."""
    if math.prod(tensor.shape) != tensor.shape[0]:
        raise RequestFault("wrong_shape", "an input must have one element an instance")
    return tensor.texts() if is_text else tensor.numbers().ravel().tolist()


def _story(text: str) -> Any:
    try:
        return _STORY.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise RequestFault("wrong_type", "an element must be a story with its question, in JSON") from None
