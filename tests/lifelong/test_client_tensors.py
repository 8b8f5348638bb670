"""Rows lie in a request as the protocol says, and an answer that does not keep to it is refused."""

import struct
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifelong.client.tensors import decode, encode
from lifelong.errors import InvalidArgument

pytestmark = pytest.mark.unit


def answer(labels: list[str], **changes: Any) -> httpx.Response:
    """An answer with two columns, written down without the client's help."""
    n_rows = len(labels)
    strings = b"".join(struct.pack("<I", len(label.encode())) + label.encode() for label in labels)
    numbers = struct.pack(f"<{2 * n_rows}f", *range(2 * n_rows))
    outputs: dict[str, tuple[str, list[int], bytes]] = {
        "scores": ("FP32", [n_rows, 2], numbers),
        "prediction_id": ("BYTES", [n_rows], strings),
        "probability": ("FP32", [n_rows], numbers[: 4 * n_rows]),
        "label": ("BYTES", [n_rows], strings),
    } | changes.pop("outputs", {})
    described = [
        {"name": name, "shape": shape, "datatype": kind, "parameters": {"binary_data_size": len(raw)}}
        for name, (kind, shape, raw) in outputs.items()
    ]
    header = msgspec.json.encode({"model_name": "m", "model_version": "7", "outputs": described} | changes)
    content = header + b"".join(raw for _, _, raw in outputs.values())
    return httpx.Response(200, headers={"Inference-Header-Content-Length": str(len(header))}, content=content)


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_outputs_are_found_by_name_wherever_they_lie(labels: list[str]) -> None:
    found = decode(answer(labels))
    assert (found.version, found.labels, found.prediction_ids) == (7, labels, labels)
    np.testing.assert_array_equal(found.scores, np.arange(2 * len(labels)).reshape(-1, 2))
    np.testing.assert_array_equal(found.probabilities, np.arange(len(labels)))


@pytest.mark.parametrize(
    ("rows", "datatype", "raw"),
    [
        (np.array([[1, 2], [3, 255]], np.uint8), "UINT8", bytes([1, 2, 3, 255])),
        ([[1.0, -0.5]], "FP32", struct.pack("<2f", 1.0, -0.5)),
        (np.array([[1.0, 2.0], [3.0, 4.0]], ">f8").T, "FP32", struct.pack("<4f", 1.0, 3.0, 2.0, 4.0)),
        (np.array([[1e300]]), "FP32", struct.pack("<f", float("inf"))),
    ],
)
def test_rows_are_sent_in_order_and_little_endian(rows: Any, datatype: str, raw: bytes) -> None:
    content, length = encode(rows, "one")
    header = msgspec.json.decode(content[:length])
    (described,) = header["inputs"]
    assert content[length:] == raw
    assert (described["datatype"], described["shape"]) == (datatype, list(np.shape(rows)))
    assert described["parameters"] == {"binary_data_size": len(raw)}
    assert header["parameters"] == {"binary_data_output": True, "task": "one"}


@pytest.mark.parametrize("rows", [[], [1.0], [[]], [["a"]], [[1]], [[None]], [[1j]], None, np.ones((2, 2), np.int64)])
def test_rows_that_are_none_of_ours_are_refused(rows: Any) -> None:
    with pytest.raises(InvalidArgument) as caught:
        encode(rows, None)
    assert caught.value.code == "bad_rows"


@pytest.mark.parametrize(
    "changes",
    [
        {"model_version": "seven"},
        {"outputs": {"label": ("BYTES", [1], b"\x05\0\0\0cut")}},
        {"outputs": {"label": ("BYTES", [1], b"\x05\0")}},
        {"outputs": {"label": ("BYTES", [1], b"\x01\0\0\0\xff")}},
        {"outputs": {"label": ("BYTES", [2], b"\0\0\0\0\0\0\0\0")}},
        {"outputs": {"scores": ("FP32", [1, 2], b"1234")}},
        {"outputs": {"scores": ("FP64", [1, 2], b"12341234")}},
    ],
)
def test_an_answer_that_breaks_the_protocol_is_refused(changes: dict[str, Any]) -> None:
    decode(answer(["a"]))
    with pytest.raises((ValueError, KeyError, struct.error, msgspec.MsgspecError)):
        decode(answer(["a"], **changes))
