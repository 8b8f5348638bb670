"""Split MNIST of Hsu et al., *Re-evaluating Continual Learning Scenarios* (2018), as its authors' program runs it."""

from functools import cache, partial
from typing import Any

import torch
from torch.nn.functional import pad

from contracts.inputs import TensorInput
from contracts.labels import Scenario
from lifelong.bench.stream import Arrays, Stream, split
from lifelong.bench.study import Protocol, plain_learner
from lifelong.bench.table import SCENARIOS, Entry, Table, Target, published
from lifelong.data import Images, mnist
from networks.settings import MlpSpec

MEAN, SPREAD = 0.1000, 0.2752
BORDER = 2
ALL_ROWS = 60_000
BANDS = 3
"""Standard deviations of the published runs."""


@cache
def _data() -> Arrays:
    """MNIST padded to 32×32 pixels and normalised."""
    data = mnist()
    return Arrays(
        "MNIST",
        TensorInput(shape=(32, 32)),
        [str(digit) for digit in range(10)],
        _prepared(data.train_images),
        data.train_labels,
        _prepared(data.test_images),
        data.test_labels,
    )


def _prepared(images: Images) -> torch.Tensor:
    padded = pad(torch.from_numpy(images), (BORDER, BORDER, BORDER, BORDER))
    return padded.float().div_(255).sub_(MEAN).div_(SPREAD)


def _stream(scenario: Scenario, seed: int) -> Stream:  # noqa: ARG001 - the order of tasks is the same for every seed
    return split(_data(), 2, scenario)


def _target(mean: float, deviation: float) -> Target:
    return Target(mean, BANDS * deviation)


_entry = partial(published, target=_target)


def _rehearsal(name: str, targets: str, capacity: int, new: int) -> Entry:
    """Rehearsal; of a batch of 128 rows `new` are new, as many as when old and new rows are shuffled together."""
    replay = {"kind": "replay", "capacity": capacity, "rows": 128 - new, "selection": "reservoir", "scope": "past"}
    return _entry(name, targets, replay, learner={"batch_size": new})


def _gem(capacity: int) -> dict[str, Any]:
    return {"kind": "gem", "capacity": capacity, "margin": 0.5}


SGD: dict[str, Any] = {"optimiser": "sgd", "learning_rate": 0.01}
FISHER: dict[str, Any] = {"fisher": "predicted", "fisher_rows": ALL_ROWS}
LATEST = {"anchors": "latest"}
BATCHES: dict[str, Any] = {"rows": 128, "outputs": "mean", "importance_rows": ALL_ROWS}
SIGNED = {"gradient": "loss", "importance": "signed"}
TABLE = Table(
    name="hsu",
    source="Hsu, Liu, Ramasamy, Kira: Re-evaluating Continual Learning Scenarios (2018), Split MNIST, 10 runs",
    note="published mean ± standard deviation; a rerun agrees within three of these. Their penalties have no ½, so "
    "their coefficients appear here doubled.",
    protocols={scenario: Protocol(MlpSpec(hidden=[400, 400]), plain_learner(), epochs=4) for scenario in SCENARIOS},
    stream=_stream,
    entries=[
        _entry("Adam", "93.46±2.01 55.16±1.38 19.71±0.08"),
        _entry("SGD", "97.98±0.09 63.20±0.35 19.46±0.04", learner=SGD),
        _entry("Adagrad", "98.06±0.53 58.08±1.06 19.82±0.09", learner={"optimiser": "adagrad", "learning_rate": 0.01}),
        _entry(
            "L2",
            "98.18±0.96 66.00±3.73 22.52±1.08",
            {"kind": "l2", "strength": [0.02, 1.0, 200.0], **LATEST},
            reserves_columns=True,  # the penalty holds outputs back that no row has trained yet
        ),
        _rehearsal("Naive rehearsal", "99.40±0.08 95.16±0.49 90.78±0.85", 1100, new=64),
        _rehearsal("Naive rehearsal-C", "99.57±0.07 97.11±0.34 95.59±0.49", 4400, new=74),
        _entry("MAS", "99.22±0.21 68.57±6.85 19.52±0.29", {"kind": "mas", "strength": [2.0, 20_000.0, 2.0], **BATCHES}),
        _entry(
            "EWC", "97.70±0.81 58.85±2.59 19.80±0.05", {"kind": "ewc", "strength": [200.0, 200.0, 1200.0], **FISHER}
        ),
        _entry(
            "Online EWC",
            "98.04±1.10 57.33±1.44 19.77±0.04",
            {"kind": "ewc", "mode": "online", "strength": [800.0, 1400.0, 200.0], **FISHER},
        ),
        _entry("SI", "98.56±0.49 64.76±3.09 19.67±0.09", {"kind": "si", "strength": [600.0, 6000.0, 1200.0], **SIGNED}),
        _entry("GEM", "98.42±0.10 96.16±0.35 92.20±0.12", _gem(4400), learner=SGD),
        _entry("Offline", "99.52±0.16 98.59±0.15 97.53±0.30", is_joint=True),
    ],
    seeds=5,
)
