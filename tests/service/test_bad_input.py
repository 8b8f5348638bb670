"""Bad requests as raw bytes: each is a small problem document with its code, echoes nothing and stores nothing."""

import asyncio
import gzip
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from service.errors import RequestFault
from service.limits import BodyReader, Message
from service.settings import ServingSettings
from tests.service.inprocess import JSON, InProcessService, Reply
from tests.service.versions import artifact

pytestmark = pytest.mark.unit
MAX_BYTES = 64 << 10
GOOD_ROW = b"[1,2,3,4]"


class Bad(NamedTuple):
    """A body and how it is refused."""

    name: str
    body: bytes
    status: int
    error: str


def row(number: bytes) -> bytes:
    """A predict request whose one instance has a strange number."""
    return b'{"instances":[[1,2,3,' + number + b"]]}"


ANY_BODY = [
    Bad("empty body", b"", 400, "malformed_json"),
    Bad("not JSON", b"instances", 400, "malformed_json"),
    Bad("bytes that are not UTF-8", b'{"\xff\xfe":1}', 400, "malformed_json"),
    Bad("UTF-16", '{"instances":[[1,2,3,4]]}'.encode("utf-16"), 400, "malformed_json"),
    Bad("byte order mark", b"\xef\xbb\xbf{}", 400, "malformed_json"),
    Bad("root list", b"[]", 422, "invalid_request"),
    Bad("root null", b"null", 422, "invalid_request"),
    Bad("nothing named", b"{}", 422, "invalid_request"),
    Bad("unknown key", b'{"instances":[[1,2,3,4]],"events":[{"label":"a"}],"evil":1}', 422, "invalid_request"),
    Bad("nested very deep", b"[" * 30_000, 422, "invalid_request"),
    Bad("nested very deep in place", b'{"instances":' + b"[" * 30_000, 422, "wrong_type"),
]
PREDICT = [
    Bad("trailing junk", b'{"instances":[[1,2,3,4]]} x', 400, "malformed_json"),
    Bad("NaN", row(b"NaN"), 400, "malformed_json"),
    Bad("Infinity", row(b"Infinity"), 400, "malformed_json"),
    Bad("beyond float64", row(b"1e999"), 422, "wrong_type"),
    Bad("beyond float32", row(b"1e39"), 422, "out_of_range"),
    Bad("lone surrogate", row(b'"\\ud800"'), 400, "malformed_json"),
    Bad("number as a string", row(b'"1.5"'), 422, "wrong_type"),
    Bad("boolean", row(b"true"), 422, "wrong_type"),
    Bad("null", row(b"null"), 422, "wrong_type"),
    Bad("whole number of 5000 digits", row(b"9" * 5000), 422, "wrong_type"),
    Bad("instance is a number", b'{"instances":[1]}', 422, "wrong_type"),
    Bad("instances is an object", b'{"instances":{}}', 422, "invalid_request"),
    Bad("instances is a string", b'{"instances":"abc"}', 422, "invalid_request"),
    Bad("no instance", b'{"instances":[]}', 422, "invalid_request"),
    Bad("empty instance", b'{"instances":[[]]}', 422, "wrong_shape"),
    Bad("too few numbers", b'{"instances":[[1,2,3]]}', 422, "wrong_shape"),
    Bad("too many numbers", b'{"instances":[[1,2,3,4,5]]}', 422, "wrong_shape"),
    Bad("ragged", b'{"instances":[[1,2,3,4],[1]]}', 422, "wrong_shape"),
    Bad("too deep an instance", b'{"instances":[[[1,2,3,4]]]}', 422, "wrong_type"),
    Bad("duplicate key", b'{"instances":[[1,2,3,4]],"instances":[[4,3,2,1]]}', 422, "duplicate_key"),
    Bad("duplicate key, escaped", b'{"instances":[[1,2,3,4]],"inst\\u0061nces":[[4,3,2,1]]}', 422, "duplicate_key"),
    Bad("bad task name", b'{"instances":[[1,2,3,4]],"task":"../x"}', 422, "invalid_request"),
    Bad("line break after task", b'{"instances":[[1,2,3,4]],"task":"a\\n"}', 422, "invalid_request"),
    Bad("scores is a number", b'{"instances":[[1,2,3,4]],"scores":1}', 422, "invalid_request"),
    Bad("a million wrong strings", b'{"instances":[' + b'"SECRETxx",' * 5000 + b'"x"]}', 422, "wrong_type"),
    Bad("too many instances", b'{"instances":[' + GOOD_ROW + b",[1,2,3,4]" * 99 + b"]}", 413, "too_many_instances"),
    Bad("too large a body", b'{"instances":[[1,2,3,4]]' + b" " * MAX_BYTES + b"}", 413, "body_too_large"),
]
FEEDBACK = [
    Bad("events is an object", b'{"events":{}}', 422, "invalid_request"),
    Bad("no event", b'{"events":[]}', 422, "invalid_request"),
    Bad("too many events", b'{"events":[' + b"{}," * 99 + b"{}]}", 413, "too_many_events"),
]
EVENTS = [
    Bad("not an object", b"1", 422, "invalid_event"),
    Bad("null", b"null", 422, "invalid_event"),
    Bad("no label", b'{"instance":[1,2,3,4]}', 422, "invalid_event"),
    Bad("nothing to learn from", b'{"label":"cat"}', 422, "invalid_event"),
    Bad("unknown key", b'{"label":"cat","instance":[1,2,3,4],"SECRETxx":1}', 422, "invalid_event"),
    Bad("label is a fraction", b'{"label":1.5,"instance":[1,2,3,4]}', 422, "invalid_event"),
    Bad("label is true", b'{"label":true,"instance":[1,2,3,4]}', 422, "invalid_event"),
    Bad("label is empty", b'{"label":"","instance":[1,2,3,4]}', 422, "invalid_event"),
    Bad("label with a line break", b'{"label":"a\\nb","instance":[1,2,3,4]}', 422, "invalid_event"),
    Bad("label that ends with a line break", b'{"label":"cat\\n","instance":[1,2,3,4]}', 422, "invalid_event"),
    Bad("label beyond 64 bits", b'{"label":9223372036854775808,"instance":[1,2,3,4]}', 422, "invalid_event"),
    Bad("label of 4,000 digits", b'{"label":' + b"9" * 4000 + b',"instance":[1,2,3,4]}', 422, "invalid_event"),
    Bad("label not configured", b'{"label":"SECRETxx","instance":[1,2,3,4]}', 422, "unknown_label"),
    Bad(
        "long event id", b'{"label":"cat","instance":[1,2,3,4],"event_id":"' + b"x" * 999 + b'"}', 422, "invalid_event"
    ),
    Bad("bad task", b'{"label":"cat","instance":[1,2,3,4],"task":"a\\u0000b"}', 422, "invalid_event"),
    Bad("line break after task", b'{"label":"cat","instance":[1,2,3,4],"task":"a\\n"}', 422, "invalid_event"),
    Bad("line break after id", b'{"label":"cat","instance":[1,2,3,4],"event_id":"a\\n"}', 422, "invalid_event"),
    Bad("bad time", b'{"label":"cat","instance":[1,2,3,4],"time":"noon"}', 422, "invalid_event"),
    Bad("wrong shape", b'{"label":"cat","instance":[1,2,3]}', 422, "wrong_shape"),
    Bad("wrong type", b'{"label":"cat","instance":"SECRETxx"}', 422, "wrong_type"),
    Bad("null instance", b'{"label":"cat","instance":null}', 422, "wrong_type"),
    Bad("beyond float32", b'{"label":"cat","instance":[1,2,3,1e39]}', 422, "out_of_range"),
    Bad("unknown prediction", b'{"label":"cat","prediction_id":"SECRETxx-1.0"}', 422, "unknown_prediction"),
    Bad("impossible prediction", b'{"label":"cat","prediction_id":"SECRETxx"}', 422, "unknown_prediction"),
    Bad("huge place", b'{"label":"cat","prediction_id":"a.' + b"9" * 99 + b'"}', 422, "unknown_prediction"),
]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessService]:
    settings = ServingSettings(max_body_bytes=MAX_BYTES, max_instances=64, max_events=64)
    labels = {"names": ["cat", "dog"]}
    with InProcessService(tmp_path_factory.mktemp("model"), settings=settings, labels=labels) as running:
        running.promote(artifact(1, weights=b""), generation=1)
        yield running


