"""A step as a graph: what it captures, when it captures anew, and the same bits as one operation after the other."""

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
from tests.trainer.tape import TapedStep
from trainer import captured, quadratic
from trainer.batch import Batch
from trainer.captured import CapturedStep
from trainer.catalogue import kinds, load, strategy_class
from trainer.learner import Learner
from trainer.optimiser import OPTIMISERS, Optimiser
from trainer.settings import LearnerSettings
from trainer.step import Step
from trainer.strategy import Naive, Strategy

pytestmark = pytest.mark.unit
CAPTURABLE = ["er_ace", "ewc", "joint", "l2", "mas", "mir", "replay", "scp"]
REPLAY: dict[str, Any] = {"kind": "replay", "capacity": 20, "rows": 8}
CHAINS: dict[str, list[dict[str, Any]]] = {
    **{kind: [{"kind": kind}] for kind in CAPTURABLE},
    "plain": [],
    "replay-ewc": [REPLAY, {"kind": "ewc", "strength": 1000.0}],
    "weighted-l2": [{**REPLAY, "weighting": "tasks"}, {"kind": "l2", "strength": 3.0}],
    "masked-l2": [{"kind": "er_ace", "capacity": 20, "rows": 8}, {"kind": "l2"}],
}


@pytest.fixture
def taping(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Lets learners that are built from now on take steps from a tape, and penalties do as on a GPU."""

    def step_for(net: Network, strategy: Strategy, optimiser: Optimiser, settings: LearnerSettings) -> Step:
        return TapedStep(net, strategy, optimiser, settings.clip_norm)

    def begin() -> None:
        TapedStep.captured = TapedStep.replayed = 0
        monkeypatch.setattr(trainer.learner, "step_for", step_for)
        monkeypatch.setattr(quadratic, "is_read_at_once", lambda _: False)

    return begin


def after_three_tasks(chain: list[dict[str, Any]], settings: LearnerSettings, tasks: int = 3) -> Learner:
    """Outputs of the first tasks are there from the start; those of the others come with them."""
    subject, stream = learner(load(chain), tasks, settings), Stream()
    for task in range(3):
        learn(subject, stream, task)
        rows = stream.task(task)
        subject.train(rows, rows, steps=12, number=100 + task)
    return subject


def same_bits(one: Learner, other: Learner) -> bool:
    pairs = zip(one.state()[0].values(), other.state()[0].values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
@pytest.mark.parametrize("tasks", [0, 3])
def test_a_captured_step_gives_the_same_bits(
    chain: list[dict[str, Any]], tasks: int, taping: Callable[[], None]
) -> None:
    eager = after_three_tasks(chain, SETTINGS, tasks)
    taping()
    still = after_three_tasks(chain, SETTINGS, tasks)
    assert TapedStep.replayed > 20
    assert same_bits(eager, still)


@pytest.mark.parametrize(
    "change", [{"clip_norm": 0.3}, {"optimiser": "sgd"}, {"optimiser": "adagrad"}, {"precision": "bfloat16"}]
)
def test_it_does_so_with_all_that_a_learner_can_be_told(change: dict[str, Any], taping: Callable[[], None]) -> None:
    settings = LearnerSettings.model_validate({**SETTINGS.model_dump(), **change})
    eager = after_three_tasks(CHAINS["replay-ewc"], settings)
    taping()
    assert same_bits(eager, after_three_tasks(CHAINS["replay-ewc"], settings))
    assert TapedStep.replayed > 20


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


def test_rows_that_break_a_step_are_found_and_statistics_put_back_all_the_same(taping: Callable[[], None]) -> None:
    def learned() -> tuple[Learner, tuple[int, ...]]:
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(WIDTH, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2))
        subject = Learner(Network(module, [Column("0"), Column("1")], seed=0, device="cpu"), Naive(), SETTINGS)
        rows = Stream().task(0)
        subject.train(rows, rows, steps=12, number=0)
        rows.inputs[40] = 3e38
        return subject, subject.train(rows, rows, steps=12, number=1).quarantined

    eager, found = learned()
    taping()
    still, found_again = learned()
    assert TapedStep.replayed > 5
    assert found == found_again == (40,)
    assert same_bits(eager, still)


def test_a_row_with_a_huge_logit_is_found_where_it_is_right_by_chance_too(taping: Callable[[], None]) -> None:
    def learned() -> tuple[Learner, tuple[int, ...]]:
        subject, rows = learner(Naive(), tasks=1), Stream().task(0)
        subject.train(rows, rows, steps=12, number=0)
        rows.inputs[40] = -1e17
        return subject, subject.train(rows, rows, steps=0, number=1).quarantined

    eager, found = learned()
    taping()
    still, found_again = learned()
    assert found == found_again == (40,)
    assert same_bits(eager, still)


def test_a_learner_that_is_restored_goes_on_with_new_graphs(taping: Callable[[], None]) -> None:
    def learned() -> tuple[float, Learner]:
        subject, stream = learner(load([{"kind": "l2", "strength": 50.0}]), tasks=2), Stream()
        learn(subject, stream, 0)
        saved, rows = subject.state(), stream.task(1)
        learn(subject, stream, 1)
        subject.train(rows, rows, steps=12, number=8)
        subject.restore(*saved, stream.fetch)
        return subject.train(rows, rows, steps=12, number=9).loss, subject

    loss, eager = learned()
    taping()
    loss_again, still = learned()
    assert TapedStep.replayed > 10
    assert loss == loss_again
    assert same_bits(eager, still)


class Spoiling(Naive):
    """Makes the network infinite once, late in its first round."""

    def __init__(self) -> None:
        self._steps = 0

    def after_step(self, network: Network, batch: Batch, logits: Tensor) -> None:  # noqa: ARG002
        self._steps += 1
        if self._steps == 10:
            network.theta[0] = torch.inf


def test_a_round_that_is_undone_leaves_no_graph_of_what_it_had(taping: Callable[[], None]) -> None:
    def learned() -> tuple[bool, Learner]:
        subject, rows = learner(Spoiling(), tasks=1), Stream().task(0)
        is_undone = subject.train(rows, rows, steps=12, number=0).restored
        subject.train(rows, rows, steps=12, number=1)
        return is_undone, subject

    is_undone, eager = learned()
    taping()
    was_undone, still = learned()
    assert (is_undone, was_undone) == (True, True)
    assert same_bits(eager, still)
    assert TapedStep.replayed > 10


def test_a_kind_of_batch_is_captured_only_after_sound_steps(taping: Callable[[], None]) -> None:
    def learned() -> Learner:
        subject, rows = learner(Naive(), tasks=1), Stream().task(0)
        sound = rows.inputs.clone()
        rows.inputs[:] = 3e38
        subject.train(rows, rows, steps=0, number=0)
        rows.inputs.copy_(sound)
        subject.train(rows, rows, steps=0, number=1)
        return subject

    eager = learned()
    taping()
    assert same_bits(eager, learned())
    assert (TapedStep.captured, TapedStep.replayed) == (1, 3)


def test_of_too_many_kinds_of_batches_the_one_not_used_for_the_longest_is_dropped(
    taping: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(captured, "MOST_GRAPHS", 2)
    taping()
    subject, rows, found = learner(Naive(), tasks=1), Stream().task(0), []
    for number, size in enumerate((3, 4, 3, 5, 3, 4)):
        few = rows.select(slice(0, size))
        subject.train(few, rows.select(slice(0, 0)), steps=6, number=number)
        found.append((TapedStep.captured, TapedStep.replayed))
    assert found == [(1, 3), (2, 6), (2, 12), (3, 15), (3, 21), (4, 24)]


def test_without_a_gpu_it_says_that_nothing_is_captured(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    CapturedStep(network(tasks=1), Naive(), OPTIMISERS["adam"](0.1), 1.0)
    assert "no GPU" in caplog.text


def test_without_a_gpu_a_graphs_operations_give_the_bits_that_plain_steps_give(monkeypatch: pytest.MonkeyPatch) -> None:
    def step_for(net: Network, strategy: Strategy, optimiser: Optimiser, settings: LearnerSettings) -> Step:
        return CapturedStep(net, strategy, optimiser, settings.clip_norm)

    eager = after_three_tasks(CHAINS["replay-ewc"], SETTINGS, 0)
    monkeypatch.setattr(trainer.learner, "step_for", step_for)
    assert same_bits(eager, after_three_tasks(CHAINS["replay-ewc"], SETTINGS, 0))


def test_on_a_cpu_steps_are_taken_one_operation_after_the_other() -> None:
    settings = LearnerSettings(graphs=True)
    assert type(captured.step_for(network(tasks=1), Naive(), OPTIMISERS["adam"](0.1), settings)) is Step


def test_a_strategy_with_own_hooks_is_captured_only_if_it_says_so() -> None:
    assert [kind for kind in kinds() if strategy_class(kind)().is_capturable()] == CAPTURABLE
    assert load(CHAINS["replay-ewc"]).is_capturable()
    assert not load([{"kind": "replay"}, {"kind": "si"}]).is_capturable()
