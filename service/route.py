"""One fast route as an ASGI application: admits, answers, turns faults into problem documents, counts."""

import logging
from collections.abc import Callable
from time import perf_counter
from typing import NamedTuple, Protocol

from contracts.errors import LifelongError
from service.counts import Counts
from service.errors import Answer, ClientGone, RequestFault, Streamed, internal_error, problem
from service.limits import BodyReader, Headers, Receive, Scope, Send, send_answer, send_stream

LOGGER = logging.getLogger(__name__)
Admit = Callable[[Headers], None]


class Handler(Protocol):
    """What answers the requests of one path."""

    def needs_json(self, headers: Headers, /) -> bool:
        """Whether only JSON can be the body of a request with these headers."""
        ...

    async def __call__(self, scope: Scope, body: bytes, /) -> Answer | Streamed:
        """The answer; raises a `LifelongError` for what cannot be answered."""
        ...


class Bounds(NamedTuple):
    """What a route lets in: `admit` raises a `RequestFault` for headers, `read` for bodies; so many are worked on."""

    admit: Admit
    read: BodyReader
    max_in_flight: int


class FastRoute:
    """Answers one path without a framework in between.

    A request is in flight once its body is there: so no client takes another's place by sending slowly.
    """

    def __init__(self, name: str, handler: Handler, counts: Counts, bounds: Bounds) -> None:
        self._name = name
        self._handler = handler
        self._counts = counts
        self._bounds = bounds
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request; a client that left is not answered."""
        started, version = perf_counter(), None
        try:
            answer = await self._answer(scope, receive)
            if isinstance(answer, Streamed):
                outcome = await self._send_stream(receive, send, answer)
            else:
                await send_answer(send, answer)
                outcome, version = answer.outcome, answer.version
        except (ClientGone, TimeoutError):
            outcome = "client_gone"
        self._counts.answered(self._name, outcome, perf_counter() - started, version)

    async def _answer(self, scope: Scope, receive: Receive) -> Answer | Streamed:
        headers, bounds = scope["headers"], self._bounds
        try:
            bounds.admit(headers)
            body = await bounds.read(scope, receive, self._handler.needs_json(headers))
            if self._in_flight >= bounds.max_in_flight:
                raise RequestFault("overloaded", "this replica has as many requests as it can hold")
            self._in_flight += 1
            try:
                return await self._handler(scope, body)
            finally:
                self._in_flight -= 1
        except LifelongError as error:
            return problem(error)
        except ClientGone:
            raise
        except Exception:
            LOGGER.exception("a %s request failed", self._name)
            return internal_error()

    async def _send_stream(self, receive: Receive, send: Send, answer: Streamed) -> str:
        """Sends it and says how it ended; what fails within has said so in the stream's last line."""
        self._in_flight += 1
        try:
            await send_stream(receive, send, answer)
        except (ClientGone, TimeoutError):
            raise
        except Exception:
            LOGGER.exception("a %s stream failed", self._name)
            return "internal_error"
        finally:
            self._in_flight -= 1
        return "ok"
