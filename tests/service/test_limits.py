"""Clients that dawdle: they get no answer of their own and spoil nobody else's."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.settings import ServingSettings
from tests.service.inprocess import JSON, InProcessService, Reply, call
from tests.service.versions import artifact

pytestmark = pytest.mark.unit
PREDICT = "/v1/models/pets/predict"
WHOLE = b'{"instances":[[1,2,3,4]]}'


@pytest.fixture
def pets(tmp_path: Path) -> Iterator[InProcessService]:
    with InProcessService(tmp_path, settings=ServingSettings(max_in_flight=1)) as service:
        service.promote(artifact(7, weights=b""), 1)
        yield service


async def dawdle(app: Any, first: bytes, sent: asyncio.Event, leave: asyncio.Event) -> Reply:
    """A client that sends the beginning of its body, then nothing until it leaves."""
    messages: list[Any] = []
    scope = {"type": "http", "method": "POST", "path": PREDICT, "query_string": b"", "headers": list(JSON)}
    begun = False

    async def receive() -> dict[str, Any]:
        nonlocal begun
        if first and not begun:
            begun = True
            return {"type": "http.request", "body": first, "more_body": True}
        sent.set()
        await leave.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        messages.append(message)

    await app(scope, receive, send)
    status = messages[0]["status"] if messages else 0
    return Reply(status, {}, b"".join(message.get("body", b"") for message in messages[1:]))


def test_a_slow_body_takes_nobodys_place(pets: InProcessService) -> None:
    async def scenario() -> tuple[list[Reply], list[Reply]]:
        leave, begun = asyncio.Event(), [asyncio.Event() for _ in range(5)]
        slow = [asyncio.create_task(dawdle(pets.app, b"{", one, leave)) for one in begun]
        await asyncio.gather(*(one.wait() for one in begun))
        prompt = [await call(pets.app, "POST", PREDICT, [WHOLE], JSON) for _ in range(3)]
        leave.set()
        return prompt, list(await asyncio.gather(*slow))

    prompt, slow = pets.run(scenario())
    assert [reply.status for reply in prompt] == [200] * 3
    assert [reply.status for reply in slow] == [0] * 5


def test_a_body_that_never_ends_is_refused_in_time(pets: InProcessService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.limits.BODY_SECONDS", 0.02)
    for first in (b"{", b""):
        reply = pets.run(dawdle(pets.app, first, asyncio.Event(), asyncio.Event()))
        assert (reply.status, reply.document["error"]) == (408, "body_too_slow")


def test_memory_for_bodies_on_their_way_is_bounded(pets: InProcessService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.limits.MAX_HELD_BYTES", 1000)

    async def scenario() -> tuple[Reply, Reply, Reply]:
        leave, begun = asyncio.Event(), asyncio.Event()
        first = asyncio.create_task(dawdle(pets.app, b" " * 900, begun, leave))
        await begun.wait()
        second = await dawdle(pets.app, b" " * 200, asyncio.Event(), leave)
        leave.set()
        await first
        left, gone = asyncio.Event(), asyncio.Event()
        gone.set()
        return (
            second,
            await dawdle(pets.app, b" " * 900, left, gone),
            await call(pets.app, "POST", PREDICT, [WHOLE], JSON),
        )

    refused, taken, whole = pets.run(scenario())
    assert (refused.status, refused.document["error"]) == (429, "overloaded")
    assert (taken.status, whole.status) == (0, 200)


def test_requests_beyond_the_limit_are_told_to_come_again(pets: InProcessService) -> None:
    async def scenario() -> list[Reply]:
        return list(await asyncio.gather(*(call(pets.app, "POST", PREDICT, [WHOLE], JSON) for _ in range(4))))

    replies = pets.run(scenario())
    assert sorted(reply.status for reply in replies) == [200, 429, 429, 429]
    assert all(reply.headers["retry-after"].isdigit() for reply in replies if reply.status == 429)


def test_a_client_that_leaves_ends_its_stream(pets: InProcessService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.lines.LINES_AT_A_TIME", 1)
    scope = {"type": "http", "method": "POST", "path": PREDICT, "query_string": b""}
    scope["headers"] = [(b"content-type", b"application/x-ndjson")]
    messages: list[Any] = [{"type": "http.request", "body": b"[1,2,3,4]\n" * 100, "more_body": False}]
    messages.append({"type": "http.disconnect"})
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    pets.run(pets.app(scope, receive, send))
    assert len(sent) < 10
    assert pets.predict({"instances": [[1, 2, 3, 4]]}).status == 200


def test_a_reader_that_stops_reading_ends_its_stream(pets: InProcessService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.limits.STALL_SECONDS", 0.02)
    scope = {"type": "http", "method": "POST", "path": PREDICT, "query_string": b""}
    scope["headers"] = [(b"content-type", b"application/x-ndjson")]

    messages: list[Any] = [{"type": "http.request", "body": b"[1,2,3,4]\n", "more_body": False}]

    async def receive() -> Any:
        if not messages:
            await asyncio.Event().wait()
        return messages.pop(0)

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    pets.run(pets.app(scope, receive, send))
    assert pets.predict({"instances": [[1, 2, 3, 4]]}).status == 200
