"""Tensors of the Open Inference Protocol, version 2: in JSON, or as raw little-endian bytes after the JSON header."""

import math
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from contracts.events import IDENTIFIER_PATTERN
from contracts.inputs import nested_list
from service.errors import RequestFault

NUMBERS = {
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
    "INT8": "<i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "UINT8": "<u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
}
"""The protocol's types of numbers, as NumPy names them."""
BYTES = "BYTES"
OUTPUTS = {"label": "BYTES", "probability": "FP32", "prediction_id": "BYTES", "scores": "FP32"}
"""Names and types of what is answered; all but the scores `(n, columns)` have one element an instance."""
LENGTH = struct.Struct("<I")
"""Before every element of a binary BYTES tensor: how many bytes it has."""
Size = Annotated[int, msgspec.Meta(ge=0, le=2**40)]


class TensorParameters(msgspec.Struct, frozen=True):
    """The parameters that are read; the protocol has others, which are for other servers."""

    binary_data_size: Size | None = None


class OutputParameters(msgspec.Struct, frozen=True):
    """As `TensorParameters`."""

    binary_data: bool | None = None


class RequestParameters(msgspec.Struct, frozen=True):
    """`task` is ours: predictions of the task scenario name their task."""

    binary_data_output: bool = False
    task: str | None = None


class InputTensor(msgspec.Struct, forbid_unknown_fields=True):
    """One input: `data`, nested or flat in row-major order, or so many bytes after the header."""

    name: str
    shape: Annotated[list[Size], msgspec.Meta(max_length=8)]
    datatype: str
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    parameters: TensorParameters = TensorParameters()


class WantedOutput(msgspec.Struct, forbid_unknown_fields=True):
    """An output that the client asks for."""

    name: str
    parameters: OutputParameters = OutputParameters()


class InferRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The JSON of a request; without `outputs` all are wanted.

    Model and version are those of the path; KServe's client names them here as well.
    """

    inputs: list[InputTensor]
    model_name: str | None = None
    model_version: str | None = None
    id: Annotated[str, msgspec.Meta(pattern=IDENTIFIER_PATTERN)] | None = None
    outputs: Annotated[list[WantedOutput], msgspec.Meta(max_length=len(OUTPUTS))] = []
    parameters: RequestParameters = RequestParameters()


class Tensor:
    """An input's content, still encoded; reading it checks that there is exactly as much as its shape says."""

    def __init__(self, header: InputTensor, raw: memoryview | None) -> None:
        self.name = header.name
        self.shape = tuple(header.shape)
        self.datatype = header.datatype
        self._data = header.data
        self._raw = raw

    def numbers(self) -> NDArray[Any]:
        """The numbers in the tensor's shape; those in JSON as float64 or int64, raw ones as they lie in the body.

        Raises:
            RequestFault: `wrong_datatype` or `wrong_shape`.
        """
        if self.datatype not in NUMBERS:
            raise self._fault("wrong_datatype", f"must be one of {', '.join(NUMBERS)}")
        kind = np.dtype(NUMBERS[self.datatype])
        if self._raw is None:
            flat = self._array(kind.kind == "f")
        elif len(self._raw) % kind.itemsize:
            raise self._fault("wrong_shape", f"has {len(self._raw)} bytes, which are no whole {self.datatype}")
        else:
            flat = np.frombuffer(self._raw, kind)
        self._require(flat.size)
        return flat.reshape(self.shape)

    def texts(self) -> list[str]:
        """The texts of a BYTES tensor, in order.

        Raises:
            RequestFault: `wrong_datatype`, `wrong_shape`, or `wrong_type` for what is not UTF-8.
        """
        if self.datatype != BYTES:
            raise self._fault("wrong_datatype", f"must be {BYTES}")
        texts = self._decoded(str) if self._raw is None else list(self._elements(self._raw))
        self._require(len(texts))
        return texts

    def _array(self, is_float: bool) -> NDArray[Any]:
        try:
            return np.asarray(self._decoded(float if is_float else int), np.float64 if is_float else np.int64)
        except OverflowError:
            raise self._fault("out_of_range", f"has a number that is no {self.datatype}") from None

    def _decoded(self, element: Any) -> list[Any]:
        """The elements of `data` one after another, whether they came nested or flat."""
        if self._data is msgspec.UNSET:
            raise self._fault("wrong_shape", "has neither data nor a binary_data_size")
        for depth in sorted({1, max(1, len(self.shape))}):
            with suppress(msgspec.ValidationError, RecursionError):
                values: list[Any] = msgspec.json.decode(self._data, type=nested_list(element, depth))
                return self._flat(values, depth)
        raise self._fault("wrong_type", f"has data that are not {self.datatype}, in its shape or flat")

    def _flat(self, values: list[Any], depth: int) -> list[Any]:
        for size in self.shape[1:depth]:
            if any(len(inner) != size for inner in values):
                raise self._fault("wrong_shape", "has data that are not nested as its shape says")
            values = [element for inner in values for element in inner]
        return values

    def _elements(self, raw: memoryview) -> Iterator[str]:
        place = 0
        while place < len(raw):
            if place + LENGTH.size > len(raw):
                raise self._fault("wrong_shape", "ends within an element's length")
            (length,) = LENGTH.unpack_from(raw, place)
            place += LENGTH.size + length
            if place > len(raw):
                raise self._fault("wrong_shape", "ends within an element")
            try:
                yield str(raw[place - length : place], "utf-8")
            except UnicodeDecodeError:
                raise self._fault("wrong_type", "has an element that is not UTF-8") from None

    def _require(self, size: int) -> None:
        if size != math.prod(self.shape):
            raise self._fault("wrong_shape", f"has {size} elements, its shape {math.prod(self.shape)}")

    def _fault(self, code: str, fact: str) -> RequestFault:
        return RequestFault(code, f"an input tensor {fact}")


def split(request: InferRequest, raw: memoryview) -> list[Tensor]:
    """The request's tensors, each with its part of the bytes after the header.

    Raises:
        RequestFault: `wrong_shape`, when the bytes are not exactly those that the inputs name.
    """
    tensors, place = [], 0
    for header in request.inputs:
        size = header.parameters.binary_data_size
        tensors.append(Tensor(header, None if size is None else raw[place : place + size]))
        place += size or 0
    if place != len(raw):
        raise RequestFault("wrong_shape", f"{len(raw)} bytes follow the header, and its inputs name {place}")
    return tensors


def packed(texts: Sequence[str]) -> bytes:
    """Texts as a binary BYTES tensor."""
    return b"".join(LENGTH.pack(len(text)) + text for text in (text.encode() for text in texts))
