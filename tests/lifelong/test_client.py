"""The client repeats what is safe to repeat, under the same event ids, and names every refusal."""

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import msgspec
import pytest

from contracts.events import FeedbackEvent
from lifelong.client import Client, Patience, only_model, served_models, wait_ready
from lifelong.errors import RequestRefused, ServiceUnreachable
from lifelong.send import send

pytestmark = pytest.mark.unit
Answer = tuple[int, dict[str, Any], dict[str, str]]
IMPATIENT = Patience(total_seconds=0.2, attempt_seconds=5.0)
ACCEPTED = {"accepted": 1, "duplicates": 0, "rejected": [], "position": 7}
EVENT = FeedbackEvent(label="a", prediction_id="p")


class Script:
    """What a service answers, request after request, and what it was asked; the last answer is given for ever."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.requests: list[tuple[str, Any]] = []

    def say(self, status: int, document: dict[str, Any], **headers: str) -> None:
        self.answers.append((status, document, {name.replace("_", "-"): value for name, value in headers.items()}))

    def next(self, path: str, body: bytes) -> Answer:
        self.requests.append((path, json.loads(body) if body else None))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def handler(script: Script) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status, document, headers = script.next(
                self.path, self.rfile.read(int(self.headers["content-length"] or 0))
            )
            body = msgspec.json.encode(document)
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self.headers["content-length"] = "0"
            self.do_POST()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name is http.server's
            """Nothing is logged."""

    return Handler


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def address(script: Script) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler(script)) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture
def client(address: str) -> Iterator[Client]:
    with Client(address, "digits") as client:
        yield client


@pytest.mark.parametrize("status", [429, 503])
def test_feedback_is_repeated_under_the_same_event_id(client: Client, script: Script, status: int) -> None:
    script.say(status, {"error": "overloaded"}, Retry_After="0")
    script.say(202, ACCEPTED)
    assert client.feedback([EVENT]).position == 7
    first, second = (body["events"][0]["event_id"] for _, body in script.requests)
    assert first == second


def test_a_refusal_keeps_its_code_and_is_not_repeated(client: Client, script: Script) -> None:
    script.say(422, {"error": "wrong_shape", "detail": "an instance must have the shape [2]"})
    with pytest.raises(RequestRefused, match="must have the shape") as caught:
        client.predict([[1]])
    assert caught.value.code == "wrong_shape"
    assert len(script.requests) == 1


def test_a_request_of_which_nothing_was_accepted_is_a_receipt(client: Client, script: Script) -> None:
    rejected = [{"index": 0, "error": "unknown_label", "detail": "the label is not one of the configured labels"}]
    script.say(422, {"error": "nothing_accepted", "detail": "no event is good", "rejected": rejected, "more": 3})
    (total,) = send(client, [EVENT])
    assert (total.accepted, total.rejected) == (0, 4)
    assert total.rejections[0].error == "unknown_label"


def test_rejections_are_counted_over_the_whole_file(client: Client, script: Script) -> None:
    rejected = [{"index": 2, "error": "wrong_shape", "detail": "an instance must have the shape [2]"}]
    script.say(202, {"accepted": 99, "duplicates": 0, "rejected": [], "position": 99})
    script.say(202, {"accepted": 2, "duplicates": 0, "rejected": rejected, "position": 101})
    total = list(send(client, [EVENT] * 103))[-1]
    assert (total.accepted, total.position, total.rejections[0].index) == (101, 101, 102)


def test_a_rollback_is_never_sent_twice(client: Client, script: Script) -> None:
    script.say(503, {"error": "trainer_unavailable", "detail": "the trainer does not answer now"}, Retry_After="0")
    with pytest.raises(RequestRefused, match="trainer does not answer"):
        client.rollback()
    assert len(script.requests) == 1


CLOSED: dict[str, Any] = {"error": "task_already_closed", "detail": "the task is closed"}
BUSY = {"error": "trainer_busy", "detail": "the command is carried out when the trainer is done"}


def test_a_close_whose_answer_was_lost_is_no_fault(client: Client, script: Script) -> None:
    script.say(503, BUSY, Retry_After="0")
    script.say(409, CLOSED)
    script.say(200, {"tasks": ["one", "two"], "R": [[0.9, None], [0.8, 0.7]]})
    answer = client.close_task("two")
    assert answer == {"task": "two", "closed": True, "tasks": ["one", "two"], "row": [0.8, 0.7]}


def test_a_task_that_was_closed_before_is_refused(client: Client, script: Script) -> None:
    script.say(409, CLOSED)
    with pytest.raises(RequestRefused, match="the task is closed"):
        client.close_task("two")
    assert len(script.requests) == 1


def test_patience_ends_with_the_services_own_words(address: str, script: Script) -> None:
    script.say(503, {"error": "starting", "detail": "the service starts"}, Retry_After="1")
    with Client(address, "digits", IMPATIENT) as client, pytest.raises(RequestRefused, match="the service starts"):
        client.status()


def test_an_answer_that_is_no_document_of_ours_is_a_refusal_too(client: Client, script: Script) -> None:
    script.say(404, {})
    with pytest.raises(RequestRefused, match="answered 404") as caught:
        client.status()
    assert caught.value.code == "unexpected_answer"


@pytest.mark.parametrize(
    "ask",
    [
        lambda address: Client(address, "digits", IMPATIENT).status(),
        served_models,
        lambda address: wait_ready(address, 0.2),
    ],
)
def test_nobody_there_is_a_named_error(ask: Callable[[str], object]) -> None:
    with pytest.raises(ServiceUnreachable):
        ask("http://127.0.0.1:1")


def test_served_is_awaited_by_position(client: Client, script: Script) -> None:
    script.say(200, {"served_through": 3})
    script.say(200, {"served_through": 8})
    assert client.wait_served(8, timeout_seconds=30)["served_through"] == 8


def test_what_is_never_served_ends_in_time(client: Client, script: Script) -> None:
    script.say(200, {"served_through": 3})
    with pytest.raises(ServiceUnreachable, match="did not reach 8"):
        client.wait_served(8, timeout_seconds=0)


def test_one_served_model_needs_no_name(address: str, script: Script) -> None:
    script.say(200, {"models": [{"model": "digits"}]})
    script.say(200, {"models": [{"model": "digits"}, {"model": "words"}]})
    assert only_model(address) == "digits"
    with pytest.raises(RequestRefused, match="one of digits, words"):
        only_model(address)
