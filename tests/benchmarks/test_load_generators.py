"""The arithmetic of the benchmarks' own load generators, against servers of a few lines."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from benchmarks.serving.closedloop import Load, flood, parse_wrk
from benchmarks.serving.connection import Answer, Connection
from benchmarks.serving.openloop import OpenLoop
from benchmarks.serving.samples import Samples, pooled, quantile

pytestmark = pytest.mark.unit
REQUEST = b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
REFUSED = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\nRetry-After: 1\r\n\r\n"
REFUSED_FOR_GOOD = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n"


async def serving(answer: Callable[[], Awaitable[bytes]], use: Callable[[int], Awaitable[Samples]]) -> Samples:
    """What `use` saw of a server at the port it is given."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(await answer())
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        samples = await use(server.sockets[0].getsockname()[1])
        await asyncio.sleep(0.05)
        return samples


@pytest.mark.parametrize(("share", "value"), [(0.0, 1), (0.5, 50), (0.55, 55), (0.99, 99), (0.999, 100), (1.0, 100)])
def test_a_quantile_is_the_smallest_value_that_so_many_do_not_exceed(share: float, value: int) -> None:
    assert quantile(range(100, 0, -1), share) == value


def test_a_server_that_stands_still_is_charged_with_every_request_of_that_time() -> None:
    stall = 0.2

    async def use(port: int) -> Samples:
        return await OpenLoop(port, REQUEST).run(rate=100, seconds=0.4)

    async def answer() -> bytes:
        nonlocal started
        started = started or asyncio.get_running_loop().time()
        await asyncio.sleep(started + stall - asyncio.get_running_loop().time())
        return OK

    started = 0.0
    samples = asyncio.run(serving(answer, use))
    assert samples.failures() == {}
    assert len(samples.latencies) == 40
    for number, waited in enumerate(sorted(samples.latencies, reverse=True)[:15]):
        assert waited >= stall - number * 0.01 - 0.005


def test_requests_that_nobody_takes_are_lost() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        samples = asyncio.run(OpenLoop(nobody.getsockname()[1], REQUEST).run(rate=200, seconds=0.1))
    assert samples.failures() == {"lost": 20}
    assert samples.latencies == []


def test_refusals_are_counted_by_status_and_by_whether_they_say_when_to_return() -> None:
    answers = iter([OK, REFUSED, REFUSED_FOR_GOOD] * 10)

    async def use(port: int) -> Samples:
        return await OpenLoop(port, REQUEST).run(rate=200, seconds=0.15)

    async def answer() -> bytes:
        return next(answers)

    samples = asyncio.run(serving(answer, use))
    assert samples.failures() == {"429": 20}
    assert (len(samples.latencies), samples.without_retry_after) == (10, 10)


def test_a_closed_loop_counts_what_it_saw() -> None:
    async def use(port: int) -> Samples:
        return await asyncio.to_thread(flood, port, REQUEST, 3, 0.2)

    async def answer() -> bytes:
        await asyncio.sleep(0.01)
        return OK

    samples = asyncio.run(serving(answer, use))
    assert samples.failures() == {}
    assert 3 <= len(samples.latencies) <= 60
    assert min(samples.latencies) >= 0.009


def test_an_answer_may_arrive_in_any_pieces() -> None:
    seen: list[Answer] = []
    connection = Connection(lambda _, answer: seen.append(answer), lambda _: None)
    for byte in REFUSED + OK:
        connection.data_received(bytes([byte]))
    assert seen == [Answer(429, has_retry_after=True), Answer(200)]


def test_runs_are_pooled_with_all_they_counted() -> None:
    runs = [Samples(seconds=2.0), Samples(seconds=2.0)]
    for run, latency in zip(runs, (0.1, 0.3), strict=True):
        run.add(Answer(200), latency, latency)
    whole = pooled(runs)
    assert (whole.rate, whole.milliseconds(0.5), whole.milliseconds(1.0)) == (0.5, 100.0, 300.0)


def test_what_wrk_prints_is_read_with_its_failures() -> None:
    text = """
      Latency Distribution
         50%  500.00us
         75%    2.00ms
         90%   11.57ms
         99%    1.20s
      10 requests in 2.00s, 1.00MB read
      Socket errors: connect 0, read 1, write 0, timeout 2
      Non-2xx or 3xx responses: 4
    Requests/sec:   1322.89
    """
    assert parse_wrk(text) == Load(1322.89, 0.5, 1200.0, 7)
