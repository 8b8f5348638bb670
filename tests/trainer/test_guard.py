"""What keeps learning finite: skipped steps, restored rounds, a held rate, importances that outliers cannot spoil."""

import logging
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from contracts.labels import Column
from networks.flat import Network
from tests.trainer.stream import SETTINGS, WIDTH, Stream, learn, learner
from trainer import learner as loop
from trainer.batch import Batch
from trainer.catalogue import kinds, load, strategy_class
from trainer.guard import all_finite
from trainer.learner import Learner
from trainer.optimiser import Adam
from trainer.settings import LearnerSettings
from trainer.strategies.l2 import L2
from trainer.strategy import Naive
from trainer.vectors import Parameters

pytestmark = pytest.mark.unit

STREAM = Stream()
ROWS = STREAM.task(0)
QUADRATIC: list[dict[str, Any]] = [
    {"kind": "ewc"},
    {"kind": "ewc", "fisher": "empirical"},
    {"kind": "mas"},
    {"kind": "mas", "rows": 16},
    {"kind": "si"},
    {"kind": "scp", "rows": 1},
    {"kind": "scp", "rows": 16},
    {"kind": "rwalk"},
    {"kind": "rwalk", "fisher": "batch"},
]


class Overflowing(Adam):
    """Takes its third step too far."""

    def step(self, network: Parameters, curvature: float, skip: Tensor | None = None) -> None:
        super().step(network, curvature, skip)
        if int(self._steps) == 3:
            network.theta[1] = torch.inf