def assert_problem(reply: Reply, status: int, error: str) -> None:
    """A small problem document that says what is wrong and repeats none of it."""
    assert (reply.status, reply.document["error"]) == (status, error)
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.document["status"] == status
    assert reply.document["title"]
    assert reply.document["detail"]
    assert len(reply.body) < 4096
    assert b"SECRET" not in reply.body
    assert b"Traceback" not in reply.body


@pytest.mark.parametrize("bad", [*ANY_BODY, *PREDICT], ids=lambda bad: bad.name)
def test_bad_predict_request(service: InProcessService, bad: Bad) -> None:
    assert_problem(service.predict(bad.body), bad.status, bad.error)


@pytest.mark.parametrize("bad", [*ANY_BODY[:-1], *FEEDBACK], ids=lambda bad: bad.name)
def test_bad_feedback_request(service: InProcessService, bad: Bad) -> None:
    assert_problem(service.feedback(bad.body), bad.status, bad.error)
    assert service.stored() == []


@pytest.mark.parametrize("bad", EVENTS, ids=lambda bad: bad.name)
def test_bad_event(service: InProcessService, bad: Bad) -> None:
    reply = service.feedback(b'{"events":[' + bad.body + b"]}")
    assert_problem(reply, bad.status, "no_valid_event")
    assert [(item["index"], item["error"]) for item in reply.document["rejected"]] == [(0, bad.error)]
    assert service.stored() == []


