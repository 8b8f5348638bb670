"""S-MNIST, class-incremental, of Buzzega et al., *Dark Experience for General Continual Learning* (2020)."""

from functools import cache
from typing import Any

from contracts.labels import Scenario
from lifelong.bench.sources import images
from lifelong.bench.stream import Arrays, Stream, split
from lifelong.bench.study import Method, Protocol, plain_learner
from lifelong.bench.table import Entry, Table, Target
from lifelong.data import mnist
from networks.settings import MlpSpec

BAND = 3.0
"""Percentage points; how far the published runs lie apart is not known to us."""


@cache
def _data() -> Arrays:
    return images(mnist())


def _stream(scenario: Scenario, seed: int) -> Stream:  # noqa: ARG001 - the order of tasks is the same for every seed
    return split(_data(), 2, scenario)


def _entry(name: str, target: float, rate: float, strategy: dict[str, Any]) -> Entry:
    method = Method(name, [strategy], learner={"learning_rate": rate})
    return Entry(name, {"class": method}, {"class": Target(target, BAND)})


def _replay(capacity: int) -> dict[str, Any]:
    return {"kind": "replay", "capacity": capacity, "rows": 10, "selection": "reservoir"}


def _der(capacity: int, rows: int, alpha: float, beta: float) -> dict[str, Any]:
    return {"kind": "der", "capacity": capacity, "rows": rows, "alpha": alpha, "beta": beta}


TABLE = Table(
    name="derpp",
    source="Buzzega et al.: Dark Experience for General Continual Learning (2020), S-MNIST, class-incremental",
    note="[M] targets are unverified: quoted from memory of the paper, not read in it; the bands are ours. Rates and "
    "strengths are those of the authors' program, Mammoth, for buffers of 200, 500 and 5,120 examples.",
    protocols={
        "class": Protocol(MlpSpec(hidden=[100, 100]), plain_learner(batch_size=10, optimiser="sgd"), all_columns=True),
    },
    stream=_stream,
    entries=[
        _entry("ER 200", 80.43, 0.01, _replay(200)),
        _entry("ER 500", 86.12, 0.1, _replay(500)),
        _entry("ER 5120", 93.40, 0.1, _replay(5120)),
        _entry("DER++ 200", 85.61, 0.03, _der(200, rows=128, alpha=0.2, beta=1.0)),
        _entry("DER++ 500", 91.00, 0.03, _der(500, rows=10, alpha=1.0, beta=0.5)),
        _entry("DER++ 5120", 95.30, 0.1, _der(5120, rows=64, alpha=0.2, beta=0.5)),
    ],
    seeds=5,
)
