"""What a request must look like before any of its content is read: its type, its encoding, its size."""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from service.errors import Answer, ClientGone, RequestFault, Streamed

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON_TYPES = frozenset({b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8"})
IGNORED_IN_TYPES = b' "'


def check_headers(headers: Iterable[tuple[bytes, bytes]], max_bytes: int, is_json: bool = True) -> None:
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


async def read_body(scope: Scope, receive: Receive, max_bytes: int, is_json: bool = True) -> bytes:
    """The whole body of a request, never more than `max_bytes`.

    Raises:
        RequestFault: as `check_headers`; `body_too_large` also for a chunked body that grows beyond the limit.
        ClientGone: the client disconnected before the body was whole.
    """
    check_headers(scope["headers"], max_bytes, is_json)
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        body: bytes = message.get("body", b"")
        if len(body) > max_bytes:
            raise too_large(max_bytes)
        return body
    return await _read_rest(message, receive, max_bytes)


async def _read_rest(message: Message, receive: Receive, max_bytes: int) -> bytes:
    """The body of which `message` is the first part.

    A client reads an answer only when it has sent its body; so as much again as is allowed is read and dropped before
    a refusal.
    """
    parts: list[bytes] = []
    size = 0
    while True:
        if message["type"] != "http.request":
            raise ClientGone
        part = message.get("body", b"")
        size += len(part)
        if size <= max_bytes:
            parts.append(part)
        if size > 2 * max_bytes or not message.get("more_body", False):
            break
        message = await receive()
    if size > max_bytes:
        raise too_large(max_bytes)
    return b"".join(parts)


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


async def send_stream(send: Send, answer: Streamed) -> None:
    """Sends a stream; it waits whenever the client does not read."""
    headers = [(b"content-type", answer.content_type), (b"x-accel-buffering", b"no")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    async for part in answer.parts:
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def too_large(max_bytes: int) -> RequestFault:
    """The refusal of a body beyond the limit."""
    return RequestFault("body_too_large", f"the body may have at most {max_bytes} bytes", [(b"connection", b"close")])
