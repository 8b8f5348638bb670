"""The loop: which rows it learns and when, what it refuses, how it optimises, and that it remembers."""

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from contracts.inputs import TensorInput
from contracts.labels import Column
from networks.build import build
from networks.flat import Network
from networks.settings import MlpSpec
from tests.trainer.stream import SETTINGS, WIDTH, Stream, accuracy, learn, learner, network
from trainer.batch import Batch
from trainer.catalogue import load
from trainer.learner import Learner
from trainer.optimiser import OPTIMISERS, Adam
from trainer.settings import LearnerSettings
from trainer.strategies.l2 import L2
from trainer.strategy import Naive

pytestmark = pytest.mark.unit


class Noting(Naive):
    """Notes the ids of every step."""

    def __init__(self) -> None:
        self.steps: list[list[int]] = []

    def after_step(self, network: Network, batch: Batch, logits: Tensor) -> None:
        assert logits.shape == (len(batch), len(network.columns))
        assert not logits.requires_grad
        self.steps.append(batch.ids.tolist())


def test_every_new_row_is_learned_once_in_order_and_then_again_in_samples() -> None:
    noting, stream = Noting(), Stream()
    subject, batch = learner(noting, tasks=1), stream.task(0).select(slice(0, 40))
    result = subject.train(batch, batch, steps=5, number=0)
    assert [len(step) for step in noting.steps] == [14, 13, 13, 8, 8]
    assert list(itertools.chain(*noting.steps[:3])) == list(range(40))
    assert (result.steps, result.skipped) == (5, 0)
    assert math.isfinite(result.loss)
    assert result.step_seconds > 0


def test_a_round_takes_the_steps_of_its_one_pass_at_least() -> None:
    subject, batch = learner(Naive(), tasks=1), Stream().task(0)
    assert subject.train(batch, batch, steps=0, number=0).steps == 6


def test_samples_of_few_new_rows_are_filled_up_with_recent_ones() -> None:
    noting, stream = Noting(), Stream()
    subject, recent = learner(noting, tasks=1), stream.task(0)
    subject.train(recent.select(slice(93, 96)), recent, steps=4, number=0)
    assert [len(step) for step in noting.steps] == [3, 8, 8, 8]
    assert all({93, 94, 95} <= set(step) for step in noting.steps)


def test_few_rows_get_more_steps_than_their_pass_needs_unless_more_events_wait() -> None:
    settings = LearnerSettings(batch_size=100, min_steps=20)
    assert [settings.steps_for(rows, is_flooded=False) for rows in (1, 100, 2000, 2001)] == [20, 20, 20, 21]
    assert [settings.steps_for(rows, is_flooded=True) for rows in (1, 100, 2000, 2001)] == [1, 1, 20, 21]


def test_a_step_that_no_row_can_take_changes_nothing_and_is_counted() -> None:
    noting = Noting()
    subject, batch = learner(noting, tasks=1), Stream().task(0).select(slice(0, 16))
    batch.inputs[:] = 3e38
    subject.network.theta.mul_(1e4)
    before = subject.network.theta.clone()
    result = subject.train(batch, batch, steps=1, number=0)
    assert (result.steps, result.skipped, result.quarantined) == (1, 1, ())
    assert math.isnan(result.loss)
    assert torch.equal(subject.network.theta, before)
    assert noting.steps == []


def test_one_huge_row_does_not_end_learning() -> None:
    stream = Stream()
    clean, hit = learner(Naive(), tasks=1), learner(Naive(), tasks=1)
    poison = stream.task(0).select(slice(0, 16))
    poison.inputs[3] = 1e15
    hit.train(poison, poison, steps=1, number=0)
    for subject in (clean, hit):
        for _ in range(4):
            learn(subject, stream, 0)
    assert accuracy(hit, stream, 0) >= accuracy(clean, stream, 0) - 0.05


