"""Feedback: joined, complete, durable before the answer; one bad event spoils no other."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts.decoder import InstanceDecoder
from contracts.events import decode_event
from contracts.inputs import parse_input
from contracts.labels import Column, LabelSpec
from contracts.spans import Spans
from feedback.errors import FeedbackUnavailable
from feedback.log import Appended
from service.counts import Counts
from service.intake import FeedbackRoute, Intake
from service.limits import BodyReader
from service.route import Bounds, FastRoute
from tests.service.inprocess import JSON, InProcessService, call
from tests.service.versions import TENSOR, artifact

pytestmark = pytest.mark.unit


@pytest.fixture
def service(tmp_path: Path) -> Iterator[InProcessService]:
    with InProcessService(tmp_path) as running:
        running.promote(artifact(1, weights=b""), generation=1)
        yield running


def event(number: int, **changes: Any) -> dict[str, Any]:
    """A whole event."""
    return {"event_id": f"e{number}", "label": "cat", "instance": [number, 0, 0, 0]} | changes


def test_accepted_events_are_in_the_log_when_the_answer_comes(service: InProcessService) -> None:
    reply = service.feedback({"events": [event(1), event(2, label=7)]})
    assert (reply.status, reply.document) == (202, {"accepted": 2, "duplicates": 0, "rejected": [], "position": 2})
    assert service.stored() == [event(1), event(2, label=7)]


def test_an_event_without_an_id_gets_one(service: InProcessService) -> None:
    assert service.feedback({"events": [{"label": "cat", "instance": [1, 2, 3, 4]}] * 2}).document["accepted"] == 2
    first, second = service.stored()
    assert first["event_id"] != second["event_id"]


def test_a_repeated_event_is_a_duplicate_and_not_stored_again(service: InProcessService) -> None:
    service.feedback({"events": [event(1)]})
    reply = service.feedback({"events": [event(1), event(2)]})
    assert reply.document == {"accepted": 1, "duplicates": 1, "rejected": [], "position": 2}
    assert service.feedback({"events": [event(1)]}).status == 202
    assert len(service.stored()) == 2


def test_an_id_with_other_content_is_a_conflict(service: InProcessService) -> None:
    service.feedback({"events": [event(1)]})
    reply = service.feedback({"events": [event(1, label="dog")]})
    assert (reply.status, reply.document["error"]) == (409, "id_conflict")
    mixed = service.feedback({"events": [event(2), event(1, label="dog")]})
    assert (mixed.status, mixed.document["accepted"]) == (202, 1)
    assert [(item["index"], item["error"]) for item in mixed.document["rejected"]] == [(1, "id_conflict")]


def test_bad_events_are_named_by_their_place_and_the_others_are_accepted(service: InProcessService) -> None:
    events = [event(0, instance=[1]), event(1), {"label": "cat"}, event(3), 5]
    reply = service.feedback({"events": events})
    assert (reply.status, reply.document["accepted"]) == (202, 2)
    rejected = [(item["index"], item["error"]) for item in reply.document["rejected"]]
    assert rejected == [(0, "wrong_shape"), (2, "invalid_event"), (4, "invalid_event")]
    assert [stored["event_id"] for stored in service.stored()] == ["e1", "e3"]


def test_an_event_is_kept_with_the_context_that_it_came_with(service: InProcessService) -> None:
    own, of_request = (f"00-{number:032x}-{number:016x}-01" for number in (1, 2))
    events = [event(1), event(2, traceparent=own), event(3, traceparent="odd")]
    headers = (*JSON, (b"traceparent", of_request.encode()))
    reply = service.post("/v1/models/pets/feedback", {"events": events}, headers)
    assert (reply.status, reply.document["accepted"]) == (202, 3)
    assert service.traceparents() == [of_request, own, of_request]
    assert service.stored() == [event(1), event(2), event(3)]


def test_an_event_that_is_sent_again_in_another_trace_is_the_same_event(service: InProcessService) -> None:
    first, again = (f"00-{number:032x}-{number:016x}-01".encode() for number in (1, 2))
    for traceparent, changes in ((first, {}), (again, {}), (again, {"traceparent": again.decode()})):
        headers = (*JSON, (b"traceparent", traceparent))
        reply = service.post("/v1/models/pets/feedback", {"events": [event(1, **changes)]}, headers)
        assert reply.status == 202
    assert service.traceparents() == [first.decode()]


@pytest.mark.parametrize("sent", [[], [b"odd"], [b"00-" + b"0" * 32 + b"-0000000000000001-01"], [b"\xff" * 60_000]])
def test_feedback_without_a_context_or_with_an_odd_one_is_taken_all_the_same(
    service: InProcessService, sent: list[bytes]
) -> None:
    headers = (*JSON, *((b"traceparent", value) for value in sent))
    assert service.post("/v1/models/pets/feedback", {"events": [event(1)]}, headers).status == 202
    assert service.traceparents() == [None]


def test_feedback_may_name_a_prediction_instead_of_an_instance(service: InProcessService) -> None:
    instances = [[0.1, 0.2, 0.3, 0.4], [1e-3, 2, 3, 4]]
    predictions = service.predict({"instances": instances}).document["predictions"]
    named = [{"prediction_id": prediction["prediction_id"], "label": "dog"} for prediction in predictions]
    assert service.feedback({"events": named[::-1]}).document["accepted"] == 2
    assert [stored["instance"] for stored in service.stored()] == instances[::-1]
    for stored in service.stored():
        assert decode_event(msgspec.json.encode(stored)).prediction_id == stored["prediction_id"]


def test_a_place_beyond_the_request_is_no_prediction(service: InProcessService) -> None:
    (prediction,) = service.predict({"instances": [[1, 2, 3, 4]]}).document["predictions"]
    beyond = prediction["prediction_id"].removesuffix("0") + "1"
    reply = service.feedback({"events": [{"prediction_id": beyond, "label": "dog"}, event(1)]})
    assert [item["error"] for item in reply.document["rejected"]] == ["unknown_prediction"]


def test_an_instance_of_its_own_needs_no_remembered_prediction(service: InProcessService) -> None:
    reply = service.feedback({"events": [event(1, prediction_id="long-forgotten.0")]})
    assert reply.document["accepted"] == 1


def test_a_joined_event_takes_the_task_of_its_prediction_in_the_task_scenario(tmp_path: Path) -> None:
    with InProcessService(tmp_path, labels={"scenario": "task"}) as service:
        service.promote(artifact(1, weights=b"", columns=[Column("cat", "pets")]), generation=1)
        answer = service.predict({"instances": [[1, 2, 3, 4]], "task": "pets"}).document
        named = {"prediction_id": answer["predictions"][0]["prediction_id"], "label": "cat"}
        service.feedback({"events": [named]})
        assert service.stored()[0]["task"] == "pets"


def test_a_prediction_is_still_joined_after_the_replica_was_replaced(tmp_path: Path) -> None:
    with InProcessService(tmp_path) as service:
        service.promote(artifact(1, weights=b""), generation=1)
        (prediction,) = service.predict({"instances": [[1, 2, 3, 4]]}).document["predictions"]
    with InProcessService(tmp_path) as service:
        named = {"prediction_id": prediction["prediction_id"], "label": "cat"}
        assert service.feedback({"events": [named]}).document["accepted"] == 1


class Expired:
    """Predictions that are all forgotten; it notes how long it was to wait for them."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def find(self, _keys: Sequence[str], wait_seconds: float = 0.1) -> dict[str, bytes]:
        """Never finds."""
        self.waits.append(wait_seconds)
        return {}


