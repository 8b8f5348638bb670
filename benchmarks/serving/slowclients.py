"""Clients that send one byte a second: of a request's head, or of its body after a whole head."""

import asyncio
import contextlib
from typing import Literal

Part = Literal["head", "body"]
CONNECT_AT_ONCE = 50


def trickle(port: int, request: bytes, part: Part, count: int, seconds: float) -> int:
    """Keeps so many of them connected; returns how many had been cut off at the end."""
    return asyncio.run(_trickle(port, request, part, count, seconds))


async def _trickle(port: int, request: bytes, part: Part, count: int, seconds: float) -> int:
    head_bytes = request.index(b"\r\n\r\n") + 4
    begun = 1 if part == "head" else head_bytes
    gate = asyncio.Semaphore(CONNECT_AT_ONCE)
    clients = (_one(port, request[:begun], request[begun:], gate, seconds) for _ in range(count))
    return sum(await asyncio.gather(*clients))


async def _one(port: int, begun: bytes, rest: bytes, gate: asyncio.Semaphore, seconds: float) -> bool:
    """Whether the server ended the connection, or answered before it had the whole request."""
    deadline = asyncio.get_running_loop().time() + seconds
    async with gate:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(begun)
    answered = asyncio.ensure_future(reader.read(1))
    for byte in rest:
        if asyncio.get_running_loop().time() >= deadline or answered.done():
            break
        writer.write(bytes([byte]))
        await asyncio.wait([answered], timeout=1.0)
    is_cut = answered.done()
    answered.cancel()
    with contextlib.suppress(asyncio.CancelledError, OSError):
        await answered
    writer.transport.abort()
    return is_cut