def test_products_in_bfloat16_learn_the_same_thing_a_little_less_exactly() -> None:
    stream = Stream()
    exact = learner(load([{"kind": "replay", "capacity": 50}, {"kind": "ewc"}]), tasks=2)
    rough = learner(
        load([{"kind": "replay", "capacity": 50}, {"kind": "ewc"}]),
        tasks=2,
        settings=LearnerSettings(**SETTINGS.model_dump() | {"precision": "bfloat16"}),
    )
    for subject in (exact, rough):
        for task in range(2):
            learn(subject, stream, task)
    assert rough.network.theta.dtype == rough.network.gradient.dtype == torch.float32
    assert rough.network(stream.task(0).inputs).dtype == torch.float32
    gap = (exact.network.theta - rough.network.theta).abs().max()
    assert 0 < float(gap) < 0.1
    assert abs(accuracy(exact, stream, 0) - accuracy(rough, stream, 0)) < 0.03


def test_the_loss_of_the_task_scenario_sees_only_the_columns_of_a_rows_own_task() -> None:
    columns = [Column(label, task) for task in ("a", "b") for label in ("0", "1")]
    net = build(MlpSpec(hidden=[16]), TensorInput(shape=(WIDTH,)), columns, seed=0)
    rows = Stream().task(1)
    subject = Learner(net, Naive(), SETTINGS)
    head = net.layout.views(net.theta)["head.weight"]
    before, logits = head.clone(), net(rows.inputs).detach()
    result = subject.train(rows.select(slice(0, 16)), rows, steps=1, number=0)
    assert torch.equal(head[:2], before[:2])
    assert not torch.equal(head[2:], before[2:])
    assert result.loss == pytest.approx(float(cross_entropy(logits[:16, 2:], rows.targets[:16] - 2)), rel=1e-5)


def test_a_single_row_can_be_learned_by_a_network_with_batch_normalisation() -> None:
    module = nn.Sequential(nn.Linear(WIDTH, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2))
    net = Network(module, [Column("0"), Column("1")], seed=0, device="cpu")
    subject, rows = Learner(net, Naive(), SETTINGS), Stream().task(0)
    result = subject.train(rows.select(slice(0, 1)), rows.select(slice(0, 1)), steps=2, number=0)
    assert (result.steps, result.skipped) == (2, 0)
    subject.train(rows, rows, steps=0, number=1)
    assert float(net.module.get_buffer("1.running_mean").abs().max()) > 0
    assert not net.module.training


def test_adam_on_flat_vectors_is_adam() -> None:
    net, optimiser = network(tasks=1), Adam(0.01)
    theta, random = net.theta.double(), torch.Generator().manual_seed(0)
    first, second = torch.zeros_like(theta), torch.zeros_like(theta)
    for step in range(1, 6):
        net.gradient.normal_(generator=random)
        first = 0.9 * first + 0.1 * net.gradient.double()
        second = 0.999 * second + 0.001 * net.gradient.double() ** 2
        theta -= 0.01 * (first / (1 - 0.9**step)) / ((second / (1 - 0.999**step)).sqrt() + 1e-8)
        optimiser.step(net, 0.0)
        assert torch.allclose(net.theta.double(), theta, atol=1e-6)


def test_the_moments_of_adam_stay_when_the_head_grows() -> None:
    grown, wide = network(tasks=1), network(tasks=2)
    optimisers = Adam(0.01), Adam(0.01)
    for net, optimiser in zip((grown, wide), optimisers, strict=True):
        views = net.layout.views(net.gradient)
        for name in net.layout.names:
            views[name][: 2 if name.startswith("head") else None] = 0.5
        optimiser.step(net, 0.0)
    grown.grow(wide.columns[2:])
    assert torch.equal(grown.theta, wide.theta)
    for net, optimiser in zip((grown, wide), optimisers, strict=True):
        net.gradient.fill_(1.0)
        optimiser.step(net, 0.0)
    assert torch.equal(grown.theta, wide.theta)


class Unguarded(L2):
    """Hides how steep its penalty is."""

    def curvature(self) -> float:
        return 0.0