def test_expired_predictions_hold_the_feedback_of_others_up_for_no_moment() -> None:
    predictions = Expired()
    intake = Intake(InstanceDecoder(parse_input(TENSOR)), LabelSpec(), FullDisk(), predictions)
    receipt, joins = intake.accept([msgspec.Raw(b'{"prediction_id":"0123456789ab-7-19a0b1c2d3e.0","label":"cat"}')])
    assert [rejection.error for rejection in receipt.rejected] == ["unknown_prediction"]
    assert joins == {"unknown": 1}
    assert predictions.waits == [0.0]


class FullDisk:
    """A log and a memory on a disk that takes nothing more."""

    def append(self, _events: Sequence[tuple[str, bytes]], _traceparents: Mapping[str, str]) -> Appended:
        """Never stores."""
        raise FeedbackUnavailable("log_unavailable", "feedback.db cannot be used now (FullError)")

    def find(self, *_: object) -> dict[str, bytes]:
        """Never finds."""
        return {}


def test_a_log_that_cannot_be_written_is_said_and_nothing_is_claimed() -> None:
    intake = Intake(InstanceDecoder(parse_input(TENSOR)), LabelSpec(), FullDisk(), FullDisk())
    counts, bounds = Counts(), Bounds(lambda _: None, BodyReader(1 << 20), 100)
    route = FastRoute("feedback", FeedbackRoute(intake, 100, counts, Spans("pets")), counts, bounds)
    reply = asyncio.run(call(route, "POST", "/", [msgspec.json.encode({"events": [event(1)]})], JSON))
    assert (reply.status, reply.document["error"], reply.headers["retry-after"]) == (503, "log_unavailable", "1")
