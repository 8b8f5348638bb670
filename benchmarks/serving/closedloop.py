"""Closed loops: every connection sends its next request as soon as the one before was answered."""

import asyncio
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from benchmarks.serving.connection import LOST, Answer, Connection
from benchmarks.serving.samples import Samples
from benchmarks.serving.wire import Request

RECONNECT_SECONDS = 0.1
MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


class Load(NamedTuple):
    """What one client saw: requests per second, latencies in milliseconds, requests not answered with 200."""

    rate: float
    p50_ms: float
    p99_ms: float
    failures: int


def load(port: int, request: Request, connections: int, seconds: float) -> Load:
    """Sends requests as fast as they are answered, with wrk where it is installed, else with our own client."""
    if shutil.which("wrk"):
        return _load_by_wrk(port, request, connections, seconds)
    samples = flood(port, request.encoded(), connections, seconds)
    failed = sum(samples.failures().values())
    return Load(samples.rate, samples.milliseconds(0.5), samples.milliseconds(0.99), failed)


def client_name() -> str:
    """What sends the requests of a closed loop."""
    if not shutil.which("wrk"):
        return "asyncio"
    # It prints its version together with its usage, and calls that a failure.
    text = subprocess.run(["wrk", "--version"], check=False, capture_output=True, text=True).stdout
    return " ".join(text.split()[:2])


def _load_by_wrk(port: int, request: Request, connections: int, seconds: float) -> Load:
    with tempfile.TemporaryDirectory() as directory:
        body, script = Path(directory, "body"), Path(directory, "request.lua")
        body.write_bytes(request.body)
        headers = "".join(f"wrk.headers['{name}'] = '{value}'\n" for name, value in request.headers.items())
        script.write_text(f"wrk.method = 'POST'\n{headers}wrk.body = io.open('{body}', 'rb'):read('*a')\n")
        command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--latency", "-s", str(script)]
        url = f"http://127.0.0.1:{port}{request.path}"
        text = subprocess.run([*command, url], check=True, capture_output=True, text=True).stdout
    return parse_wrk(text)


def parse_wrk(text: str) -> Load:
    """What wrk printed; raises SystemExit when it is something else."""
    rate = float(_found(r"Requests/sec:\s+([\d.]+)", text)[0])
    p50, p99 = (_found(rf"\s{share}%\s+([\d.]+)(us|ms|s)", text) for share in (50, 99))
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    failures = (int(failed[1]) if failed else 0) + sum(map(int, errors.groups() if errors else ()))
    p50_ms, p99_ms = (float(value) * MILLISECONDS[unit] for value, unit in (p50, p99))
    return Load(rate, p50_ms, p99_ms, failures)


def _found(pattern: str, text: str) -> Sequence[str]:
    found = re.search(pattern, text)
    if found is None:
        raise SystemExit(f"wrk said:\n{text}")
    return found.groups()


def flood(port: int, request: bytes, connections: int, seconds: float) -> Samples:
    """Our own client, which counts every status; a connection that is lost is opened anew at once."""
    return asyncio.run(_Flood(port, request, time.monotonic() + seconds).run(connections))


class _Flood:
    def __init__(self, port: int, request: bytes, deadline: float) -> None:
        self._port = port
        self._request = request
        self._deadline = deadline
        self._samples = Samples()

    async def run(self, connections: int) -> Samples:
        started = time.monotonic()
        await asyncio.gather(*(self._keep_connected() for _ in range(connections)))
        self._samples.seconds = time.monotonic() - started
        return self._samples

    async def _keep_connected(self) -> None:
        while (left := self._deadline - time.monotonic()) > 0:
            await self._connect(left)

    async def _connect(self, seconds: float) -> None:
        ended = asyncio.Event()
        connection = Connection(self._answered, lambda _: ended.set())
        try:
            await asyncio.get_running_loop().create_connection(lambda: connection, "127.0.0.1", self._port)
        except OSError:
            self._samples.add(Answer(LOST), 0.0, 0.0)
            await asyncio.sleep(RECONNECT_SECONDS)
            return
        self._send(connection)
        with suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), seconds)
        connection.close()

    def _send(self, connection: Connection) -> None:
        connection.sent_for = time.monotonic()
        connection.send(self._request)

    def _answered(self, connection: Connection, answer: Answer) -> None:
        now = time.monotonic()
        if now < self._deadline:
            self._samples.add(answer, now - connection.sent_for, now - connection.sent_at)
            if answer.status != LOST:
                self._send(connection)
