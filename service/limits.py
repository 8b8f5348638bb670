"""What a request must look like before any of its content is read: its type, its encoding, its size."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from service.errors import Answer, ClientGone, RequestFault, Streamed
from service.haproxy import BODY_SECONDS

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON_TYPES = frozenset({b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8"})
IGNORED_IN_TYPES = b' "'
CLOSE = (b"connection", b"close")
STALL_SECONDS = 20.0
"""How long a stream's client may read nothing; as long, one that is gone holds what it would have read."""
MAX_HELD_BYTES = 256 << 20
"""Of bodies that are not whole yet, in one model of one replica; more of them take its memory."""


def check_headers(headers: Headers, max_bytes: int, is_json: bool = True) -> None:
    """Refuses what is not plain JSON, if it must be, or of more than `max_bytes`, before the body is read.

    Raises:
        RequestFault: `unsupported_media_type`, `unsupported_encoding` or `body_too_large`.
    """
    for name, value in headers:
        if name == b"content-length":
            if not value.isdigit() or len(value) > 18 or int(value) > max_bytes:
                raise too_large(max_bytes)
        elif name == b"content-type":
            if is_json and value not in JSON_TYPES and _normal(value) not in JSON_TYPES:
                raise RequestFault("unsupported_media_type", "the body must be application/json in UTF-8")
        elif name == b"content-encoding" and value.lower() != b"identity":
            raise RequestFault(
                "unsupported_encoding", "compressed bodies are not accepted", [(b"accept-encoding", b"identity")]
            )


def _normal(content_type: bytes) -> bytes:
    """The type in the form of `JSON_TYPES`: parameters may be quoted and any case goes."""
    return content_type.lower().translate(None, delete=IGNORED_IN_TYPES)


class BodyReader:
    """Reads whole bodies of at most `max_bytes`; a client that dawdles takes neither memory nor anybody's place."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, is_json: bool = True) -> bytes:
        """The body.

        Raises:
            RequestFault: as `check_headers`; `body_too_large` also for a chunked body that grows beyond the limit,
                `body_too_slow`, or `overloaded` when bodies that are still on their way fill the memory set aside.
            ClientGone: the client disconnected before the body was whole.
        """
        check_headers(scope["headers"], self._max_bytes, is_json)
        try:
            async with asyncio.timeout(BODY_SECONDS):
                message = await receive()
                if message["type"] != "http.request" or message.get("more_body", False):
                    return await self._read_rest(message, receive)
        except TimeoutError:
            raise too_slow() from None
        body: bytes = message.get("body", b"")
        if len(body) > self._max_bytes:
            raise too_large(self._max_bytes)
        return body

    async def _read_rest(self, message: Message, receive: Receive) -> bytes:
        """The body of which `message` is the first part.

        A client reads an answer only when it has sent its body; so as much again as is allowed is read and dropped
        before a refusal.
        """
        parts: list[bytes] = []
        size = held = 0
        try:
            while True:
                if message["type"] != "http.request":
                    raise ClientGone
                part = message.get("body", b"")
                size += len(part)
                if size <= self._max_bytes:
                    parts.append(part)
                    held += len(part)
                    self._hold(len(part))
                if size > 2 * self._max_bytes or not message.get("more_body", False):
                    break
                message = await receive()
        finally:
            self._held_bytes -= held
        if size > self._max_bytes:
            raise too_large(self._max_bytes)
        return b"".join(parts)

    def _hold(self, size: int) -> None:
        self._held_bytes += size
        if self._held_bytes > MAX_HELD_BYTES:
            raise RequestFault("overloaded", "too much is being sent to this replica", [CLOSE])


async def send_answer(send: Send, answer: Answer) -> None:
    """Sends one whole answer."""
    # Serve's middleware appends to this very header list, so it is built anew for every answer.
    headers = [
        (b"content-type", answer.content_type),
        (b"content-length", b"%d" % len(answer.body)),
        *answer.headers,
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


async def send_stream(receive: Receive, send: Send, answer: Streamed) -> None:
    """Sends a stream, as fast as the client reads.

    Raises:
        ClientGone: the client left before the end.
        TimeoutError: the client reads nothing any more.
    """
    headers = [(b"content-type", answer.content_type), (b"x-accel-buffering", b"no")]
    gone = asyncio.ensure_future(receive())  # after a whole body, the next that a server has to say
    try:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async for part in answer.parts:
            if gone.done():
                raise ClientGone
            async with asyncio.timeout(STALL_SECONDS):
                await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        gone.cancel()


def too_large(max_bytes: int) -> RequestFault:
    """The refusal of a body beyond the limit."""
    return RequestFault("body_too_large", f"the body may have at most {max_bytes} bytes", [CLOSE])


def too_slow() -> RequestFault:
    """The refusal of a body that did not come in time."""
    return RequestFault("body_too_slow", f"the body did not come within {BODY_SECONDS} s", [CLOSE])
