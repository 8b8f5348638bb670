"""When a request is sent again, and which error ends it otherwise."""

import random
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import httpx
import msgspec

from lifelong.client.steps import Outcome, Pause, Request
from lifelong.errors import RequestRefused, ServiceUnreachable

REPEATED_STATUSES = frozenset({429, 502, 503, 504})
FIRST_PAUSE_SECONDS = 0.05
MAX_PAUSE_SECONDS = 5.0
"""Longer waits are only for a service that names them: it would be up again long before it is asked again."""
SPREAD = 0.25
"""The share of a pause that the service names by which it is drawn out, so that not all clients return at once."""


class Patience(NamedTuple):
    """How long a call keeps trying: after `total_seconds` no further attempt begins.

    An attempt fails when it hears nothing for `attempt_seconds`.
    """

    total_seconds: float = 120.0
    attempt_seconds: float = 60.0


PATIENT = Patience()


class Retries:
    """The attempts of one call, and what follows each that failed.

    Overload (429), a restart in progress (502, 503, 504) and lost connections are repeated; anything else is not, and a
    request that must not arrive twice never is.
    """

    def __init__(
        self,
        address: str,
        patience: Patience,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._address = address
        self._clock = clock
        self._chance = chance
        self._deadline = clock() + patience.total_seconds
        self._n_failed = 0

    def after(self, request: Request, outcome: Outcome) -> Pause:
        """The pause after which the request is sent again.

        Raises:
            RequestRefused: it is not, and the service has said why.
            ServiceUnreachable: it is not, and there is no answer.
        """
        is_passing = outcome is None or outcome.status_code in REPEATED_STATUSES
        seconds = self._pause_seconds(outcome)
        if not (is_passing and request.may_repeat and self._clock() + seconds <= self._deadline):
            raise self._given_up(request, outcome)
        self._n_failed += 1
        return Pause(seconds)

    def _pause_seconds(self, outcome: Outcome) -> float:
        named = "" if outcome is None else outcome.headers.get("retry-after", "")
        if named.isascii() and named.isdigit():
            return float(named) * (1 + SPREAD * self._chance())
        longest = min(FIRST_PAUSE_SECONDS * 2.0 ** min(self._n_failed, 16), MAX_PAUSE_SECONDS)
        return longest * (1 + self._chance()) / 2

    def _given_up(self, request: Request, outcome: Outcome) -> RequestRefused | ServiceUnreachable:
        if outcome is not None:
            return refusal(outcome, is_repeat=self._n_failed > 0)
        if request.may_repeat:
            return ServiceUnreachable("unreachable", f"nothing answers at {self._address}; is `lifelong up` running?")
        detail = f"no answer came from {self._address}; whether the request was carried out is not known"
        return ServiceUnreachable("answer_lost", detail)


def refusal(answer: httpx.Response, is_repeat: bool = False) -> RequestRefused:
    """The error that an answer other than a success stands for; `unexpected_answer` when it is no problem document."""
    try:
        problem = msgspec.json.decode(answer.content, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        problem = {}
    code = str(problem.get("error", "unexpected_answer"))
    detail = str(problem.get("detail") or problem.get("title") or f"the service answered {answer.status_code}")
    return RequestRefused(code, detail, {"status": answer.status_code, **problem}, is_repeat)
