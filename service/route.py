"""One fast route as an ASGI application: admits, answers, turns faults into problem documents, counts."""

import logging
from collections.abc import Awaitable, Callable, Iterable
from time import perf_counter

from contracts.errors import LifelongError
from service.counts import Counts
from service.errors import Answer, ClientGone, RequestFault, Streamed, internal_error, problem
from service.limits import Receive, Scope, Send, send_answer, send_stream

LOGGER = logging.getLogger(__name__)
Handler = Callable[[Scope, Receive], Awaitable[Answer | Streamed]]
Admit = Callable[[Iterable[tuple[bytes, bytes]]], None]


class FastRoute:
    """Answers one path without a framework in between; at most `max_in_flight` requests at a time.

    `admit` raises a `RequestFault` for headers that do not let their request in.
    """

    def __init__(self, name: str, handler: Handler, admit: Admit, counts: Counts, max_in_flight: int) -> None:
        self._name = name
        self._handler = handler
        self._admit = admit
        self._counts = counts
        self._max_in_flight = max_in_flight
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request; a client that left is not answered."""
        started = perf_counter()
        self._in_flight += 1
        try:
            answer = await self._answer(scope, receive)
            if isinstance(answer, Streamed):
                await send_stream(send, answer)
                outcome = "ok"
            else:
                await send_answer(send, answer)
                outcome = answer.outcome
        except ClientGone:
            outcome = "client_gone"
        finally:
            self._in_flight -= 1
        self._counts.answered(self._name, outcome, perf_counter() - started)

    async def _answer(self, scope: Scope, receive: Receive) -> Answer | Streamed:
        try:
            self._admit(scope["headers"])
            if self._in_flight > self._max_in_flight:
                raise RequestFault("overloaded", "this replica has as many requests as it can hold")
            return await self._handler(scope, receive)
        except LifelongError as error:
            return problem(error)
        except ClientGone:
            raise
        except Exception:
            LOGGER.exception("a %s request failed", self._name)
            return internal_error()