def test_many_bad_events_are_answered_briefly(service: InProcessService) -> None:
    reply = service.feedback(b'{"events":[' + b"1," * 63 + b"1]}")
    assert_problem(reply, 422, "no_valid_event")
    assert len(reply.document["rejected"]) == 20
    assert reply.document["more"] == 44


@pytest.mark.parametrize("route", ["predict", "feedback", "rollback"])
@pytest.mark.parametrize(
    ("headers", "status", "error"),
    [
        ([(b"content-type", b"text/plain")], 415, "unsupported_media_type"),
        ([(b"content-type", b"application/xml")], 415, "unsupported_media_type"),
        ([(b"content-type", b"application/json; charset=utf-16")], 415, "unsupported_media_type"),
        ([*JSON, (b"content-encoding", b"gzip")], 415, "unsupported_encoding"),
        ([*JSON, (b"content-length", b"209715200")], 413, "body_too_large"),
        ([*JSON, (b"content-length", b"9" * 5000)], 413, "body_too_large"),
        ([*JSON, (b"content-length", b"-1")], 413, "body_too_large"),
    ],
    ids=["text", "xml", "charset", "gzip", "200 MB", "absurd length", "negative length"],
)
def test_bad_headers(
    service: InProcessService, route: str, headers: list[tuple[bytes, bytes]], status: int, error: str
) -> None:
    assert_problem(service.post(f"/v1/models/pets/{route}", gzip.compress(b"{}"), headers), status, error)


@pytest.mark.parametrize("value", ['application/json; charset="utf-8"', "Application/JSON;charset=UTF-8"])
def test_json_in_utf8_may_be_announced_in_any_form(service: InProcessService, value: str) -> None:
    reply = service.post("/v1/models/pets/predict", b'{"instances":[[1,2,3,4]]}', [(b"content-type", value.encode())])
    assert reply.status == 200