def normalised() -> Network:
    """A network with batch normalisation, always the same."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(WIDTH, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2))
    return Network(module, [Column("0"), Column("1")], seed=0, device="cpu")


def with_outlier(value: float, place: int = 5) -> Batch:
    inputs = ROWS.inputs.clone()
    inputs[place] = value
    return Batch(ROWS.ids, inputs, ROWS.targets, ROWS.tasks)


def without(batch: Batch, place: int) -> Batch:
    """All rows but one."""
    return batch.select(torch.arange(len(batch)) != place)


def buffers_of(network: Network) -> list[Tensor]:
    return [buffer.clone() for buffer in network.module.buffers()]


def test_a_number_that_is_not_finite_is_seen_wherever_it_is() -> None:
    for value in (torch.inf, -torch.inf, torch.nan):
        vector = torch.zeros(1000)
        assert all_finite([vector, torch.tensor(3)])
        vector[777] = value
        assert not all_finite([torch.zeros(2), vector])
    assert all_finite([torch.full((4,), 3e38), torch.empty(0)])


def test_a_round_that_overflows_leaves_network_and_optimiser_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(loop.OPTIMISERS, "adam", Overflowing)
    subject = learner(Naive(), tasks=1)
    subject.train(ROWS.select(slice(0, 16)), ROWS, steps=1, number=0)
    before, _ = subject.state()
    result = subject.train(ROWS.select(slice(16, 96)), ROWS, steps=5, number=1)
    after, _ = subject.state()
    assert (result.steps, result.skipped, result.restored) == (5, 5, True)
    assert math.isnan(result.loss)
    assert int(before["optimiser.steps"]) == 1
    assert all(torch.equal(after[name], before[name]) for name in before)
    monkeypatch.undo()
    subject = learner(Naive(), tasks=1)
    assert not subject.train(ROWS, ROWS, steps=5, number=1).restored


def test_a_round_whose_steps_are_all_skipped_says_so_and_the_next_one_learns() -> None:
    subject = learner(Naive(), tasks=1)
    subject.network.theta.mul_(1e4)
    huge = Batch(ROWS.ids, torch.full_like(ROWS.inputs, 3e38), ROWS.targets, ROWS.tasks).select(slice(0, 8))
    skipped = subject.train(huge, ROWS.select(slice(0, 0)), steps=1, number=0)
    assert (skipped.steps, skipped.skipped, skipped.restored) == (1, 1, True)
    assert not subject.train(ROWS, ROWS, steps=1, number=1).restored
    assert not subject.train(ROWS.select(slice(0, 0)), ROWS.select(slice(0, 0)), steps=0, number=2).restored


@pytest.mark.parametrize("value", [1e20, 1e30, 3e38])
def test_a_row_in_quarantine_leaves_no_trace_in_the_statistics_of_batch_normalisation(value: float) -> None:
    net = normalised()
    subject = Learner(net, Naive(), SETTINGS)
    subject.train(ROWS, ROWS, steps=0, number=0)
    before = buffers_of(net)
    result = subject.train(with_outlier(value).select(slice(0, 16)), ROWS, steps=1, number=1)
    assert (result.restored, result.quarantined) == (False, (5,))
    clean = Learner(normalised(), Naive(), SETTINGS)
    clean.train(ROWS, ROWS, steps=0, number=0)
    assert all(torch.equal(one, other) for one, other in zip(buffers_of(clean.network), before, strict=True))
    clean.train(without(ROWS.select(slice(0, 16)), 5), ROWS, steps=1, number=1)
    assert all(torch.equal(*pair) for pair in zip(buffers_of(net), buffers_of(clean.network), strict=True))
    mixed = subject.train(with_outlier(value), ROWS, steps=6, number=2)
    assert (mixed.skipped, mixed.restored, mixed.quarantined) == (0, False, ())
    assert all_finite(net.module.buffers())


@pytest.mark.parametrize("place", [0, 1, 4, 5, 14, 15])
def test_a_row_that_breaks_a_step_is_set_aside_and_the_others_are_learned_without_it(place: int) -> None:
    batch = with_outlier(3e38, place).select(slice(0, 16))
    (hit, clean), results = (learner(load([{"kind": "replay"}]), tasks=1) for _ in range(2)), []
    for subject, rows in ((hit, batch), (clean, without(batch, place))):
        results.append(subject.train(rows, rows.select(slice(0, 0)), steps=1, number=0))
    assert [(each.steps, each.skipped, each.quarantined) for each in results] == [(1, 0, (place,)), (1, 0, ())]
    assert torch.equal(hit.network.theta, clean.network.theta)


MEMORIES = ["replay", "er_ace", "mir", "der", "joint", "agem", "gem", "gdumb"]


@pytest.mark.parametrize("kind", MEMORIES)
@pytest.mark.parametrize("place", [0, 5])
def test_a_huge_row_right_or_wrong_never_stops_a_strategy_with_a_memory(kind: str, place: int) -> None:
    subject = learner(load([{"kind": kind}]), tasks=1)
    rows = with_outlier(1e30, place)
    subject.train(rows.select(slice(0, 16)), rows.select(slice(0, 0)), steps=1, number=0)
    results = [subject.train(rows.select(slice(16, 96)), rows, steps=10, number=number) for number in range(1, 4)]
    assert sum(result.skipped + result.restored for result in results) == 0
    assert subject.state()[1]["quarantine"] == [place]


def test_a_row_that_a_memory_kept_before_it_broke_a_step_counts_no_more() -> None:
    subject = learner(load([{"kind": "replay", "capacity": 96}]), tasks=1)
    rows = with_outlier(1e30)
    subject.strategy.after_step(subject.network, rows, torch.zeros(96, 2))
    result = subject.train(ROWS.select(slice(16, 96)), ROWS.select(slice(0, 0)), steps=20, number=0)
    assert (result.skipped, result.restored, result.quarantined) == (0, False, (5,))


def test_a_round_of_rows_in_quarantine_alone_has_no_step() -> None:
    subject = learner(Naive(), tasks=1)
    rows = with_outlier(1e30)
    subject.train(rows, rows, steps=6, number=0)
    alone = rows.select(slice(5, 6))
    result = subject.train(alone, alone, steps=3, number=1)
    assert (result.steps, result.skipped, result.restored) == (0, 0, False)


def test_rows_in_quarantine_stay_there_through_a_restart_and_never_come_into_a_memory() -> None:
    subject = learner(load([{"kind": "replay", "capacity": 96, "scope": "past"}]), tasks=1)
    rows = with_outlier(1e30)
    assert subject.train(rows, rows, steps=6, number=0).quarantined == (5,)
    resumed = learner(load([{"kind": "replay", "capacity": 96, "scope": "past"}]), tasks=1)
    resumed.restore(*subject.state(), examples=STREAM.fetch)
    for each in (subject, resumed):
        each.consolidate(rows)
        again = each.train(rows, rows, steps=12, number=1)
        assert (again.skipped, again.quarantined) == (0, ())
        assert 5 not in each.state()[0]["strategy.ids"].tolist()
        assert len(each.state()[0]["strategy.ids"]) == 95
    assert torch.equal(subject.network.theta, resumed.network.theta)


def test_a_rate_that_a_penalty_is_too_steep_for_is_held_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    settings = LearnerSettings(batch_size=16, learning_rate=0.1, optimiser="sgd")
    subject = learner(L2(strength=100.0), tasks=1, settings=settings)
    with caplog.at_level(logging.WARNING):
        learn(subject, STREAM, 0)
        assert not caplog.records
        results = [subject.train(ROWS, ROWS, steps=2, number=number) for number in range(2)]
    assert [result.rate_curvature for result in results] == [pytest.approx(10.0)] * 2
    (record,) = caplog.records
    assert "steps are taken at 0.01\n" in record.getMessage()
    assert "divide the strength of the strategies by 10" in record.getMessage()


def test_adam_is_measured_and_not_cut(caplog: pytest.LogCaptureFixture) -> None:
    subject = learner(L2(strength=1e6), tasks=1)
    learn(subject, STREAM, 0)
    anchor = subject.network.theta.clone()
    with caplog.at_level(logging.WARNING):
        results = [subject.train(ROWS, ROWS, steps=20, number=number) for number in range(5)]
    assert results[0].rate_curvature == pytest.approx(1e4)
    assert not caplog.records
    assert float((subject.network.theta - anchor).abs().max()) < 10 * SETTINGS.learning_rate


@pytest.mark.parametrize("value", [1e5, 1e10, 1e15, 1e30, 3e38])
@pytest.mark.parametrize("spec", QUADRATIC, ids=str)
def test_an_outlier_does_not_blow_an_importance_up(spec: dict[str, Any], value: float) -> None:
    curvatures = []
    for rows in (ROWS, with_outlier(value)):
        subject = learner(load([spec]), tasks=2)
        subject.train(rows, rows, steps=12, number=0)
        subject.consolidate(rows)
        curvatures.append(subject.strategy.curvature())
        result = subject.train(STREAM.task(1), STREAM.task(1), steps=12, number=1)
        assert not result.skipped
        assert math.isfinite(result.loss)
        assert all_finite([subject.network.theta])
    clean, hit = curvatures
    assert 0 < hit < 50 * clean


@pytest.mark.parametrize("value", [0.0, 1.0, 1e30])
@pytest.mark.parametrize("spec", QUADRATIC, ids=str)
def test_rows_that_are_all_equal_do_not_blow_an_importance_up(spec: dict[str, Any], value: float) -> None:
    equal = Batch(ROWS.ids, torch.full_like(ROWS.inputs, value), ROWS.targets, ROWS.tasks)
    subject = learner(load([spec]), tasks=2)
    subject.train(equal, equal, steps=12, number=0)
    subject.consolidate(equal)
    assert 0 <= subject.strategy.curvature() < 1e6
    result = subject.train(STREAM.task(1), STREAM.task(1), steps=12, number=1)
    assert not result.skipped
    assert all_finite([subject.network.theta])


MEASURING = [kind for kind in kinds() if strategy_class(kind).scenario != "task"]
"""Those that keep tasks apart in the network measure no importance: what PackNet does when a task ends is learning."""


@pytest.mark.parametrize("kind", MEASURING)
def test_no_strategy_moves_the_statistics_of_batch_normalisation(kind: str) -> None:
    generative = {"likelihood": "gaussian", "hidden": [8], "latent": 4} if kind == "generative" else {}
    net = normalised()
    subject = Learner(net, load([{"kind": kind, **generative}]), SETTINGS)
    strategy, logits = subject.strategy, torch.zeros(len(ROWS), 2)
    subject.train(ROWS, ROWS, steps=0, number=0)
    hooks: list[Callable[[], object]] = [
        lambda: strategy.before_task(net, 1),
        lambda: strategy.replay(net, ROWS),
        lambda: strategy.penalty(net, ROWS, logits),
        lambda: strategy.project_gradients(net),
        lambda: strategy.after_step(net, ROWS, logits),
        lambda: strategy.after_task(net, ROWS),
        lambda: strategy.predictor(net),
    ]
    net.module.train()
    before = buffers_of(net)
    for hook in (*hooks, *hooks):
        hook()
        assert all(torch.equal(one, other) for one, other in zip(buffers_of(net), before, strict=True))
