"""Predict with other bodies than JSON: CSV, images, and lines of JSON."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image

from contracts.inputs import parse_input
from contracts.labels import Column, LabelSpec
from service.lines import LINES_AT_A_TIME
from service.settings import ServingSettings
from tests.service.inprocess import InProcessService, Reply, load_failing
from tests.service.versions import TENSOR, artifact

pytestmark = pytest.mark.unit
PREDICT = "/v1/models/pets/predict"
IMAGE = {"kind": "image", "shape": [2, 2]}
TABULAR = {"kind": "tabular", "columns": {"age": "number", "colour": ["red", "blue"]}}
NDJSON = b"application/x-ndjson"


def service_of(directory: Path, spec: Any, **changes: Any) -> InProcessService:
    return InProcessService(directory, input=parse_input(spec), **changes)


@pytest.fixture
def pets(tmp_path: Path) -> Iterator[InProcessService]:
    with service_of(tmp_path, TENSOR) as service:
        service.promote(artifact(7, weights=b""), 1)
        yield service


def post(service: InProcessService, body: bytes, media: bytes, query: str = "") -> Reply:
    return service.post(f"{PREDICT}{query}", body, ((b"content-type", media),))


def labels(reply: Reply) -> list[str]:
    assert reply.status == 200, reply.body
    return [one["label"] for one in reply.document["predictions"]]


def lines(reply: Reply) -> list[dict[str, Any]]:
    assert reply.status == 200, reply.body
    assert reply.headers["content-type"] == NDJSON.decode()
    return [msgspec.json.decode(line) for line in reply.body.splitlines()]


@pytest.mark.parametrize("media", [b"text/csv", b"Text/CSV; charset=utf-8"])
def test_csv_is_read_by_its_header(pets: InProcessService, media: bytes) -> None:
    reply = post(pets, b"a,b,c,d\n1,2,3,4\n4,3,2,1\n", media, "?scores=true")
    assert labels(reply) == ["dog", "cat"]
    assert reply.document["predictions"][0]["scores"] == {"cat": 1.0, "dog": 2.0}
    key = reply.document["predictions"][1]["prediction_id"]
    assert pets.feedback({"events": [{"prediction_id": key, "label": "cow"}]}).status == 202
    assert pets.stored()[0]["instance"] == [4, 3, 2, 1]


def test_a_table_has_its_own_columns_in_any_order(tmp_path: Path) -> None:
    with service_of(tmp_path, TABULAR) as service:
        service.promote(artifact(1, spec=TABULAR, weights=b""), 1)
        assert len(labels(post(service, b"\xef\xbb\xbfcolour,age\nred,1\nblue,2.5\n", b"text/csv"))) == 2
        assert post(service, b"colour\nred\n", b"text/csv").document["error"] == "wrong_shape"
        assert (
            post(service, b"colour,age\nred,x\n", b"text/csv").document["detail"] == "line 2: column age: not a number"
        )


def test_a_text_column_is_called_instance(tmp_path: Path) -> None:
    spec = {"kind": "text", "max_tokens": 4}
    with service_of(tmp_path, spec) as service:
        service.promote(artifact(1, spec=spec, weights=b""), 1)
        assert len(labels(post(service, b'instance\n"good day, sir"\nbye\n', b"text/csv"))) == 2


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b"", 400, "bad_header"),
        (b"a,a,b,c\n1,2,3,4\n", 400, "bad_header"),
        (b"a,b,c,d\n1,2,3\n", 400, "malformed_csv"),
        (b'a,b,c,d\n1,2,3,"4\n', 400, "malformed_csv"),
        (b"a,b,c,d\n\xff,2,3,4\n", 400, "malformed_csv"),
        (b"a,b,c,d\n", 422, "invalid_request"),
        (b"a,b\n1,2\n", 422, "wrong_shape"),
        (b"a,b,c,d\n1,2,3,nan\n", 422, "wrong_type"),
        (b"a,b,c,d\n1,2,3,1e39\n", 422, "out_of_range"),
        (b"a,b,c,d\n1,2,3,1_0\n", 422, "wrong_type"),
        (b"instance\n" + b"[" * 5000 + b"\n", 422, "wrong_type"),
    ],
)
def test_bad_csv_is_named(pets: InProcessService, body: bytes, status: int, error: str) -> None:
    reply = post(pets, body, b"text/csv")
    assert (reply.status, reply.document["error"]) == (status, error)


def test_a_long_cell_is_a_cell(tmp_path: Path) -> None:
    spec = {"kind": "tensor", "shape": [300, 300]}
    with service_of(tmp_path, spec) as service:
        service.promote(artifact(1, spec=spec, weights=b""), 1)
        row = msgspec.json.encode([[0.25] * 300] * 300)
        assert len(labels(post(service, b'instance\n"' + row + b'"\n', b"text/csv"))) == 1


def test_rows_beyond_the_limit_are_not_even_read(tmp_path: Path) -> None:
    with service_of(tmp_path, TENSOR, settings=ServingSettings(max_instances=2)) as service:
        service.promote(artifact(7, weights=b""), 1)
        reply = post(service, b"a,b,c,d\n" + b"1,2,3,4\n" * 3 + b"bad\n", b"text/csv")
    assert (reply.status, reply.document["error"]) == (413, "too_many_instances")


@pytest.mark.parametrize(
    ("media", "body"),
    [
        (b"text/csv", b"a,b,c,d\n1,2,3,4\n"),
        (NDJSON, b"[1,2,3,4]\n"),
        (b"application/json", b'{"instances":[[1,2,3,4]]}'),
    ],
    ids=["csv", "lines", "json"],
)
def test_the_task_of_the_address_is_that_of_the_correction(tmp_path: Path, media: bytes, body: bytes) -> None:
    columns = [Column("cat", "home"), Column("dog", "home")]
    with service_of(tmp_path, TENSOR, labels=LabelSpec(scenario="task")) as service:
        service.promote(artifact(1, columns=columns, weights=b""), 1)
        reply = post(service, body, media, "?task=home")
        assert reply.status == 200, reply.body
        answer = msgspec.json.decode(reply.body.splitlines()[0])
        key = answer.get("predictions", [answer])[0]["prediction_id"]
        assert service.feedback({"events": [{"prediction_id": key, "label": "cat"}]}).status == 202
        assert service.stored()[0]["task"] == "home"


def test_what_the_body_says_itself_the_address_does_not_change(pets: InProcessService) -> None:
    reply = pets.post(f"{PREDICT}?scores=true", {"instances": [[1, 2, 3, 4]], "scores": False})
    assert "scores" not in reply.document["predictions"][0]


def test_a_column_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    with service_of(tmp_path, TABULAR) as service:
        service.promote(artifact(1, spec=TABULAR, weights=b""), 1)
        twice = b'{"instances":[{"age":1,"age":2,"colour":"red"}]}'
        assert service.predict(twice).document["error"] == "duplicate_key"
        assert service.predict({"instances": [{"age": 1, "colour": "red"}] * 3}).status == 200


def test_a_fault_of_ours_ends_the_stream_with_its_line(tmp_path: Path) -> None:
    with service_of(tmp_path, TENSOR, loader=load_failing) as service:
        service.promote(artifact(7, weights=b""), 1)
        [only] = lines(post(service, b"[1,2,3,4]\n" * 600, NDJSON))
        assert only["error"] == "internal_error"


def test_a_bad_cell_of_csv_is_told_by_its_line_and_column(pets: InProcessService) -> None:
    problem = post(pets, b"a,b,c,d\n1,2,3,4\n1,2,x,4\n", b"text/csv").document
    assert (problem["error"], problem["detail"]) == ("wrong_type", "line 3: column 3: not a number")


@pytest.mark.parametrize("body", [b"a,b,c,d,label\n1,2,3,4,cat\n", b"label,a,b,c\n1,2,3,4\n"])
def test_csv_that_is_meant_as_feedback_is_not_predicted(pets: InProcessService, body: bytes) -> None:
    problem = post(pets, body, b"text/csv").document
    assert problem["error"] == "bad_header"
    assert "leave the column `label` out" in problem["detail"]


def test_a_table_may_have_a_column_called_label(tmp_path: Path) -> None:
    spec = {"kind": "tabular", "columns": {"label": "number"}}
    with service_of(tmp_path, spec) as service:
        service.promote(artifact(1, spec=spec, weights=b""), 1)
        assert len(labels(post(service, b"label\n2\n", b"text/csv"))) == 1


@pytest.mark.parametrize(("form", "media"), [("PNG", b"image/png"), ("JPEG", b"image/jpeg")])
def test_an_image_is_predicted_and_corrected(tmp_path: Path, form: str, media: bytes) -> None:
    content = io.BytesIO()
    Image.fromarray(np.full((2, 2), 200, np.uint8)).save(content, form)
    with service_of(tmp_path, IMAGE) as service:
        service.promote(artifact(1, spec=IMAGE, weights=b""), 1)
        reply = post(service, content.getvalue(), media)
        assert len(labels(reply)) == 1
        key = reply.document["predictions"][0]["prediction_id"]
        assert service.feedback({"events": [{"prediction_id": key, "label": "cow"}]}).status == 202
        assert post(service, b"no image", media).document["error"] == "bad_image"


def test_the_files_of_one_request_are_bounded_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = io.BytesIO()
    Image.fromarray(np.full((2, 2), 200, np.uint8)).save(content, "PNG")
    file = {"b64": base64.b64encode(content.getvalue()).decode()}
    monkeypatch.setattr("contracts.images.MAX_PIXELS_TOGETHER", 8)
    with service_of(tmp_path, IMAGE) as service:
        service.promote(artifact(1, spec=IMAGE, weights=b""), 1)
        events = [{"instance": file, "label": "cow"}] * 3
        receipt = service.feedback({"events": events}).document
        assert (receipt["accepted"], receipt["rejected"][0]["error"]) == (2, "bad_image")
        assert service.predict({"instances": [file] * 2}).status == 200
        assert service.predict({"instances": [file] * 3}).document["error"] == "bad_image"
        body = b"\n".join([msgspec.json.encode(file)] * 2)
        assert ["error" in one for one in lines(post(service, body, NDJSON))] == [False, False]


def test_images_are_for_models_that_take_them(pets: InProcessService) -> None:
    reply = post(pets, b"", b"image/png")
    assert (reply.status, reply.document["error"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("query", ["?scores=yes", "?unknown=1", "?scores=true&scores=true"])
def test_options_that_are_none_are_refused(pets: InProcessService, query: str) -> None:
    reply = post(pets, b"[1,2,3,4]", NDJSON, query)
    assert (reply.status, reply.document["error"]) == (422, "invalid_request")


def test_each_line_has_its_answer_in_order(pets: InProcessService) -> None:
    answers = lines(post(pets, b"[1,2,3,4]\n\n[4,3,2,1]\r\n[9,0,0,0]", NDJSON, "?scores=true"))
    assert [one["label"] for one in answers] == ["dog", "cat", "cat"]
    assert {one["version"] for one in answers} == {7}
    assert answers[0]["scores"] == {"cat": 1.0, "dog": 2.0}
    key = answers[1]["prediction_id"]
    assert pets.feedback({"events": [{"prediction_id": key, "label": "cow"}]}).status == 202
    assert pets.stored()[0]["instance"] == [4, 3, 2, 1]


def test_a_bad_line_spoils_no_other(pets: InProcessService) -> None:
    bad = [b"[1,2,3]", b"{", b"[1,2,3,4],[1,2,3,4]", b'[1,2,3,4]],"task":"x","y":[1', b"\xff", b"[1,2,3,1e39]", b"null"]
    body = b"\n".join(line for one in bad for line in (one, b"[4,3,2,1]"))
    answers = lines(post(pets, body, NDJSON))
    assert len(answers) == 2 * len(bad)
    assert all("error" in one for one in answers[::2])
    assert [one["label"] for one in answers[1::2]] == ["cat"] * len(bad)


def test_many_lines_are_answered_alike(pets: InProcessService) -> None:
    n_lines = 2 * LINES_AT_A_TIME + 3
    body = b"\n".join(b"[1,2,3,4]" if number % 2 else b"[4,3,2,1]" for number in range(n_lines))
    answers = lines(post(pets, body, NDJSON))
    assert [one["label"] for one in answers] == [["cat", "dog"][number % 2] for number in range(n_lines)]
    assert len({one["prediction_id"] for one in answers}) == n_lines


def test_without_a_version_no_stream_begins(tmp_path: Path) -> None:
    with service_of(tmp_path, TENSOR) as service:
        assert post(service, b"[1,2,3,4]", NDJSON).status == 409


def test_lines_have_the_limit_of_every_body(tmp_path: Path) -> None:
    with service_of(tmp_path, TENSOR, settings=ServingSettings(max_body_bytes=1024)) as service:
        service.promote(artifact(7, weights=b""), 1)
        assert post(service, b"[1,2,3,4]\n" * 200, NDJSON).status == 413


def test_the_address_may_ask_for_scores_of_a_json_body_too(pets: InProcessService) -> None:
    reply = pets.post(f"{PREDICT}?scores=true", {"instances": [[1, 2, 3, 4]]})
    assert reply.document["predictions"][0]["scores"] == {"cat": 1.0, "dog": 2.0}
    cut = b'{"instances":[[1,2,3,4]]'
    assert pets.post(f"{PREDICT}?scores=true", cut).document["error"] == "malformed_json"
    assert pets.post(f"{PREDICT}?task=%00", {"instances": [[1, 2, 3, 4]]}).document["error"] == "invalid_request"
