"""What an experiment says before its numbers are believed."""

import re
from typing import Any

import pytest

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


def test_the_steps_that_are_said_are_those_that_are_taken(digits: Source) -> None:
    experiment = Experiment(digits, StreamPlan(tasks=2), Protocol(MlpSpec(hidden=[4]), plain_learner(), 2))
    run = experiment.run_one(parse_method("fine-tuning"), seed=0)
    ends = [max(point.step for point in run.curve if point.place == place) for place in range(2)]
    assert f"the shortest {min(ends[0], ends[1] - ends[0])}:" in experiment.notes[0]
