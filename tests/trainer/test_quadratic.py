"""The quadratic penalty against arithmetic written out by hand."""

import pytest
import torch
from torch import Tensor

from contracts.labels import Column
from networks.flat import Network
from tests.trainer.strategy_contract.checks import penalty_of
from tests.trainer.stream import Stream, network
from trainer.fisher import fisher_diagonal
from trainer.quadratic import QuadraticPenalty, SignedPenalty
from trainer.strategies.ewc import EWC
from trainer.strategies.l2 import L2

pytestmark = pytest.mark.unit


class Anchors:
    """The sum over past tasks as the paper writes it, one term after another, in float64."""

    def __init__(self) -> None:
        self._terms: list[tuple[Tensor, Tensor]] = []

    def add(self, net: Network, importance: Tensor) -> None:
        self._terms.append((importance.double(), net.theta.double().clone()))

    def value(self, theta: Tensor, strength: float) -> float:
        return sum(0.5 * strength * float((f * (theta.double() - anchor) ** 2).sum()) for f, anchor in self._terms)

    def gradient(self, theta: Tensor, strength: float) -> Tensor:
        parts = [strength * f * (theta.double() - anchor) for f, anchor in self._terms]
        return torch.stack(parts).sum(dim=0)


def evaluate(penalty: QuadraticPenalty | SignedPenalty, net: Network, strength: float) -> tuple[float, Tensor]:
    net.gradient.zero_()
    value = penalty(net, strength)
    value.backward()  # type: ignore[no-untyped-call]
    return float(value.detach()), net.gradient.clone()


def test_one_anchor_by_hand() -> None:
    net, penalty = network(tasks=1), QuadraticPenalty()
    net.theta.zero_()
    net.theta[:3] = torch.tensor([1.0, -2.0, 0.5])
    importance = torch.zeros_like(net.theta)
    importance[:3] = torch.tensor([4.0, 1.0, 0.0])
    penalty.add(net, importance)
    net.theta[:3] = torch.tensor([1.5, -4.0, 9.0])
    value, gradient = evaluate(penalty, net, strength=10.0)
    assert value == pytest.approx(0.5 * 10 * (4 * 0.5**2 + 1 * 2**2 + 0))
    assert gradient[:4].tolist() == pytest.approx([10 * 4 * 0.5, 10 * 1 * -2, 0, 0])


def test_two_vectors_equal_the_sum_over_tasks() -> None:
    net, penalty, anchors = network(tasks=1), QuadraticPenalty(), Anchors()
    random = torch.Generator().manual_seed(0)
    for _ in range(5):
        net.theta.add_(torch.randn(len(net.theta), generator=random))
        importance = torch.rand(len(net.theta), generator=random) ** 8
        importance[torch.rand(len(net.theta), generator=random) < 0.3] = 0.0
        penalty.add(net, importance)
        anchors.add(net, importance)
        for _ in range(2):
            net.theta.add_(0.3 * torch.randn(len(net.theta), generator=random))
            value, gradient = evaluate(penalty, net, 7.0)
            assert value == pytest.approx(anchors.value(net.theta, 7.0), rel=1e-5)
            assert torch.allclose(gradient.double(), anchors.gradient(net.theta, 7.0), rtol=1e-4, atol=1e-5)


def test_an_outer_factor_scales_the_gradient() -> None:
    net, penalty = network(tasks=1), QuadraticPenalty()
    penalty.add(net, torch.ones_like(net.theta))
    net.theta.add_(1.0)
    net.gradient.zero_()
    (3 * penalty(net, 2.0)).backward()  # type: ignore[no-untyped-call]
    assert torch.allclose(net.gradient, torch.full_like(net.theta, 6.0), rtol=1e-4)


def test_a_gradient_can_be_had_without_the_penaltys_part_and_the_importance_without_a_step() -> None:
    net, penalty, random = network(tasks=1), QuadraticPenalty(), torch.Generator().manual_seed(0)
    whole = torch.ones_like(net.theta)
    assert penalty.take_off(whole, 7.0, out=torch.empty_like(whole)) is whole
    importance = torch.rand(len(net.theta), generator=random)
    penalty.add(net, importance)
    net.grow([Column("new")])
    net.theta.add_(torch.randn(len(net.theta), generator=random))
    own = evaluate(penalty, net, 7.0)[1]
    whole = torch.ones_like(net.theta)
    rest = penalty.take_off(whole, 7.0, out=torch.empty_like(whole))
    assert torch.allclose(rest, whole - own, rtol=1e-4, atol=1e-5)
    found = penalty.importance(net)
    assert float(found.sum()) == pytest.approx(float(importance.sum()), rel=1e-5)
    assert int((found == 0).sum()) == len(found) - len(importance)


def test_outputs_that_came_later_are_free() -> None:
    net, penalty = network(tasks=1), QuadraticPenalty()
    penalty.add(net, torch.ones_like(net.theta))
    before = dict(net.layout.views(net.theta.clone()))
    net.grow([Column("new")])
    net.theta.add_(1.0)
    value, gradient = evaluate(penalty, net, 1.0)
    assert value == pytest.approx(0.5 * sum(part.numel() for part in before.values()), rel=1e-5)
    for name, part in net.layout.views(gradient).items():
        assert torch.allclose(part[: len(before[name])], torch.ones(before[name].shape), rtol=1e-4)
        assert not part[len(before[name]) :].any()


