"""Split MNIST of van de Ven and Tolias, *Generative replay with feedback connections* (2018), as their program does."""

from functools import cache, partial
from typing import Any

import numpy as np

from contracts.labels import Scenario
from lifelong.bench.sources import images
from lifelong.bench.stream import Arrays, Stream, split
from lifelong.bench.study import Protocol, plain_learner
from lifelong.bench.table import SCENARIOS, Table, Target, published
from lifelong.data import mnist
from networks.settings import MlpSpec

PUBLISHED_RUNS = 20
BANDS = 4
"""Standard errors of the published mean, of runs as many as ours."""


@cache
def _data() -> Arrays:
    return images(mnist())


def _stream(scenario: Scenario, seed: int) -> Stream:
    order = np.random.default_rng(seed).permutation(10) if seed else np.arange(10)
    return split(_data(), 2, scenario, order.tolist())


def standard_errors(mean: float, error: float) -> Target:
    """A published mean with its standard error, both in per cent."""
    return Target(mean, BANDS * error, PUBLISHED_RUNS)


_entry = partial(published, target=standard_errors)
FISHER: dict[str, Any] = {"fisher": "predicted", "fisher_rows": 60_000}
TABLE = Table(
    name="vandeven",
    source="van de Ven, Tolias: Generative replay with feedback connections (2018), Split MNIST, 20 runs",
    note="published mean ± standard error; a rerun agrees within four of these, for as many runs as ours. iCaRL: Three "
    "scenarios for continual learning (2019).",
    protocols={
        scenario: Protocol(MlpSpec(hidden=[400, 400]), plain_learner(), iterations=2000) for scenario in SCENARIOS
    },
    stream=_stream,
    entries=[
        _entry("None", "85.15±1.00 57.33±1.66 19.90±0.02"),
        _entry("EWC", "85.48±1.20 57.80±1.61 19.90±0.02", {"kind": "ewc", "strength": [1e7, 1e6, 1e8], **FISHER}),
        _entry(
            "Online EWC",
            "85.22±1.06 57.60±1.66 19.90±0.02",
            {"kind": "ewc", "mode": "online", "strength": [8e7, 7e7, 8e8], "decay": [0.8, 0.7, 0.8], **FISHER},
        ),
        _entry(
            "SI",
            "99.14±0.11 63.77±1.18 20.04±0.08",
            {"kind": "si", "strength": [100.0, 1000.0, 1.0], "gradient": "total", "importance": "signed"},
        ),
        _entry("LwF", "99.60±0.03 71.02±1.26 24.17±0.51", {"kind": "lwf", "weighting": "tasks", "new_columns": True}),
        _entry("DGR", "99.47±0.03 95.74±0.23 91.24±0.33", {"kind": "generative"}),
        _entry("DGR+distill", "99.59±0.03 96.94±0.14 91.84±0.27", {"kind": "generative", "distill": True}),
        _entry("iCaRL", "- - 94.57±0.11", {"kind": "icarl", "capacity": 2000}),
        _entry("Offline", "99.64±0.03 98.41±0.06 97.93±0.04", is_cumulative=True),
    ],
    seeds=5,
)