@pytest.mark.parametrize(("chunks", "read"), [(6, 6), (1000, 9)])
def test_a_client_that_sends_a_little_too_much_is_let_finish_and_so_reads_why(chunks: int, read: int) -> None:
    pending = [{"type": "http.request", "body": b" " * 1000, "more_body": left > 0} for left in reversed(range(chunks))]

    async def receive() -> Message:
        return pending.pop(0)

    with pytest.raises(RequestFault, match="at most 4000 bytes"):
        asyncio.run(BodyReader(4000)({"headers": []}, receive))
    assert chunks - len(pending) == read


@pytest.mark.parametrize("route", ["predict", "feedback", "rollback"])
def test_a_chunked_body_is_cut_off_at_the_limit(service: InProcessService, route: str) -> None:
    chunks = [b" " * 1000] * 1000
    assert_problem(service.request("POST", f"/v1/models/pets/{route}", chunks, JSON), 413, "body_too_large")


@pytest.mark.parametrize("route", ["predict", "feedback"])
def test_a_client_that_leaves_is_not_answered_and_nothing_is_stored(service: InProcessService, route: str) -> None:
    from tests.service.inprocess import call

    async def leave() -> Reply:
        return await call(service.app, "POST", f"/v1/models/pets/{route}", [], JSON)

    assert service.run(leave()).status == 0
    assert service.stored() == []


@pytest.mark.parametrize(
    ("method", "path", "status", "error"),
    [
        ("POST", "/v1/models/dogs/predict", 404, "unknown_model"),
        ("POST", "/v1/models/dogs/feedback", 404, "unknown_model"),
        ("GET", "/v1/models/SECRETxx", 404, "unknown_model"),
        ("GET", "/v1/models/dogs/stream", 404, "unknown_model"),
        ("POST", "/v1/models/dogs/rollback", 404, "unknown_model"),
        ("GET", "/v1/models/pets/versions/9", 404, "unknown_version"),
        ("GET", "/v1/models/pets/versions/SECRETxx", 404, "unknown_version"),
        ("GET", "/v1/models/pets/versions/" + "9" * 5000, 404, "unknown_version"),
        ("POST", "/v1/models/pets/tasks/SECRET%00/close", 404, "unknown_task"),
        ("GET", "/v1/models/pets/", 404, "unknown_route"),
        ("POST", "/v1/models/pets/predict/", 404, "unknown_route"),
        ("GET", "/v1/models/pets/SECRETxx", 404, "unknown_route"),
        ("GET", "/static/SECRETxx", 404, "unknown_route"),
        ("GET", "/v1/models/pets/predict", 405, "method_not_allowed"),
        ("PUT", "/v1/models/pets/feedback", 405, "method_not_allowed"),
        ("DELETE", "/v1/models/pets", 405, "method_not_allowed"),
        ("HEAD", "/v1/models/pets/predict", 405, "method_not_allowed"),
        ("OPTIONS", "/v1/models/pets/predict", 405, "method_not_allowed"),
        ("TRACE", "/v1/models/pets/predict", 405, "method_not_allowed"),
        ("GET", "/v1/models/pets/versions?max_results=SECRETxx", 422, "invalid_request"),
        ("GET", "/v1/models/pets/versions?max_results=0", 422, "invalid_request"),
        ("GET", "/v1/models/pets/versions?page_token=SECRETxx", 422, "invalid_request"),
    ],
)
def test_bad_path_or_method(service: InProcessService, method: str, path: str, status: int, error: str) -> None:
    reply = service.request(method, path, [b""])
    assert_problem(reply, status, error)
    if status == 405:
        assert reply.headers["allow"]


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b'{"version":0}', b'{"version":9223372036854775808}', b'{"version":"SECRETxx"}', b'{"SECRETxx":1}'],
)
def test_bad_rollback(service: InProcessService, body: bytes) -> None:
    reply = service.post("/v1/models/pets/rollback", body)
    assert reply.status in {400, 422}
    assert_problem(reply, reply.status, reply.document["error"])
    assert service.trainer.asked == []
