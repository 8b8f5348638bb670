"""Permuted MNIST of van de Ven and Tolias (2018), with the strengths of the program of that time."""

from dataclasses import replace
from functools import cache, partial

from torch.nn.functional import pad

from contracts.inputs import ImageInput
from contracts.labels import Scenario
from lifelong.bench.sources import images
from lifelong.bench.stream import Arrays, Stream, permuted
from lifelong.bench.study import Protocol, plain_learner
from lifelong.bench.table import SCENARIOS, Table, published
from lifelong.bench.tables.vandeven import FISHER, standard_errors
from lifelong.data import mnist
from networks.settings import MlpSpec

TASKS = 10
BORDER = (2, 2, 2, 2)


@cache
def _data() -> Arrays:
    """MNIST padded to 32×32 pixels."""
    data = images(mnist())
    return replace(
        data,
        spec=ImageInput(shape=(32, 32)),
        train_inputs=pad(data.train_inputs, BORDER),
        test_inputs=pad(data.test_inputs, BORDER),
    )


def _stream(scenario: Scenario, seed: int) -> Stream:
    return permuted(_data(), TASKS, scenario, seed)


_entry = partial(published, target=standard_errors)
TABLE = Table(
    name="vandeven_permuted",
    source="van de Ven, Tolias: Generative replay with feedback connections (2018), permuted MNIST, 20 runs",
    note="published mean ± standard error; a rerun agrees within four of these, for as many runs as ours. A run has "
    "50,000 steps of 128 rows and takes a quarter of an hour or more on one core.",
    protocols={
        scenario: Protocol(MlpSpec(hidden=[1000, 1000]), plain_learner(learning_rate=1e-4), iterations=5000)
        for scenario in SCENARIOS
    },
    stream=_stream,
    entries=[
        _entry("None", "81.79±0.48 78.51±0.24 17.26±0.19"),
        _entry("EWC", "94.74±0.05 94.31±0.11 25.04±0.50", {"kind": "ewc", "strength": [500.0, 500.0, 1.0], **FISHER}),
        _entry(
            "SI",
            "94.75±0.14 95.33±0.11 29.31±0.62",
            {"kind": "si", "strength": [10.0, 10.0, 0.2], "gradient": "total", "importance": "signed"},
        ),
        _entry("Offline", "97.68±0.01 97.59±0.01 97.59±0.02", is_cumulative=True),
    ],
    seeds=1,
)
