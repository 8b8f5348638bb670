"""One connection of a load generator: raw HTTP/1.1, a request at a time."""

import asyncio
import time
from collections.abc import Callable
from typing import NamedTuple

LOST = 0
"""Stands for a status where there was no answer: the connection was refused or lost."""
UNSENT = -1
"""Stands for a status where the generator itself never came to send the request."""
NAMES = {LOST: "lost", UNSENT: "unsent"}
HEAD_END = b"\r\n\r\n"


class Answer(NamedTuple):
    """What came back: the status or `LOST`, and whether it said when to try again."""

    status: int
    has_retry_after: bool = False


class Connection(asyncio.Protocol):
    """Calls `answered` once for each request sent, and `lost` once when there will be no more answers."""

    def __init__(self, answered: Callable[["Connection", Answer], None], lost: Callable[["Connection"], None]) -> None:
        self.sent_for = 0.0
        """When the request in flight was meant to be sent; set by whoever sends it."""
        self.sent_at = 0.0
        """When it was sent, of the same clock."""
        self._answered = answered
        self._lost = lost
        self._received = b""
        self._in_flight = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def send(self, request: bytes) -> None:
        """Sends a request; the one before has been answered."""
        self._in_flight = True
        self.sent_at = time.monotonic()
        if self._transport is None or self._transport.is_closing():
            self._finish(Answer(LOST))
        else:
            self._transport.write(request)

    def close(self) -> None:
        """Ends the connection."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        self._received += data
        head, found, body = self._received.partition(HEAD_END)
        if found and len(body) >= _body_bytes(lowered := head.lower()):
            self._received = b""
            self._finish(Answer(int(head[9:12]), b"\r\nretry-after:" in lowered))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio passes it
        """Called by the event loop."""
        if self._in_flight:
            self._finish(Answer(LOST))
        self._lost(self)

    def _finish(self, answer: Answer) -> None:
        self._in_flight = False
        self._answered(self, answer)


def _body_bytes(head: bytes) -> int:
    _, found, rest = head.partition(b"\r\ncontent-length:")
    return int(rest.partition(b"\r\n")[0]) if found else 0
