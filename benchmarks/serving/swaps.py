"""The price of a swap: the whole service under a steady open loop, without swaps and with one every second, in turns.

    python -m benchmarks.serving.swaps [--json | --markdown] [--seconds S] [--rounds N] [--rate R]

A swap is the hub's announcement of another version of the same network, as a trainer makes it, until the replica
serves that. Both kinds of phases alternate in one run and each kind is told as a whole, so that a slow minute of the
machine meets both. Targets: p99 with swaps at most 1.2 times that without, and every request answered with 200.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import ExitStack, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from benchmarks.serving.catalogue import SERVERS, versions
from benchmarks.serving.comparison import Latencies, latencies
from benchmarks.serving.generator import generators
from benchmarks.serving.openloop import send_at_rate
from benchmarks.serving.own import deployed
from benchmarks.serving.report import AsJson, AsMarkdown, Rows, conditions, emit, failures, milliseconds
from benchmarks.serving.samples import Samples
from benchmarks.serving.version import artifact
from service.environment import free_port

REQUEST = SERVERS["ours"].request
TARGET_RATIO = 1.2
SETTLE_SECONDS = 5.0
WARM_UP_SECONDS = 2.0


@dataclass
class Swaps:
    """Announces version after version, each with weights of its own."""

    announce: Callable[[int, dict[str, bytes]], None]
    port: int
    generation: int = 1
    files: list[dict[str, bytes]] = field(default_factory=list)

    def prepare(self, seconds: float) -> None:
        """Makes what `during` will announce, so that making it takes no time from what is measured."""
        self.files = [artifact(self.generation + number).files() for number in range(1, int(seconds) + 1)]

    def during(self, seconds: float) -> int:
        """One swap in the middle of every second; returns how many."""
        started = time.monotonic()
        for number, files in enumerate(self.files[: int(seconds)]):
            self.generation += 1
            time.sleep(max(0.0, started + number + 0.5 - time.monotonic()))
            self.announce(self.generation, files)
        return int(seconds)

    def settle(self) -> None:
        """Waits until the last one is served; raises SystemExit when it never is."""
        deadline = time.monotonic() + SETTLE_SECONDS
        with httpx.Client(trust_env=False) as client:
            while time.monotonic() < deadline:
                url = f"http://127.0.0.1:{self.port}{REQUEST.path}"
                answer = client.post(url, content=REQUEST.body, headers=dict(REQUEST.headers))
                if answer.json()["version"] == self.generation:
                    return
        raise SystemExit(f"version {self.generation} was announced and is not served after {SETTLE_SECONDS:.0f} s")


def measure(generator: Executor, swaps: Swaps, rate: float, seconds: float, rounds: int) -> dict[str, Any]:
    """Alternates both kinds of phases."""
    steady: list[Samples] = []
    swapped: list[Samples] = []
    n_swaps = 0

    def load(seconds: float, meanwhile: Callable[[float], int] = lambda _: 0) -> tuple[Samples, int]:
        sending = generator.submit(send_at_rate, swaps.port, REQUEST.encoded(), rate, seconds)
        done = meanwhile(seconds)
        return sending.result(), done

    load(WARM_UP_SECONDS)
    for _ in range(rounds):
        steady.append(load(seconds)[0])
        swaps.prepare(seconds)
        samples, done = load(seconds, swaps.during)
        swaps.settle()
        swapped.append(samples)
        n_swaps += done
    without, with_swaps = latencies(steady, rate), latencies(swapped, rate)
    return {
        "swaps": n_swaps,
        "without": without._asdict(),
        "with": with_swaps._asdict(),
        "p99_ratio": with_swaps.p99_ms / without.p99_ms,
        "target_p99_ratio": TARGET_RATIO,
    }


def main(
    as_json: AsJson = False,
    as_markdown: AsMarkdown = False,
    seconds: Annotated[float, typer.Option(help="Of one phase.", min=1)] = 10.0,
    rounds: Annotated[int, typer.Option(help="Phases of each kind.", min=1)] = 6,
    rate: Annotated[float, typer.Option(help="Requests a second.", min=1)] = 500.0,
) -> None:
    """Measures and prints the table; exits with 1 if a request failed."""
    port = free_port()
    # Ray prints some errors of its processes on stdout, which is for the table alone.
    with redirect_stdout(sys.stderr), ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="ll-", ignore_cleanup_errors=True))
        generator = stack.enter_context(generators())
        hub = stack.enter_context(deployed(port, Path(directory)))
        found = measure(generator, Swaps(_announcing(hub), port), rate, seconds, rounds)
    found["conditions"] = conditions("benchmarks.serving.swaps", versions([]))
    emit(found, table(found), as_json, as_markdown)
    raise typer.Exit(1 if found["without"]["failures"] or found["with"]["failures"] else 0)


def _announcing(hub: Any) -> Callable[[int, dict[str, bytes]], None]:
    import ray

    return lambda generation, files: ray.get(hub.announce.remote(generation, files))


def table(found: dict[str, Any]) -> Rows:
    """Both kinds of phases, and the ratio of their p99."""
    heads = ["load", "requests/s", "p50 ms", "p99 ms", "p99.9 ms", "p99 ratio", "not 200"]
    ratio = f"{found['p99_ratio']:.2f}× (target ≤ {found['target_p99_ratio']})"
    with_swaps = f"{found['swaps']} swaps, one a second"
    rows = [
        _row("without swaps", Latencies(**found["without"]), ""),
        _row(with_swaps, Latencies(**found["with"]), ratio),
    ]
    return Rows("Swaps under a steady open loop", heads, rows)


def _row(kind: str, found: Latencies, ratio: str) -> list[str]:
    quantiles = [milliseconds(value) for value in (found.p50_ms, found.p99_ms, found.p999_ms)]
    return [kind, f"{found.asked:,.0f}", *quantiles, ratio, failures(found.failures)]


if __name__ == "__main__":
    typer.run(main)
