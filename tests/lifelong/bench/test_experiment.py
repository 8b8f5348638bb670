"""What an experiment says before its numbers are believed."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from lifelong.bench.experiment import Experiment
from lifelong.bench.methods import parse_method
from lifelong.bench.plan import StreamPlan
from lifelong.bench.sources import Source, open_source
from lifelong.bench.study import Protocol, plain_learner
from networks.settings import MlpSpec

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def digits() -> Source:
    return open_source("digits")


@pytest.mark.parametrize(
    ("plan", "epochs", "notes"),
    [
        (StreamPlan(), 17, []),
        (StreamPlan(tasks=3), 40, ["10 classes in 3 tasks: they have 4, 3, 3"]),
        (StreamPlan(tasks=2, classes_per_task=4), 40, ["2 tasks of 4 classes: 2 of 10 are not learned"]),
        (StreamPlan("permuted", "domain"), 5, []),
    ],
)
def test_what_may_surprise_in_a_plan_is_said(digits: Source, plan: StreamPlan, epochs: int, notes: list[str]) -> None:
    experiment = Experiment(digits, plan, Protocol(MlpSpec(), plain_learner(), epochs))
    assert experiment.notes == notes
    assert experiment.document()["notes"] == notes


@pytest.mark.parametrize(
    ("plan", "epochs", "settings", "said"),
    [
        (
            StreamPlan(),
            1,
            {},
            r"5 of 5 tasks take fewer than 50 steps, the shortest 3: .* --epochs 17, .*batch_size",
        ),
        (StreamPlan(), 2, {"batch_size": 8}, None),
        (StreamPlan(), 1, {"batch_size": 6}, r"5 of 5 tasks .* the shortest 4[0-9]: .* --epochs 2, "),
        (StreamPlan("rotated", "domain"), 4, {}, r"5 of 5 tasks .* the shortest 48: .* --epochs 5, "),
    ],
)
def test_tasks_that_take_too_few_steps_are_said_with_the_options_that_change_it(
    digits: Source, plan: StreamPlan, epochs: int, settings: dict[str, Any], said: str | None
) -> None:
    notes = Experiment(digits, plan, Protocol(MlpSpec(), plain_learner(**settings), epochs)).notes
    assert len(notes) == (said is not None)
    assert re.search(said or "", "".join(notes))


def rare(source: Source, labels: list[int], rows: int) -> Source:
    """The same data with so many of its first rows for each of these labels together."""
    arrays = source.arrays
    few = np.isin(arrays.train_labels, labels)
    kept = torch.from_numpy(~few | (np.cumsum(few) <= rows))
    return Source(replace(arrays, train_inputs=arrays.train_inputs[kept], train_labels=arrays.train_labels[kept]))


@pytest.mark.parametrize(("shuffles", "shortest"), [(False, 8), (True, 6)])
def test_the_steps_that_are_said_are_those_that_are_taken(digits: Source, shuffles: bool, shortest: int) -> None:
    source, protocol = rare(digits, [0, 7, 8], 20), Protocol(MlpSpec(hidden=[4]), plain_learner(), 2)
    experiment = Experiment(source, StreamPlan(tasks=2), protocol, seeds=2, shuffles=shuffles)
    taken = []
    for seed in range(2):
        run = experiment.run_one(parse_method("fine-tuning"), seed)
        ends = [max(point.step for point in run.curve if point.place == place) for place in range(2)]
        taken += [ends[0], ends[1] - ends[0]]
    assert min(taken) == shortest
    assert f"the shortest {shortest}:" in experiment.notes[0]


@pytest.mark.parametrize(
    ("labels", "shuffles", "said"),
    [
        ([7, 0], False, None),
        ([7, 0], True, "up to 1 of 5 tasks take fewer than 50 steps, the shortest 6: .* --epochs 17,"),
        ([0, 1], False, "1 of 5 tasks take fewer than 50 steps, the shortest 6: .* --epochs 17,"),
        ([0, 1], True, "up to 1 of 5 tasks take fewer than 50 steps, the shortest 6: .* --epochs 17,"),
    ],
)
def test_steps_are_counted_in_every_order_of_the_classes_that_is_learned(
    digits: Source, labels: list[int], shuffles: bool, said: str | None
) -> None:
    """Seed 1 has 7 and 0 in one task, the labels' order 0 and 1."""
    protocol = Protocol(MlpSpec(), plain_learner(batch_size=4), 2)
    experiment = Experiment(rare(digits, labels, 9), StreamPlan(), protocol, seeds=2, shuffles=shuffles)
    assert len(experiment.notes) == (said is not None)
    assert re.match(said or "", "".join(experiment.notes))
