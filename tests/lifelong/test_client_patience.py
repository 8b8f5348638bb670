"""Pauses grow, are spread and capped, never undercut what the service names, and end when patience does."""

import httpx
import pytest

from lifelong.client.patience import FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS, Patience, Retries
from lifelong.client.steps import Outcome, Request
from lifelong.errors import RequestRefused, ServiceUnreachable

pytestmark = pytest.mark.unit
ASK = Request("GET", "/")
ONCE = Request("POST", "/", may_repeat=False)
PROBLEM = b'{"error":"overloaded","detail":"too many requests at a time"}'


class Clock:
    """A clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def retries(total_seconds: float = 1e9, chance: float = 1.0, clock: Clock | None = None) -> Retries:
    return Retries("http://here", Patience(total_seconds), clock or Clock(), lambda: chance)


def busy(retry_after: str | None = None, status: int = 429) -> httpx.Response:
    headers = [] if retry_after is None else [(b"retry-after", retry_after.encode("latin-1"))]
    return httpx.Response(status, headers=headers, content=PROBLEM)


@pytest.mark.parametrize("outcome", [None, busy(), busy("Wed, 21 Oct 2015 07:28:00 GMT"), busy("²")])
def test_pauses_double_up_to_a_limit(outcome: Outcome) -> None:
    own = retries()
    pauses = [own.after(ASK, outcome).seconds for _ in range(2000)]
    assert pauses[:3] == [FIRST_PAUSE_SECONDS, 2 * FIRST_PAUSE_SECONDS, 4 * FIRST_PAUSE_SECONDS]
    assert max(pauses) == pauses[-1] == MAX_PAUSE_SECONDS


def test_pauses_are_spread_over_half_of_their_length() -> None:
    assert retries(chance=0.0).after(ASK, None).seconds == FIRST_PAUSE_SECONDS / 2


def test_a_named_pause_is_kept_in_full_and_not_by_all_at_once() -> None:
    assert retries(chance=0.0).after(ASK, busy("30")).seconds == 30.0
    assert retries(chance=1.0).after(ASK, busy("30")).seconds == 37.5


def test_no_attempt_begins_after_the_patience_ended() -> None:
    clock = Clock()
    own = retries(10.0, clock=clock)
    clock.seconds += 10.0 - FIRST_PAUSE_SECONDS
    assert own.after(ASK, None).seconds == FIRST_PAUSE_SECONDS
    clock.seconds += FIRST_PAUSE_SECONDS
    with pytest.raises(ServiceUnreachable, match="http://here"):
        own.after(ASK, None)


def test_a_pause_that_is_longer_than_the_patience_is_not_waited_for() -> None:
    with pytest.raises(RequestRefused) as caught:
        retries(10.0).after(ASK, busy("11"))
    assert (caught.value.code, caught.value.problem["status"]) == ("overloaded", 429)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 500, 302])
def test_what_will_not_pass_is_not_repeated(status: int) -> None:
    with pytest.raises(RequestRefused) as caught:
        retries().after(ASK, busy(status=status))
    assert not caught.value.is_repeat


def test_a_refusal_says_whether_the_request_was_sent_before() -> None:
    own = retries()
    own.after(ASK, None)
    with pytest.raises(RequestRefused) as caught:
        own.after(ASK, busy(status=409))
    assert caught.value.is_repeat


def test_what_must_not_arrive_twice_is_not_repeated() -> None:
    with pytest.raises(RequestRefused, match="too many requests"):
        retries().after(ONCE, busy("0"))
    with pytest.raises(ServiceUnreachable, match="not known") as caught:
        retries().after(ONCE, None)
    assert caught.value.code == "answer_lost"
