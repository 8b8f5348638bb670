"""Both clients repeat what is safe to repeat, under the same event ids, and name every refusal."""

import inspect
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import numpy as np
import pytest

from contracts.errors import InvalidEvent
from contracts.events import FeedbackEvent
from lifelong.client import AsyncClient, Client, ClosedTask, Patience, only_model, served_models, wait_ready
from lifelong.errors import InvalidArgument, RequestRefused, ServiceUnreachable
from lifelong.rows import Row
from lifelong.send import send
from tests.lifelong.both_clients import KINDS
from tests.lifelong.scripted import Script

pytestmark = pytest.mark.unit
IMPATIENT = Patience(total_seconds=0.2, attempt_seconds=5.0)
ACCEPTED = {"accepted": 1, "duplicates": 0, "rejected": [], "position": 7}
EVENT = FeedbackEvent(label="a", prediction_id="p")
STATUS = {"model": "digits"}


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> Any:
    return KINDS[request.param]


@pytest.fixture
def client(kind: Any, address: str) -> Iterator[Client]:
    with kind(address, "digits") as client:
        yield client


@pytest.mark.parametrize("status", [429, 503])
def test_feedback_is_repeated_under_the_same_event_id(client: Client, script: Script, status: int) -> None:
    script.say(status, {"error": "overloaded"}, Retry_After="0")
    script.say(202, ACCEPTED)
    assert client.feedback([EVENT]).position == 7
    first, second = (asked.document["events"][0]["event_id"] for asked in script.requests)
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
    (total,) = send(client, [Row("line 1", EVENT)])
    assert (total.accepted, total.rejected) == (0, 4)
    assert total.rejections[0].error == "unknown_label"


def test_rejections_are_told_by_their_places_in_the_file(client: Client, script: Script) -> None:
    rejected = [{"index": 1, "error": "wrong_shape", "detail": "an instance must have the shape [2]"}]
    script.say(202, {"accepted": 100, "duplicates": 0, "rejected": [], "position": 100})
    script.say(202, {"accepted": 1, "duplicates": 0, "rejected": rejected, "position": 101})
    bad = Row("line 101", InvalidEvent("invalid_event", "$: Expected `object`, got `int`"))
    rows = [Row(f"line {number}", EVENT) for number in range(1, 104) if number != 101]
    total = list(send(client, [*rows[:100], bad, *rows[100:]]))[-1]
    assert (total.accepted, total.position, total.rejected) == (101, 101, 2)
    assert [(one.place, one.error) for one in total.rejections] == [
        ("line 101", "invalid_event"),
        ("line 103", "wrong_shape"),
    ]
    assert len(script.requests[1].document["events"]) == 2


def test_an_events_own_id_is_kept(client: Client, script: Script) -> None:
    script.say(202, ACCEPTED)
    client.feedback([msgspec.structs.replace(EVENT, event_id="mine")])
    assert script.requests[0].document["events"][0]["event_id"] == "mine"


@pytest.mark.parametrize("status", [0, 429, 502, 503, 504])
def test_a_question_is_repeated_until_it_is_answered(client: Client, script: Script, status: int) -> None:
    script.say(status)
    script.say(200, STATUS, is_cut=True)
    script.say(200, STATUS)
    assert client.status().model == "digits"
    assert len(script.requests) == 3


def test_a_rollback_whose_answer_is_lost_is_not_repeated_either(client: Client, script: Script) -> None:
    script.hang_up()
    with pytest.raises(ServiceUnreachable, match="whether the request was carried out") as caught:
        client.rollback(3)
    assert caught.value.code == "answer_lost"
    assert [asked.document for asked in script.requests] == [{"version": 3}]


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
    assert client.close_task("two") == ClosedTask("two", True, ["one", "two"], [0.8, 0.7])


def test_a_task_that_was_closed_before_is_refused(client: Client, script: Script) -> None:
    script.say(409, CLOSED)
    with pytest.raises(RequestRefused, match="the task is closed"):
        client.close_task("two")
    assert len(script.requests) == 1


def test_patience_ends_with_the_services_own_words(kind: Any, address: str, script: Script) -> None:
    script.say(503, {"error": "starting", "detail": "the service starts"}, Retry_After="1")
    with kind(address, "digits", IMPATIENT) as client, pytest.raises(RequestRefused, match="the service starts"):
        client.status()


def test_an_answer_that_is_no_document_of_ours_is_a_refusal_too(client: Client, script: Script) -> None:
    script.say(404, {})
    with pytest.raises(RequestRefused, match="answered 404") as caught:
        client.status()
    assert caught.value.code == "unexpected_answer"


def test_a_success_that_is_no_document_of_ours_is_named_too(client: Client, script: Script) -> None:
    script.say(200, b"<html>")
    for ask in (client.status, lambda: client.infer(np.zeros((1, 2))), lambda: next(client.news())):
        with pytest.raises(ServiceUnreachable, match="no lifelong service that") as caught:
            ask()
        assert caught.value.code == "unexpected_answer"


def _asked(kind: Any) -> Callable[[str], object]:
    def ask(address: str) -> object:
        with kind(address, "digits", IMPATIENT) as client:
            return client.status()

    return ask


