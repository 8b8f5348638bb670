"""Both clients ask for an erasure by any name that a subject may have, and follow it until nothing answers from it."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import pytest

from contracts.erasures import subject_digest
from lifelong.client import Certificate, Client, ErasureRequest
from lifelong.errors import InvalidArgument, RequestRefused, ServiceUnreachable
from tests.lifelong.both_clients import KINDS
from tests.lifelong.scripted import Script

pytestmark = pytest.mark.unit
BASE = "/v1/models/digits"
ASKED = {"erasure": "e1", "state": "waiting"}


def certificate(state: str, answering: int = 0) -> dict[str, Any]:
    """A certificate as the service writes it."""
    named = {"id": "e1", "subject_sha256": subject_digest("ada"), "state": state, "asked_at": 1.0}
    return named | {"examples": 2, "withdrawn": [4, 5], "version": 6, "answering": answering}


@pytest.fixture(params=list(KINDS))
def client(request: pytest.FixtureRequest, address: str) -> Iterator[Client]:
    with KINDS[request.param](address, "digits") as client:
        yield client


@pytest.mark.parametrize(
    "subject", ["ada", "a/b", "..", ".", "100%", "%2F", "who?me#1", "Ада 🦆", "a;b&c=d+e", "x" * 200]
)
def test_a_subjects_name_is_one_segment_of_the_route_whatever_it_holds(
    client: Client, script: Script, subject: str
) -> None:
    script.say(202, ASKED)
    assert client.forget(subject) == ErasureRequest("e1", "waiting")
    (asked,) = script.requests
    start, _, last = asked.path.rpartition("/")
    assert (asked.method, start, unquote(last)) == ("DELETE", f"{BASE}/subjects", subject)


@pytest.mark.parametrize("subject", ["", "a\nb", "x" * 201, chr(0xD800)])
def test_what_no_subject_is_called_is_not_asked_for(client: Client, script: Script, subject: str) -> None:
    with pytest.raises(InvalidArgument, match="subject's name") as caught:
        client.forget(subject)
    assert caught.value.code == "bad_name"
    assert script.requests == []


@pytest.mark.parametrize("erasure", ["", "../versions", "e1?x"])
def test_an_id_cannot_lead_elsewhere(client: Client, script: Script, erasure: str) -> None:
    with pytest.raises(InvalidArgument):
        client.erasure(erasure)
    assert script.requests == []


@pytest.mark.parametrize("status", [0, 503])
def test_an_erasure_is_asked_for_again_where_its_answer_is_lost(client: Client, script: Script, status: int) -> None:
    script.say(status, {"error": "replica_lost"}, Retry_After="0")
    script.say(202, ASKED)
    assert client.forget("ada").erasure == "e1"
    assert len(script.requests) == 2


def test_a_refused_erasure_says_why(client: Client, script: Script) -> None:
    script.say(403, {"error": "forbidden", "detail": "the token lacks the role admin"})
    with pytest.raises(RequestRefused) as caught:
        client.forget("ada")
    assert caught.value.code == "forbidden"


def test_certificates_are_typed(client: Client, script: Script) -> None:
    script.say(200, certificate("retraining", 1))
    script.say(200, {"erasures": [certificate("waiting"), certificate("done")]})
    one, listed = client.erasure("e1"), client.erasures()
    assert isinstance(one, Certificate)
    assert (one.examples, one.withdrawn, one.version, one.answering) == (2, [4, 5], 6, 1)
    assert [found.state for found in listed] == ["waiting", "done"]
    assert [asked.path for asked in script.requests] == [f"{BASE}/erasures/e1", f"{BASE}/erasures"]


def test_an_erasure_is_awaited_until_no_replica_answers_with_what_was_withdrawn(client: Client, script: Script) -> None:
    for state, answering in (("withdrawing", 0), ("done", 1), ("done", 0)):
        script.say(200, certificate(state, answering))
    assert client.wait_erased("e1", timeout_seconds=30) == Certificate(**certificate("done"))
    assert len(script.requests) == 3


def test_an_erasure_that_takes_longer_ends_in_time(client: Client, script: Script) -> None:
    script.say(200, certificate("done", answering=1))
    with pytest.raises(ServiceUnreachable, match="not complete") as caught:
        client.wait_erased("e1", timeout_seconds=0)
    assert caught.value.code == "not_in_time"
