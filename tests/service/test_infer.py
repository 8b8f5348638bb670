"""Inference by the Open Inference Protocol: input kinds, encodings, versions, faults, feedback afterwards."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from contracts.erasures import Erasure
from contracts.inputs import parse_input
from service import shelf
from service.settings import ServingSettings
from tests.service.inprocess import InProcessService, Reply
from tests.service.versions import TENSOR, artifact

pytestmark = pytest.mark.unit
INFER = "/v2/models/pets/infer"
ROWS = np.asarray([[1, 2, 3, 4], [4, 3, 2, 1]], np.float32)
IMAGE = {"kind": "image", "shape": [2, 2]}
TEXT = {"kind": "text", "max_tokens": 4}
TABULAR = {"kind": "tabular", "columns": {"age": "number", "colour": ["red", "blue"]}}
STORY = {"kind": "story", "sentences": 2, "words": 4}


def service_of(directory: Path, spec: dict[str, Any], **changes: Any) -> InProcessService:
    return InProcessService(directory, input=parse_input(spec), **changes)


@pytest.fixture
def pets(tmp_path: Path) -> Iterator[InProcessService]:
    with service_of(tmp_path, TENSOR, settings=ServingSettings(max_instances=3)) as service:
        service.promote(artifact(7), 1)
        yield service


def tensor(data: Any, shape: list[int], datatype: str = "FP32", name: str = "input") -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": datatype, "data": data}


def outputs(reply: Reply) -> dict[str, Any]:
    assert reply.status == 200, reply.body
    return {output["name"]: output["data"] for output in reply.document["outputs"]}


def binary(service: InProcessService, document: dict[str, Any], *raws: bytes, path: str = INFER) -> Reply:
    header = json.dumps(document).encode()
    headers = (
        (b"inference-header-content-length", b"%d" % len(header)),
        (b"content-type", b"application/octet-stream"),
    )
    return service.post(path, header + b"".join(raws), headers)


def unpacked(raw: bytes) -> list[str]:
    texts = []
    while raw:
        (length,) = struct.unpack_from("<I", raw)
        texts.append(raw[4 : 4 + length].decode())
        raw = raw[4 + length :]
    return texts


@pytest.mark.parametrize("data", [ROWS.tolist(), ROWS.ravel().tolist()], ids=["nested", "flat"])
@pytest.mark.parametrize("datatype", ["FP32", "FP64", "FP16"])
def test_a_tensor_in_json_is_answered_as_predict_answers(pets: InProcessService, data: Any, datatype: str) -> None:
    reply = pets.post(INFER, {"id": "a1", "inputs": [tensor(data, [2, 4], datatype)]})
    assert {name: reply.document[name] for name in ("model_name", "model_version", "id")} == {
        "model_name": "pets",
        "model_version": "7",
        "id": "a1",
    }
    predicted = pets.predict({"instances": ROWS.tolist(), "scores": True}).document["predictions"]
    answered = outputs(reply)
    assert answered["label"] == [one["label"] for one in predicted]
    assert answered["probability"] == [one["probability"] for one in predicted]
    assert answered["scores"] == [score for one in predicted for score in one["scores"].values()]
    shapes = {output["name"]: (output["datatype"], output["shape"]) for output in reply.document["outputs"]}
    assert shapes == {
        "label": ("BYTES", [2]),
        "probability": ("FP32", [2]),
        "prediction_id": ("BYTES", [2]),
        "scores": ("FP32", [2, 2]),
    }


def test_raw_bytes_in_raw_bytes_out(pets: InProcessService) -> None:
    described = {"name": "x", "shape": [2, 4], "datatype": "FP32", "parameters": {"binary_data_size": 32}}
    reply = binary(pets, {"inputs": [described], "parameters": {"binary_data_output": True}}, ROWS.tobytes())
    assert reply.headers["content-type"] == "application/octet-stream"
    length = int(reply.headers["inference-header-content-length"])
    header, raw = json.loads(reply.body[:length]), reply.body[length:]
    parts = {}
    for output in header["outputs"]:
        size = output["parameters"]["binary_data_size"]
        parts[output["name"]], raw = raw[:size], raw[size:]
    assert raw == b""
    expected = outputs(pets.post(INFER, {"inputs": [tensor(ROWS.tolist(), [2, 4])]}))
    assert unpacked(parts["label"]) == expected["label"]
    np.testing.assert_array_equal(np.frombuffer(parts["probability"], "<f4"), expected["probability"])
    np.testing.assert_array_equal(np.frombuffer(parts["scores"], "<f4"), expected["scores"])


def test_only_the_wanted_outputs_come_each_as_asked(pets: InProcessService) -> None:
    wanted = [{"name": "scores"}, {"name": "label", "parameters": {"binary_data": True}}]
    reply = pets.post(INFER, {"inputs": [tensor(ROWS.tolist(), [2, 4])], "outputs": wanted})
    length = int(reply.headers["inference-header-content-length"])
    assert [output["name"] for output in json.loads(reply.body[:length])["outputs"]] == ["scores", "label"]
    assert unpacked(reply.body[length:]) == ["dog", "cat"]


@pytest.mark.parametrize(
    ("spec", "inputs", "instance"),
    [
        (IMAGE, [tensor([[[0, 255], [7, 8]]], [1, 2, 2], "UINT8")], [[0, 255], [7, 8]]),
        (TEXT, [tensor(["good day"], [1], "BYTES")], "good day"),
        (STORY, [tensor(['{"story":["a b"],"question":"c"}'], [1, 1], "BYTES")], {"story": ["a b"], "question": "c"}),
        (
            TABULAR,
            [tensor([3.5], [1], "FP64", "age"), tensor([["red"]], [1, 1], "BYTES", "colour")],
            {"age": 3.5, "colour": "red"},
        ),
    ],
    ids=lambda given: given.get("kind") if isinstance(given, dict) else "",
)
def test_every_input_kind_is_inferred_and_can_be_corrected(
    tmp_path: Path, spec: Any, inputs: Any, instance: Any
) -> None:
    with service_of(tmp_path, spec) as service:
        service.promote(artifact(1, spec=spec, weights=b""), 1)
        [key] = outputs(service.post(INFER, {"inputs": inputs}))["prediction_id"]
        reply = service.feedback({"events": [{"prediction_id": key, "label": "cow"}]})
        assert reply.status == 202, reply.body
        assert service.stored()[0]["instance"] == instance


def test_raw_rows_can_be_corrected_one_by_one(pets: InProcessService) -> None:
    described = {"name": "x", "shape": [2, 4], "datatype": "FP32", "parameters": {"binary_data_size": 32}}
    keys = outputs(binary(pets, {"inputs": [described]}, ROWS.tobytes()))["prediction_id"]
    events = [{"prediction_id": key, "label": "cow"} for key in reversed(keys)]
    assert pets.feedback({"events": events}).document["accepted"] == 2
    assert [event["instance"] for event in pets.stored()] == ROWS[::-1].tolist()
    refused = pets.feedback({"events": [{"prediction_id": keys[0][:-1] + "2", "label": "cow"}]})
    assert refused.document["rejected"][0]["error"] == "unknown_prediction"


def test_the_path_may_name_any_registered_version(pets: InProcessService) -> None:
    pets.registry[3] = artifact(3)
    body = {"inputs": [tensor(ROWS.tolist(), [2, 4])]}
    for version in ("3", "7"):
        reply = pets.post(f"/v2/models/pets/versions/{version}/infer", body)
        assert (reply.status, reply.document["model_version"]) == (200, version)
    for unknown in ("4", "-1", "x", "1" * 30):
        reply = pets.post(f"/v2/models/pets/versions/{unknown}/infer", body)
        assert (reply.status, reply.document["error"]) == (404, "unknown_version")


def test_a_withdrawn_version_answers_no_more_even_where_it_is_loaded(
    pets: InProcessService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf, "TRUSTED_SECONDS", 0.0)
    pets.registry |= {3: artifact(3), 4: artifact(4)}
    body = {"inputs": [tensor(ROWS.tolist(), [2, 4])]}
    statuses = [pets.post(f"/v2/models/pets/versions/{version}/infer", body).status for version in (3, 4)]
    assert statuses == [200, 200]
    erasure = Erasure(id="e1", subject_sha256="0" * 64, state="withdrawing", asked_at=1.0, withdrawn=[3])
    pets.run(pets.hub.certify([msgspec.json.encode(erasure)]))
    for version, status in ((3, 404), (3, 404), (4, 200)):
        assert pets.post(f"/v2/models/pets/versions/{version}/infer", body).status == status


def test_a_large_batch_is_answered_in_a_thread_alike(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(4096, 4)).astype(np.float32)
    described = {"name": "x", "shape": [4096, 4], "datatype": "FP32", "parameters": {"binary_data_size": rows.nbytes}}
    with service_of(tmp_path, TENSOR) as service:
        service.promote(artifact(7), 1)
        labels = outputs(binary(service, {"inputs": [described]}, rows.tobytes()))["label"]
    assert labels == [["cat", "dog"][place] for place in rows[:, :2].argmax(axis=1)]


BAD: list[tuple[str, Any, int, str]] = [
    ("no inputs", {"inputs": []}, 422, "wrong_input"),
    ("two inputs", {"inputs": [tensor([1] * 4, [1, 4])] * 2}, 422, "wrong_input"),
    ("unknown member", {"inputs": [], "extra": 1}, 422, "invalid_request"),
    ("wrong shape", {"inputs": [tensor([1, 2, 3], [1, 3])]}, 422, "wrong_shape"),
    ("data beyond the shape", {"inputs": [tensor([1, 2, 3, 4, 5], [1, 4])]}, 422, "wrong_shape"),
    ("ragged", {"inputs": [tensor([[1, 2, 3, 4, 5], [1, 2, 3]], [2, 4])]}, 422, "wrong_shape"),
    ("no instances", {"inputs": [tensor([], [0, 4])]}, 422, "wrong_shape"),
    ("no shape", {"inputs": [tensor([], [])]}, 422, "wrong_shape"),
    ("negative shape", {"inputs": [tensor([1], [-1])]}, 422, "invalid_request"),
    ("huge shape", {"inputs": [tensor([1], [3, 2**39, 2**39])]}, 422, "wrong_shape"),
    ("too many", {"inputs": [tensor([1] * 16, [4, 4])]}, 413, "too_many_instances"),
    ("unknown datatype", {"inputs": [tensor([1] * 4, [1, 4], "<f8; drop")]}, 422, "wrong_datatype"),
    ("texts", {"inputs": [tensor(["1"] * 4, [1, 4], "BYTES")]}, 422, "wrong_datatype"),
    ("texts as numbers", {"inputs": [tensor(["1"] * 4, [1, 4])]}, 422, "wrong_type"),
    ("truth values", {"inputs": [tensor([True] * 4, [1, 4], "INT8")]}, 422, "wrong_type"),
    ("beyond float32", {"inputs": [tensor([1e39] * 4, [1, 4])]}, 422, "out_of_range"),
    ("beyond int64", {"inputs": [tensor([2**70] * 4, [1, 4], "INT64")]}, 422, "out_of_range"),
    ("no data", {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32"}]}, 422, "wrong_shape"),
    ("unknown output", {"inputs": [tensor([1] * 4, [1, 4])], "outputs": [{"name": "y"}]}, 422, "wrong_output"),
    (
        "one output twice",
        {"inputs": [tensor([1] * 4, [1, 4])], "outputs": [{"name": "label"}] * 2},
        422,
        "wrong_output",
    ),
    ("many outputs", {"inputs": [tensor([1] * 4, [1, 4])], "outputs": [{"name": "label"}] * 9}, 422, "invalid_request"),
    ("a dimension of 0", {"inputs": [tensor([], [1, 2**39, 2**39, 0])]}, 422, "wrong_shape"),
    (
        "a number without end",
        b'{"id":"\\u0061","inputs":[],"parameters":{"x":' + b"1" * 5000 + b"}}",
        422,
        "wrong_input",
    ),
    ("not UTF-8 where nobody reads", b'{"id":"\\u0061","inputs":[],"parameters":{"x":"\xff"}}', 400, "malformed_json"),
    ("inputs twice", b'{"inputs":[],"inputs":[]}', 422, "duplicate_key"),
    ("not JSON", b"{", 400, "malformed_json"),
    ("an id that is none", {"id": "a\nb", "inputs": []}, 422, "invalid_request"),
]


@pytest.mark.parametrize(("body", "status", "error"), [bad[1:] for bad in BAD], ids=[bad[0] for bad in BAD])
def test_bad_json_is_named(pets: InProcessService, body: Any, status: int, error: str) -> None:
    reply = pets.post(INFER, body)
    assert (reply.status, reply.document["error"]) == (status, error)


@pytest.mark.parametrize(
    ("size", "raw", "error"),
    [
        (32, b"\0" * 31, "wrong_shape"),
        (32, b"\0" * 33, "wrong_shape"),
        (31, b"\0" * 31, "wrong_shape"),
        (28, b"\0" * 28, "wrong_shape"),
        (2**40, b"\0" * 32, "wrong_shape"),
        (-1, b"", "invalid_request"),
        (32, np.full(8, np.nan, "<f4").tobytes(), "out_of_range"),
    ],
    ids=["too few", "too many", "no whole numbers", "fewer than the shape", "huge", "negative", "not finite"],
)
def test_bad_raw_bytes_are_named(pets: InProcessService, size: int, raw: bytes, error: str) -> None:
    described = {"name": "x", "shape": [2, 4], "datatype": "FP32", "parameters": {"binary_data_size": size}}
    reply = binary(pets, {"inputs": [described]}, raw)
    assert (reply.status, reply.document["error"]) == (422, error)


@pytest.mark.parametrize("length", [b"-1", b"x", b"99", b"9" * 30, b""])
def test_a_bad_header_length_is_named(pets: InProcessService, length: bytes) -> None:
    reply = pets.post(INFER, b'{"inputs":[]}', ((b"inference-header-content-length", length),))
    assert reply.status == 422


@pytest.mark.parametrize(
    "raw", [b"\x05\0\0\0abc", b"\x05\0", b"\x01\0\0\0\xff"], ids=["cut text", "cut length", "not UTF-8"]
)
def test_bad_packed_texts_are_named(tmp_path: Path, raw: bytes) -> None:
    described = {"name": "x", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(raw)}}
    with service_of(tmp_path, TEXT) as service:
        service.promote(artifact(1, spec=TEXT, weights=b""), 1)
        reply = binary(service, {"inputs": [described]}, raw)
    assert (reply.status, reply.document["error"] in {"wrong_shape", "wrong_type"}) == (422, True)


@pytest.mark.parametrize("shape", [[1, 3], [3, 0], [1, 0]])
def test_texts_are_one_an_instance(tmp_path: Path, shape: list[int]) -> None:
    with service_of(tmp_path, TEXT) as service:
        service.promote(artifact(1, spec=TEXT, weights=b""), 1)
        reply = service.post(INFER, {"inputs": [tensor(["a"] * (shape[0] * shape[1]), shape, "BYTES")]})
    assert (reply.status, reply.document["error"]) == (422, "wrong_shape")


def test_an_image_takes_whole_numbers_only(tmp_path: Path) -> None:
    with service_of(tmp_path, IMAGE) as service:
        service.promote(artifact(1, spec=IMAGE, weights=b""), 1)
        for datatype, data, error in (
            ("FP32", [0.5] * 4, "wrong_datatype"),
            ("INT16", [256] * 4, "out_of_range"),
            ("INT16", [-1] * 4, "out_of_range"),
        ):
            reply = service.post(INFER, {"inputs": [tensor(data, [1, 2, 2], datatype)]})
            assert (reply.status, reply.document["error"]) == (422, error)


def test_json_is_needed_without_a_header_length(pets: InProcessService) -> None:
    assert pets.post(INFER, b"{}", ((b"content-type", b"text/plain"),)).status == 415
