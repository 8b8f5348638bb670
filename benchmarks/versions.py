"""What it costs to mirror versions to the embedded MLflow: milliseconds a call and megabytes a process.

Run `python -m benchmarks.versions [--json] [--versions N]`. Processor time stands beside wall time, for the calls are
made behind serving, on a machine that is doing other work.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil

from contracts.labels import Column
from contracts.versions import Artifact, Decision, EventRange, Lineage, ModelDocument, ProbeReport, pin
from lifelong.settings import DEFAULT_STRATEGIES
from registry.store import Registry

WEIGHTS_BYTES = 4 * (784 * 400 + 400 + 400 * 400 + 400 + 400 * 10 + 10)
KEPT = 20


def version(number: int) -> Artifact:
    """A version of the size of the MNIST network 784-400-400-10, after five tasks."""
    weights = os.urandom(WEIGHTS_BYTES)
    tasks = [f"task-{index}" for index in range(5)]
    model = ModelDocument(
        model="digits",
        version=number,
        input={"kind": "tensor", "shape": [784]},
        labels={"scenario": "class"},
        columns=[Column(str(digit)) for digit in range(10)],
        network={"kind": "mlp", "hidden": [400, 400]},
        seed=0,
    )
    decision = Decision(verdict="promote", reasons=["measured"])
    probes = ProbeReport(tasks=tasks, rows=[200] * 5, accuracy=[0.9] * 5, decision=decision)
    lineage = Lineage(
        version=number,
        parent=number - 1 or None,
        created_at="2026-01-01T00:00:00.000+00:00",
        round=number,
        events=EventRange(first_sequence=1, last_sequence=128, count=128, sha256="0" * 64),
        processed_through=128,
        strategies=DEFAULT_STRATEGIES,
        seed=0,
        threads=1,
        code_version="0.1.0",
        sha256=pin(weights, model, probes),
    )
    return Artifact(weights, model, lineage, probes)


def measure(versions: int) -> dict[str, dict[str, float]]:
    """Median and 95th percentile of wall time, and median processor time, of each call in milliseconds."""
    timings: dict[str, list[tuple[float, float]]] = {}

    def timed(name: str, call: Callable[[], object]) -> None:
        wall, processor = time.perf_counter(), time.process_time()
        call()
        taken = (1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - processor))
        timings.setdefault(name, []).append(taken)

    with tempfile.TemporaryDirectory() as directory:
        before = psutil.Process().memory_info().rss
        started = time.perf_counter()
        registry = Registry("digits", None, Path(directory))
        opened = {"seconds": time.perf_counter() - started}
        for number in range(1, versions + 1):
            artifact = version(number)
            timed("register", partial(registry.register, artifact))
            timed("point", partial(registry.point, number, number - 1 or None, None, number))
            timed("champion", registry.champion)
            timed("read", partial(registry.read, number))
            if number % KEPT == 0:
                timed("prune", partial(registry.prune, range(number - KEPT, number + 1)))
        added = {"megabytes": (psutil.Process().memory_info().rss - before) / 1e6}
    return {"open": opened, "memory": added} | {name: _summary(values) for name, values in timings.items()}


def _summary(values: list[tuple[float, float]]) -> dict[str, float]:
    walls = sorted(wall for wall, _ in values)
    return {
        "p50_ms": statistics.median(walls),
        "p95_ms": walls[int(0.95 * (len(walls) - 1))],
        "processor_ms": statistics.median(processor for _, processor in values),
    }


def main() -> None:
    """Measures and writes a table, or with `--json` one document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--versions", type=int, default=100)
    options = parser.parse_args()
    measured = measure(options.versions)
    if options.json:
        sys.stdout.write(json.dumps(measured) + "\n")
        return
    sys.stdout.write("| | value |\n|---|---|\n")
    for name, values in measured.items():
        facts = " · ".join(f"{value:.1f} {unit}" for unit, value in values.items())
        sys.stdout.write(f"| {name} | {facts} |\n")


if __name__ == "__main__":
    main()
