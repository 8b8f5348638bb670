"""Server-sent events: what a model does, as it happens."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from weakref import WeakSet

import msgspec
from fastapi.responses import StreamingResponse

from contracts.status import News
from service.errors import PartUnavailable, RequestFault
from service.parts import AskedHub

STREAM_SECONDS = 300.0
"""A stream ends after this long, and the browser opens the next: otherwise it would hold up a replica that stops."""
RETRY_SECONDS = 0.5
SILENT_SECONDS = 10.0
"""After this long without news a comment keeps the connection open."""
HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}


class Streams:
    """The open streams of one replica, at most `limit`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # A stream counts as long as somebody holds it: also one whose client left before its first line.
        self._open: WeakSet[AsyncIterator[bytes]] = WeakSet()

    def open(self, hub: AskedHub, last_event_id: str | None, admit: Callable[[], None]) -> StreamingResponse:
        """A new stream, from the event after `last_event_id` on, or from now; it ends when `admit` raises.

        Raises:
            RequestFault: `too_many_streams`.
        """
        if len(self._open) >= self._limit:
            raise RequestFault("too_many_streams", f"a replica holds at most {self._limit} streams")
        digits = last_event_id or ""
        since = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 16 else None
        lines = _lines(hub, since, admit)
        self._open.add(lines)
        return StreamingResponse(lines, headers=HEADERS, media_type="text/event-stream")


async def _lines(hub: AskedHub, since: int | None, admit: Callable[[], None]) -> AsyncIterator[bytes]:
    since, first = await _next(hub, since)  # settles where the stream begins, before the client knows that it has
    place = b"" if since is None else b"id: %d\n" % since
    yield b"retry: 1000\n" + place + b"\n" + first
    deadline = time.monotonic() + STREAM_SECONDS
    spoken = time.monotonic()
    while (now := time.monotonic()) < deadline:
        since, lines = await _next(hub, since)
        try:
            admit()
        except RequestFault:
            return
        if lines or now - spoken > SILENT_SECONDS:
            spoken = now
            yield lines or b": nothing new\n\n"


async def _next(hub: AskedHub, since: int | None) -> tuple[int | None, bytes]:
    """The lines of the next news, if any came, and their number."""
    try:
        last, items = await hub.news(since)
    except PartUnavailable:
        await asyncio.sleep(RETRY_SECONDS)
        return since, b": the hub is away\n\n"
    first = last - len(items) + 1
    lines = [_line(number, item) for number, item in enumerate(items, first)]
    return last, b"".join(lines)


def _line(number: int, item: bytes) -> bytes:
    news = msgspec.json.decode(item, type=News)
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (number, news.event.encode(), item)
