"""Rows as the Open Inference Protocol v2 sends them: a JSON header, then the numbers as they lie in memory.

Extension: KServe, *Binary tensor data extension*. Numbers are little-endian; a BYTES element is its length in four
bytes and then UTF-8.
"""

import struct
from typing import Any, NamedTuple

import httpx
import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from lifelong.client.answers import Inference
from lifelong.client.arguments import as_json
from lifelong.errors import InvalidArgument

HEADER_LENGTH = "inference-header-content-length"
BINARY_TYPE = "application/octet-stream"


class Tensor(msgspec.Struct, frozen=True):
    """One output, as the header describes it."""

    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, Any] = {}


class Header(msgspec.Struct, frozen=True):
    """The JSON part of an answer."""

    outputs: list[Tensor]
    model_version: int | str


class Encoded(NamedTuple):
    """A request's body, of which the first `header_length` bytes are JSON."""

    content: bytes
    header_length: int


def encode(rows: ArrayLike, task: str | None) -> Encoded:
    """The request for rows `(n, *shape)`: bytes as UINT8, for images, and floating-point numbers as FP32, for tensors.

    Raises:
        InvalidArgument: `bad_rows`.
    """
    datatype, array = _wire_form(rows)
    size = {"binary_data_size": array.nbytes}
    inputs = [{"name": "input", "shape": array.shape, "datatype": datatype, "parameters": size}]
    parameters = {"binary_data_output": True} | ({} if task is None else {"task": task})
    header = as_json({"inputs": inputs, "parameters": parameters})
    return Encoded(header + array.tobytes(), len(header))


def _wire_form(rows: ArrayLike) -> tuple[str, NDArray[Any]]:
    try:
        array = np.asarray(rows)
    except ValueError:  # rows of unequal length
        array = np.array(None)
    if array.ndim < 2 or not array.size:
        raise InvalidArgument("bad_rows", "rows must be an array of at least one row, whose first axis counts them")
    if array.dtype == np.uint8:
        return "UINT8", array
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):  # the service refuses what is infinite, with the place
            return "FP32", array.astype("<f4")
    raise InvalidArgument("bad_rows", f"rows must be uint8 (images) or floating-point (tensors), not {array.dtype}")


def decode(answer: httpx.Response) -> Inference:
    """Reads an answer.

    Raises:
        ValueError, KeyError, struct.error, msgspec.MsgspecError: it is not what the protocol says.
    """
    content, start = answer.content, int(answer.headers[HEADER_LENGTH])
    header = msgspec.json.decode(content[:start], type=Header)
    found: dict[str, Any] = {}
    for tensor in header.outputs:
        end = start + int(tensor.parameters["binary_data_size"])
        found[tensor.name] = _read(tensor, content[start:end])
        start = end
    labels, identifiers = found["label"], found["prediction_id"]
    probabilities, scores = found["probability"], found["scores"]
    if not len(labels) == len(identifiers) == len(probabilities) == len(scores):
        raise ValueError("the outputs have different numbers of rows")
    return Inference(int(header.model_version), labels, probabilities, scores, identifiers)


def _read(tensor: Tensor, content: bytes) -> list[str] | NDArray[Any]:
    if tensor.datatype == "BYTES":
        return _strings(content)
    if tensor.datatype != "FP32":
        raise ValueError("an output has a type that none of ours has")
    return np.frombuffer(content, "<f4").reshape(tensor.shape)


def _strings(content: bytes) -> list[str]:
    found, place = [], 0
    while place < len(content):
        (length,) = struct.unpack_from("<I", content, place)
        place += 4 + length
        if place > len(content):
            raise ValueError("a string is cut off")
        found.append(content[place - length : place].decode())
    return found