@pytest.mark.parametrize(("strategy", "survives"), [(L2, True), (Unguarded, False)])
def test_gradient_descent_survives_a_steep_penalty_by_a_smaller_rate(strategy: type[L2], survives: bool) -> None:
    settings = LearnerSettings(batch_size=16, learning_rate=0.1, optimiser="sgd", clip_norm=1e30)
    stream, subject = Stream(), learner(strategy(strength=100.0), tasks=2, settings=settings)
    learn(subject, stream, 0)
    anchor = subject.network.theta.clone()
    learn(subject, stream, 1, consolidate=False)
    moved = float((subject.network.theta - anchor).abs().max())
    assert (moved < 1.0) is survives


def test_replay_and_ewc_forget_less_than_plain_fine_tuning_and_joint_least() -> None:
    averages = {}
    specs = {
        "naive": [],
        "replay+ewc": [{"kind": "replay", "capacity": 40, "rows": 32}, {"kind": "ewc", "strength": 10.0}],
        "joint": [{"kind": "joint", "rows": 64}],
    }
    for name, spec in specs.items():
        stream, subject = Stream(), learner(load(spec))
        for task in range(4):
            learn(subject, stream, task)
        averages[name] = sum(accuracy(subject, stream, task) for task in range(4)) / 4
    assert averages["naive"] < 0.5
    assert averages["replay+ewc"] > averages["naive"] + 0.25
    assert averages["joint"] >= averages["replay+ewc"] - 0.03


def test_few_rows_of_a_new_class_are_learned_in_one_round_and_cost_the_others_little() -> None:
    spec = [{"kind": "replay", "capacity": 60, "rows": 32}, {"kind": "ewc", "strength": 10.0}]
    stream, subject = Stream(), learner(load(spec))
    for task in range(3):
        learn(subject, stream, task)
    before = sum(accuracy(subject, stream, task) for task in range(3)) / 3
    subject.network.grow([Column("6")])
    subject.before_task(3)
    few = stream.task(3).select(torch.arange(0, 12, 2))
    subject.train(few, few, steps=25, number=0)
    probe = stream.probe(3).select(torch.arange(0, 200, 2))
    assert float((subject.network(probe.inputs).argmax(dim=1) == 6).float().mean()) > 0.75
    assert sum(accuracy(subject, stream, task) for task in range(3)) / 3 > before - 0.05


@pytest.mark.parametrize("mode", ["separate", "online"])
def test_ewc_alone_keeps_more_than_plain_fine_tuning_where_tasks_share_their_columns(mode: str) -> None:
    ewc = {"kind": "ewc", "strength": 100.0, "mode": mode}
    assert average_over_streams([ewc]) > average_over_streams([]) + 0.02


def average_over_streams(spec: list[dict[str, Any]]) -> float:
    """Accuracy after three tasks of the same two labels, over all of them and five streams."""
    right: list[Tensor] = []
    for seed in range(5):
        subject, stream = learner(load(spec), tasks=1), Stream(seed)
        for task in range(3):
            rows = as_domain(stream.task(task))
            subject.train(rows, rows, steps=30, number=task)
            subject.consolidate(rows)
        probes = [as_domain(stream.probe(task)) for task in range(3)]
        right += [subject.network(probe.inputs).argmax(dim=1) == probe.targets for probe in probes]
    return float(torch.cat(right).float().mean())


def as_domain(batch: Batch) -> Batch:
    return Batch(batch.ids, batch.inputs, batch.targets % 2, batch.tasks)


def test_adagrad_divides_by_the_root_of_all_squares_so_far() -> None:
    net, optimiser = network(tasks=1), OPTIMISERS["adagrad"](0.5)
    start = net.theta.clone()
    for gradient in (3.0, -4.0):
        net.gradient.fill_(gradient)
        optimiser.step(net, 0.0)
    assert torch.allclose(net.theta, start - 0.5 * (3 / 3) + 0.5 * (4 / 5))