@pytest.mark.parametrize(
    "ask",
    [
        *map(_asked, KINDS.values()),
        served_models,
        lambda address: wait_ready(address, 0.2),
    ],
)
def test_nobody_there_is_a_named_error(ask: Callable[[str], object]) -> None:
    with pytest.raises(ServiceUnreachable):
        ask("http://127.0.0.1:1")


def test_served_is_awaited_by_position(client: Client, script: Script) -> None:
    script.say(200, STATUS | {"served_through": 3})
    script.say(200, STATUS | {"served_through": 8})
    assert client.wait_served(8, timeout_seconds=30).served_through == 8


def test_what_is_never_served_ends_in_time(client: Client, script: Script) -> None:
    script.say(200, STATUS | {"served_through": 3})
    with pytest.raises(ServiceUnreachable, match="did not reach 8"):
        client.wait_served(8, timeout_seconds=0)


def test_one_served_model_needs_no_name(address: str, script: Script) -> None:
    script.say(200, {"models": [{"model": "digits"}]})
    script.say(200, {"models": [{"model": "digits"}, {"model": "words"}]})
    assert only_model(address) == "digits"
    with pytest.raises(RequestRefused, match="one of digits, words"):
        only_model(address)


def test_each_call_asks_its_route_and_is_typed(client: Client, script: Script) -> None:
    explanation = {"model": "digits", "version": 3, "method": "smooth_grad", "target": "a", "attribution": [0.5, 0.0]}
    script.say(200, explanation)
    script.say(200, {"versions": [], "next_page_token": "12"})
    script.say(200, {"version": 3, "labels": ["a"]})
    assert client.explain([1, 2], "smooth_grad", target="a", version=3).attribution == [0.5, 0.0]
    assert client.versions(5, "20").next_page_token == "12"
    assert client.rollback().version == 3
    asked = [(one.method, one.path) for one in script.requests]
    base = "/v1/models/digits"
    assert asked == [
        ("POST", f"{base}/explain"),
        ("GET", f"{base}/versions?max_results=5&page_token=20"),
        ("POST", f"{base}/rollback"),
    ]
    document = {"instance": [1, 2], "method": "smooth_grad", "target": "a", "version": 3}
    assert script.requests[0].document == document


def test_arrays_are_instances(client: Client, script: Script) -> None:
    script.say(200, {"model": "digits", "version": 1, "predictions": []})
    client.predict(np.arange(4, dtype=np.uint8).reshape(2, 2), task="one", scores=True)
    assert script.requests[0].document == {"instances": [[0, 1], [2, 3]], "task": "one", "scores": True}


@pytest.mark.parametrize(
    ("ask", "code"),
    [
        (lambda client: client.predict([object()]), "not_json"),
        (lambda client: client.predict([chr(0xD800)]), "not_json"),
        (lambda client: list(client.predict_stream([{1j}])), "not_json"),
        (lambda client: client.infer([[1, 2]]), "bad_rows"),
        (lambda client: client.infer([[1.0], [1.0, 2.0]]), "bad_rows"),
        (lambda client: client.infer(np.zeros((0, 2))), "bad_rows"),
        (lambda client: client.close_task("one/../two"), "bad_name"),
        (lambda client: client.version(0), "bad_number"),
        (lambda client: client.versions(0), "bad_number"),
    ],
)
def test_what_cannot_be_sent_is_said_before_anything_is(
    client: Client, script: Script, ask: Callable[[Client], object], code: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        ask(client)
    assert caught.value.code == code
    assert script.requests == []


@pytest.mark.parametrize(
    "bad", ["", "digits", "ftp://host", "http://", "http://user:pass@host", "http://host?a=b", "http://host:port"]
)
@pytest.mark.parametrize("ask", [*(lambda a, k=k: k(a, "digits") for k in KINDS.values()), served_models, only_model])
def test_an_address_that_cannot_be_one_is_refused(ask: Callable[[str], object], bad: str) -> None:
    with pytest.raises(InvalidArgument, match="http://127") as caught:
        ask(bad)
    assert "pass" not in caught.value.detail


def test_a_models_name_cannot_lead_elsewhere(kind: Any, address: str) -> None:
    with pytest.raises(InvalidArgument, match="model's name"):
        kind(address, "digits/../words")


def test_both_clients_have_the_same_calls() -> None:
    renamed = {"close": "aclose", "__enter__": "__aenter__", "__exit__": "__aexit__"}
    plain = {name for name, value in vars(Client).items() if inspect.isfunction(value) and not _is_private(name)}
    other = {name for name, value in vars(AsyncClient).items() if inspect.isfunction(value) and not _is_private(name)}
    assert {renamed.get(name, name) for name in plain} == other
    for name in plain:
        one, two = getattr(Client, name), getattr(AsyncClient, renamed.get(name, name))
        ours = {key: (value.default, value.kind) for key, value in inspect.signature(one).parameters.items()}
        theirs = {key: (value.default, value.kind) for key, value in inspect.signature(two).parameters.items()}
        assert ours == theirs


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def test_the_import_is_light() -> None:
    program = (
        "import sys, lifelong.client;"
        "heavy = {'torch', 'ray', 'mlflow', 'fastapi', 'starlette', 'kafka', 'pandas', 'sklearn', 'captum'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
