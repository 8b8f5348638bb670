"""What a CUDA graph would do, run directly on a CPU: the same bits as one operation after the other."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import trainer.learner
from contracts.labels import Column
from networks.flat import Network
from tests.trainer.stream import SETTINGS, WIDTH, Stream, learn, learner, network
from trainer import captured
from trainer.batch import Batch
from trainer.captured import CapturedStep
from trainer.catalogue import kinds, load, strategy_class
from trainer.learner import Learner
from trainer.optimiser import OPTIMISERS, Optimiser
from trainer.settings import LearnerSettings
from trainer.step import Step
from trainer.strategies.l2 import L2
from trainer.strategy import Naive, Strategy

pytestmark = pytest.mark.unit
CHAINS: list[list[dict[str, Any]]] = [
    [],
    [{"kind": "replay", "capacity": 20, "rows": 8}, {"kind": "ewc"}],
    [{"kind": "replay", "capacity": 20, "rows": 8, "weighting": "tasks"}, {"kind": "l2", "strength": 3.0}],
    [{"kind": "er_ace", "capacity": 20, "rows": 8}],
]


class Counting(CapturedStep):
    """Counts the steps that ran as a captured one would."""

    runs = 0

    def _learn(self, batch: Batch, curvature: float, loss: Tensor, logits: Tensor) -> None:
        Counting.runs += 1
        super()._learn(batch, curvature, loss, logits)


@pytest.fixture
def capturing(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Lets learners that are built from now on take the steps of a graph."""

    def step_for(net: Network, strategy: Strategy, optimiser: Optimiser, settings: LearnerSettings) -> Step:
        return Counting(net, strategy, optimiser, settings.clip_norm)

    def begin() -> None:
        Counting.runs = 0
        monkeypatch.setattr(trainer.learner, "step_for", step_for)

    return begin


def after_three_tasks(chain: list[dict[str, Any]], settings: LearnerSettings) -> Learner:
    subject, stream = learner(load(chain), settings=settings), Stream()
    for task in range(3):
        learn(subject, stream, task)
    return subject


def same_bits(one: Learner, other: Learner) -> bool:
    pairs = zip(one.state()[0].values(), other.state()[0].values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("chain", CHAINS, ids=["plain", "replay-ewc", "weighted-l2", "masked"])
@pytest.mark.parametrize("clip_norm", [1e9, 0.5])
def test_a_graphs_operations_give_the_same_bits(
    chain: list[dict[str, Any]], clip_norm: float, capturing: Callable[[], None]
) -> None:
    settings = SETTINGS.model_copy(update={"clip_norm": clip_norm})
    eager = after_three_tasks(chain, settings)
    capturing()
    still = after_three_tasks(chain, settings)
    assert Counting.runs > 20
    assert same_bits(eager, still)


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_every_optimiser_can_be_captured(optimiser: str, capturing: Callable[[], None]) -> None:
    settings = LearnerSettings.model_validate({**SETTINGS.model_dump(), "optimiser": optimiser})
    eager = after_three_tasks(CHAINS[1], settings)
    capturing()
    assert same_bits(eager, after_three_tasks(CHAINS[1], settings))


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_a_step_that_is_skipped_on_the_device_changes_nothing(optimiser: str) -> None:
    net, subject = network(tasks=1), OPTIMISERS[optimiser](0.1)
    net.gradient.fill_(0.5)
    subject.step(net, 0.0, skip=torch.zeros(()))
    theta, state = net.theta.clone(), subject.state_dict()
    net.gradient.fill_(torch.nan)
    subject.step(net, 0.0, skip=torch.ones(()))
    assert torch.equal(net.theta, theta)
    assert all(torch.equal(state[name], kept) for name, kept in subject.state_dict().items() if name != "layout")


def test_rows_that_break_a_step_are_found_and_statistics_put_back_all_the_same(capturing: Callable[[], None]) -> None:
    def learned() -> tuple[Learner, tuple[int, ...]]:
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(WIDTH, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2))
        subject = Learner(Network(module, [Column("0"), Column("1")], seed=0, device="cpu"), Naive(), SETTINGS)
        rows = Stream().task(0)
        subject.train(rows, rows, steps=12, number=0)
        rows.inputs[40] = 3e38
        return subject, subject.train(rows, rows, steps=12, number=1).quarantined

    eager, found = learned()
    capturing()
    still, found_again = learned()
    assert Counting.runs > 5
    assert found == found_again == (40,)
    assert same_bits(eager, still)


def test_a_row_with_a_huge_logit_is_found_where_it_is_right_by_chance_too(capturing: Callable[[], None]) -> None:
    def learned() -> tuple[Learner, tuple[int, ...]]:
        subject, rows = learner(Naive(), tasks=1), Stream().task(0)
        subject.train(rows, rows, steps=12, number=0)
        rows.inputs[40] = -1e17
        return subject, subject.train(rows, rows, steps=0, number=1).quarantined

    eager, found = learned()
    capturing()
    still, found_again = learned()
    assert found == found_again == (40,)
    assert same_bits(eager, still)


def test_a_task_that_ends_makes_new_graphs_because_they_hold_its_numbers(capturing: Callable[[], None]) -> None:
    def loss_after(subject: Learner) -> float:
        stream = Stream()
        learn(subject, stream, 0)
        return subject.train(stream.task(0), stream.task(0), steps=12, number=5).loss

    eager = loss_after(learner(L2(strength=50.0), tasks=1))
    capturing()
    assert loss_after(learner(L2(strength=50.0), tasks=1)) == eager


def test_no_more_graphs_are_kept_than_a_device_should_hold(
    capturing: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    eager = after_three_tasks([], SETTINGS)
    monkeypatch.setattr(captured, "MOST_GRAPHS", 1)
    capturing()
    assert same_bits(eager, after_three_tasks([], SETTINGS))
    assert Counting.runs > 5


def test_without_a_gpu_it_says_that_nothing_is_captured(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    CapturedStep(network(tasks=1), Naive(), OPTIMISERS["adam"](0.1), 1.0)
    assert "no GPU" in caplog.text


def test_on_a_cpu_steps_are_taken_one_operation_after_the_other() -> None:
    step = captured.step_for(network(tasks=1), Naive(), OPTIMISERS["adam"](0.1), LearnerSettings())
    assert type(step) is Step


def test_a_strategy_with_own_hooks_is_captured_only_if_it_says_so() -> None:
    capturable = {kind for kind in kinds() if strategy_class(kind)().is_capturable()}
    assert {"replay", "ewc", "mas", "l2", "er_ace", "mir", "lwf"} - capturable <= {"lwf"}
    assert not capturable & {"gem", "agem", "si", "rwalk", "der", "packnet", "icarl", "generative", "gdumb"}
    assert load(CHAINS[1]).is_capturable()
    assert not load([{"kind": "replay"}, {"kind": "si"}]).is_capturable()