def test_ewc_penalises_by_the_fisher_of_the_task() -> None:
    net, batch, strategy = network(tasks=1), Stream().task(0), EWC(strength=30.0)
    fisher, anchor = fisher_diagonal(net, batch), net.theta.clone()
    strategy.after_task(net, batch)
    net.theta.add_(0.1)
    value, gradient = penalty_of(strategy, net, batch)
    assert value == pytest.approx(float(15.0 * (fisher * (net.theta - anchor) ** 2).sum()), rel=1e-4)
    assert torch.allclose(gradient, 30.0 * fisher * (net.theta - anchor), rtol=1e-3, atol=1e-6)
    assert strategy.curvature() == pytest.approx(30.0 * float(fisher.max()))


def test_online_ewc_decays_importances_and_moves_the_anchor() -> None:
    net, stream, strategy = network(tasks=2), Stream(), EWC(strength=2.0, mode="online", decay=0.25)
    first = fisher_diagonal(net, stream.task(0))
    strategy.after_task(net, stream.task(0))
    net.theta.mul_(1.5)
    second, anchor = fisher_diagonal(net, stream.task(1)), net.theta.clone()
    strategy.after_task(net, stream.task(1))
    assert penalty_of(strategy, net, stream.task(1))[0] == pytest.approx(0.0, abs=1e-9)
    net.theta.add_(0.1)
    expected = (0.25 * first + second) * (net.theta - anchor) ** 2
    assert penalty_of(strategy, net, stream.task(1))[0] == pytest.approx(float(expected.sum()), rel=1e-4)


def test_ewc_learns_importance_from_as_many_rows_as_it_is_told() -> None:
    net, batch = network(tasks=1), Stream().task(0)
    few, all_rows = EWC(fisher_rows=5), EWC(fisher_rows=len(batch))
    for strategy in (few, all_rows):
        strategy.after_task(net, batch)
    assert few.curvature() != all_rows.curvature()


def test_ewc_keeps_its_anchors_when_a_task_gives_no_finite_fisher(caplog: pytest.LogCaptureFixture) -> None:
    net, batch, strategy = network(tasks=1), Stream().task(0), EWC()
    strategy.after_task(net, batch)
    before = strategy.curvature()
    net.theta.mul_(1e30)
    strategy.after_task(net, batch)
    assert strategy.curvature() == before
    assert "could not anchor" in caplog.text


def test_l2_holds_all_parameters_alike() -> None:
    net, batch, strategy = network(tasks=1), Stream().task(0), L2(strength=3.0)
    strategy.after_task(net, batch)
    net.theta.add_(1.0)
    strategy.after_task(net, batch)
    net.theta.add_(1.0)
    expected = 0.5 * 3.0 * len(net.theta) * (2.0**2 + 1.0**2)
    assert penalty_of(strategy, net, batch)[0] == pytest.approx(expected, rel=1e-4)
    assert strategy.curvature() == pytest.approx(6.0)


def test_l2_can_hold_on_to_the_latest_anchor_alone() -> None:
    net, batch, strategy = network(tasks=1), Stream().task(0), L2(strength=3.0, anchors="latest")
    for _ in range(2):
        strategy.after_task(net, batch)
        net.theta.add_(2.0)
    assert penalty_of(strategy, net, batch)[0] == pytest.approx(0.5 * 3.0 * len(net.theta) * 2.0**2, rel=1e-4)
    assert strategy.curvature() == pytest.approx(3.0)


def test_an_importance_below_zero_repels() -> None:
    net, penalty, anchors, random = network(tasks=1), SignedPenalty(), Anchors(), torch.Generator().manual_seed(0)
    assert (float(penalty(net, 3.0)), penalty.largest_importance) == (0.0, 0.0)
    importance = torch.randn(len(net.theta), generator=random)
    penalty.renew(net, torch.ones_like(net.theta))
    net.theta.add_(1.0)
    penalty.renew(net, importance)
    anchors.add(net, importance)
    net.theta.add_(torch.randn(len(net.theta), generator=random))
    value, gradient = evaluate(penalty, net, 3.0)
    assert value == pytest.approx(anchors.value(net.theta, 3.0), rel=1e-4)
    assert torch.allclose(gradient.double(), anchors.gradient(net.theta, 3.0), rtol=1e-4, atol=1e-6)
    assert penalty.largest_importance == float(importance.abs().max())
    whole = torch.ones_like(net.theta)
    rest = penalty.take_off(whole, 3.0, out=torch.empty_like(whole))
    assert torch.allclose(rest, whole - gradient, rtol=1e-4, atol=1e-6)


def test_outputs_that_came_after_a_signed_anchor_are_free() -> None:
    net, penalty = network(tasks=1), SignedPenalty()
    penalty.renew(net, torch.full_like(net.theta, -1.0))
    net.grow([Column("new")])
    restored = SignedPenalty()
    restored.load_state_dict(penalty.state_dict())
    net.theta.add_(1.0)
    for each in (penalty, restored):
        value, gradient = evaluate(each, net, 1.0)
        assert value == pytest.approx(0.5 * float(gradient.sum()), rel=1e-5)
        assert int((gradient == 0).sum()) == 17
        assert gradient[gradient != 0].tolist() == pytest.approx([-1.0] * (len(net.theta) - 17))
