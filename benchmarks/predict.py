"""Requests per second and median latency of predict, beside other ways to serve the same network, in one run.

`python benchmarks/predict.py [--json] [--seconds S] [--rounds N] [--servers ours,bare,documented,fastapi]`

All servers are up at once and are measured in turn, round by round, so that a slow minute of the machine meets all of
them alike; the medians over rounds are compared. The client is wrk where it is installed, else one of our own.
"""

import asyncio
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, NamedTuple

import httpx
import typer
from rich.console import Console
from rich.table import Table

from service.environment import free_port

HERE = Path(__file__).parent
PATH = "/v1/models/mnist/predict"
START_SECONDS = 240.0
STOP_SECONDS = 60.0
CONNECTIONS = 16
WARM_UP_SECONDS = 2.0
NUMBERS = random.Random(0)
BODY = json.dumps({"instances": [[round(NUMBERS.random(), 3) for _ in range(784)]]})
MEANING = {
    "ours": "lifelong: Ray Serve, HAProxy, answered before Serve's accounting",
    "bare": "the same predict code on bare uvicorn",
    "documented": "Ray Serve as documented: FastAPI ingress, Python proxy",
    "fastapi": "FastAPI on uvicorn",
}


class Load(NamedTuple):
    """What one client saw: requests per second, median latency in milliseconds, answers other than 200."""

    rate: float
    median_ms: float
    failures: int


class Result(NamedTuple):
    """One server's medians over the rounds: at 16 connections, and the latency at one."""

    rate: float
    median_ms: float
    single_median_ms: float
    failures: int


def main(
    seconds: Annotated[float, typer.Option(help="of one measurement")] = 4.0,
    rounds: Annotated[int, typer.Option(help="measurements of each server")] = 5,
    servers: Annotated[str, typer.Option(help="which, separated by commas")] = "ours,bare,documented,fastapi",
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document on standard output")] = False,
) -> None:
    """Compares predict requests of 784 numbers in JSON."""
    with ExitStack() as stack:
        ports = {name: stack.enter_context(running(name)) for name in servers.split(",")}
        results = measure(ports, seconds, rounds)
    if as_json:
        sys.stdout.write(json.dumps({name: result._asdict() for name, result in results.items()}) + "\n")
    else:
        Console(width=130).print(table(results))


def measure(ports: dict[str, int], seconds: float, rounds: int) -> dict[str, Result]:
    """What every server did in its turns."""
    many: dict[str, list[Load]] = {name: [] for name in ports}
    single: dict[str, list[Load]] = {name: [] for name in ports}
    for port in ports.values():
        load(port, CONNECTIONS, WARM_UP_SECONDS)
    for _ in range(rounds):
        for name, port in ports.items():
            many[name].append(load(port, CONNECTIONS, seconds))
            single[name].append(load(port, 1, seconds / 2))
    results = {name: median(many[name], single[name]) for name in ports}
    failed = [name for name, result in results.items() if result.failures]
    if failed:
        raise SystemExit(f"not every request was answered with 200 by: {', '.join(failed)}")
    return results


def median(many: Sequence[Load], single: Sequence[Load]) -> Result:
    """The medians of one server over its measurements."""
    return Result(
        statistics.median(one.rate for one in many),
        statistics.median(one.median_ms for one in many),
        statistics.median(one.median_ms for one in single),
        sum(one.failures for one in [*many, *single]),
    )


def table(results: dict[str, Result]) -> Table:
    """The results as people read them, each beside ours."""
    made = Table(title=f"predict, JSON, 784 numbers, {os.cpu_count()} cores, client {client_name()}")
    for head in ("server", f"requests/s, {CONNECTIONS} connections", "p50 ms", "p50 ms, 1 connection", "ours is"):
        made.add_column(head, justify="left" if head == "server" else "right")
    mine = results.get("ours")
    for name, result in results.items():
        ratio = f"{mine.rate / result.rate:.2f}×" if mine else ""
        rate, single = f"{result.rate:,.0f}", f"{result.single_median_ms:.2f}"
        made.add_row(MEANING[name], rate, f"{result.median_ms:.2f}", single, ratio)
    return made


@contextmanager
def running(name: str) -> Iterator[int]:
    """A server in a process of its own, ready; yields its port."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="ll-", ignore_cleanup_errors=True) as directory:
        log = (Path(directory) / "log").open("w+")
        arguments = [sys.executable, str(HERE / "predict_servers.py"), name, str(port), directory]
        process = subprocess.Popen(arguments, stdout=log, stderr=log)
        try:
            if not is_answering(process, port):
                log.seek(0)
                raise SystemExit(f"{name} did not answer:\n{log.read()[-4000:]}")
            yield port
        finally:
            process.terminate()
            process.wait(STOP_SECONDS)
            log.close()


def is_answering(process: subprocess.Popen[bytes], port: int) -> bool:
    """Waits until a prediction is answered; false when the process ended or is too slow."""
    deadline = time.monotonic() + START_SECONDS
    headers = {"content-type": "application/json"}
    while time.monotonic() < deadline and process.poll() is None:
        try:
            url = f"http://127.0.0.1:{port}{PATH}"
            if httpx.post(url, content=BODY, headers=headers, trust_env=False).status_code == httpx.codes.OK:
                return True
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    return False


def load(port: int, connections: int, seconds: float) -> Load:
    """Sends requests as fast as they are answered."""
    if shutil.which("wrk"):
        return _load_by_wrk(port, connections, seconds)
    return asyncio.run(_load_by_own_client(port, connections, seconds))


def client_name() -> str:
    """What sends the requests."""
    return "wrk" if shutil.which("wrk") else "asyncio"


def _load_by_wrk(port: int, connections: int, seconds: float) -> Load:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(
            f"wrk.method = 'POST'\nwrk.headers['Content-Type'] = 'application/json'\nwrk.body = [=[{BODY}]=]\n"
        )
        script.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "--latency", "-s", script.name]
        text = subprocess.run(
            [*command, f"http://127.0.0.1:{port}{PATH}"], check=True, capture_output=True, text=True
        ).stdout
    rate = float(_found(r"Requests/sec:\s+([\d.]+)", text)[0])
    value, unit = _found(r"50%\s+([\d.]+)(us|ms|s)", text)
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    return Load(rate, float(value) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit], int(failed[1]) if failed else 0)


def _found(pattern: str, text: str) -> Sequence[str]:
    found = re.search(pattern, text)
    if found is None:
        raise SystemExit(f"wrk said:\n{text}")
    return found.groups()


async def _load_by_own_client(port: int, connections: int, seconds: float) -> Load:
    latencies: list[float] = []
    failures = [0]
    started = time.perf_counter()
    clients = (_one_connection(port, started + seconds, latencies, failures) for _ in range(connections))
    await asyncio.gather(*clients)
    elapsed = time.perf_counter() - started
    return Load(len(latencies) / elapsed, 1000 * statistics.median(latencies), failures[0])


async def _one_connection(port: int, deadline: float, latencies: list[float], failures: list[int]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(BODY)}\r\n\r\n"
    request = (head + BODY).encode()
    while (started := time.perf_counter()) < deadline:
        writer.write(request)
        answer = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(answer.partition(b"content-length:")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        latencies.append(time.perf_counter() - started)
        failures[0] += not answer.startswith(b"http/1.1 200")
    writer.close()


if __name__ == "__main__":
    typer.run(main)
