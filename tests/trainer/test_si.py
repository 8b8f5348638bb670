"""Synaptic Intelligence against arithmetic written out by hand and a slow recorder of every step."""

import pytest
import torch
from torch import Tensor

from contracts.labels import Column
from networks.flat import Network
from tests.trainer.strategy_contract.checks import penalty_of
from tests.trainer.stream import SETTINGS, Stream, learn, learner, network
from trainer.batch import Batch
from trainer.loss import classification_loss
from trainer.strategies.l2 import L2
from trainer.strategies.si import SI
from trainer.strategy import Chain, Naive, Strategy

pytestmark = pytest.mark.unit


def step(strategy: SI, net: Network, gradient: list[float], move: list[float]) -> None:
    """One step of the learner: this gradient, then this change of the first parameters."""
    batch = Stream().task(0)
    penalty_of(strategy, net, batch)
    net.gradient.zero_()
    net.gradient[: len(gradient)] = torch.tensor(gradient)
    strategy.project_gradients(net)
    net.theta[: len(move)] += torch.tensor(move)
    strategy.after_step(net, batch, net(batch.inputs).detach())


def importances(strategy: Strategy, net: Network, strength: float) -> Tensor:
    """Ω (P,), read from the penalty's gradient one unit away from the anchor."""
    net.theta.add_(1.0)
    gradient = penalty_of(strategy, net, Stream().task(0))[1]
    net.theta.sub_(1.0)
    return gradient / strength


def test_one_task_by_hand() -> None:
    net, strategy = network(tasks=1), SI(strength=2.0, damping=0.5)
    step(strategy, net, gradient=[1.0, -2.0, 4.0], move=[-0.5, 0.25, 0.0])
    step(strategy, net, gradient=[2.0, 1.0, 4.0], move=[-0.5, 0.25, 1.0])
    strategy.after_task(net, Stream().task(0))
    first = (0.5 + 1.0) / (1.0**2 + 0.5)
    second = (0.5 - 0.25) / (0.5**2 + 0.5)
    assert importances(strategy, net, 2.0)[:4].tolist() == pytest.approx([first, second, 0.0, 0.0], abs=1e-6)
    assert strategy.curvature() == pytest.approx(2.0 * first)
    net.theta[0] += 3.0
    assert penalty_of(strategy, net, Stream().task(0))[0] == pytest.approx(0.5 * 2.0 * first * 3.0**2)


@pytest.mark.parametrize(("kind", "expected"), [("clamped", [0.0, 1.0]), ("signed", [-3.0, 1.0])])
def test_what_raised_the_loss_is_free_or_repelled(kind: str, expected: list[float]) -> None:
    net, strategy = network(tasks=1), SI(strength=2.0, damping=1.0, importance=kind)
    step(strategy, net, gradient=[6.0, -2.0], move=[1.0, 1.0])
    strategy.after_task(net, Stream().task(0))
    assert importances(strategy, net, 2.0)[:2].tolist() == pytest.approx(expected)
    assert strategy.curvature() == pytest.approx(2.0 * max(abs(each) for each in expected))
    net.theta[:2] += torch.tensor([1.0, 2.0])
    value = penalty_of(strategy, net, Stream().task(0))[0]
    assert value == pytest.approx(expected[0] * 1.0**2 + expected[1] * 2.0**2)


def test_importances_add_up_at_the_latest_anchor() -> None:
    net, strategy = network(tasks=1), SI(strength=1.0, damping=1.0, gradient="total")
    for gradient in (-4.0, 2.0, -8.0):
        step(strategy, net, gradient=[gradient], move=[1.0])
        strategy.after_task(net, Stream().task(0))
    assert penalty_of(strategy, net, Stream().task(0))[0] == pytest.approx(0.0, abs=1e-9)
    assert float(importances(strategy, net, 1.0)[0]) == pytest.approx((4.0 - 2.0 + 8.0) / 2)


def test_a_sum_below_zero_is_forgotten_when_clamped_and_remembered_when_signed() -> None:
    for kind, expected in (("clamped", 4.0), ("signed", 1.0)):
        net, strategy = network(tasks=1), SI(strength=1.0, damping=1.0, gradient="total", importance=kind)
        for gradient in (6.0, -8.0):
            step(strategy, net, gradient=[gradient], move=[1.0])
            strategy.after_task(net, Stream().task(0))
        assert float(importances(strategy, net, 1.0)[0]) == pytest.approx(expected)


def test_outputs_that_came_later_set_out_where_they_began() -> None:
    net, strategy = network(tasks=1), SI(strength=1.0, damping=1.0)
    step(strategy, net, gradient=[-1.0], move=[1.0])
    net.grow([Column("new")])
    place = net.layout.offsets[-1] + 2
    gradient, move = torch.zeros(net.layout.size), torch.zeros(net.layout.size)
    gradient[place], move[place] = -3.0, 2.0
    step(strategy, net, gradient=gradient.tolist(), move=move.tolist())
    strategy.after_task(net, Stream().task(0))
    found = importances(strategy, net, 1.0)
    assert float(found[0]) == pytest.approx(1.0 / (1.0 + 1.0))
    assert float(found[place]) == pytest.approx(6.0 / (4.0 + 1.0))


def test_a_gradient_that_the_penalty_cancels_counts_in_full() -> None:
    net, strategy = network(tasks=1), SI(strength=1.0, damping=1.0)
    step(strategy, net, gradient=[-2.0], move=[1.0])
    strategy.after_task(net, Stream().task(0))
    step(strategy, net, gradient=[0.0], move=[10.0])
    step(strategy, net, gradient=[0.01], move=[1.0])
    strategy.after_task(net, Stream().task(0))
    assert float(importances(strategy, net, 1.0)[0]) == pytest.approx(1.0 + (10.0 - 0.01) / (11.0**2 + 1.0), rel=1e-4)


def test_an_outlier_counts_thirty_times_what_clipping_left_of_it() -> None:
    net, strategy, batch = network(tasks=1), SI(strength=1.0, damping=1.0), Stream().task(0)
    net.gradient[0] = -1000.0
    strategy.project_gradients(net)
    net.gradient[0] = -0.5
    net.theta[0] += 1.0
    strategy.after_step(net, batch, net(batch.inputs).detach())
    strategy.after_task(net, batch)
    assert float(importances(strategy, net, 1.0)[0]) == pytest.approx(30 * 0.5 / (1.0 + 1.0))


def test_what_is_not_a_step_is_no_way() -> None:
    net, strategy = network(tasks=1), SI(strength=1.0, damping=1.0)
    before = net.theta.clone()
    step(strategy, net, gradient=[0.0], move=[5.0])
    net.theta.copy_(before)
    step(strategy, net, gradient=[-4.0], move=[1.0])
    strategy.after_task(net, Stream().task(0))
    assert float(importances(strategy, net, 1.0)[0]) == pytest.approx(4.0 / (1.0 + 1.0))


class Recorder(Naive):
    """Computes what the paper defines: the gradient of the loss alone at every step, in float64, and no penalty."""

    def __init__(self, damping: float) -> None:
        self.damping = damping
        self.total: Tensor | None = None
        self.anchor = self.gradient = self.before = torch.empty(0)
        self.clipped = 0

    def before_task(self, network: Network, task: int) -> None:
        if task == 0:
            self.begun, self.path = network.theta.double(), torch.zeros(len(network.theta), dtype=torch.float64)

    def penalty(self, network: Network, batch: Batch, logits: Tensor) -> Tensor:
        loss = classification_loss(network, batch, logits)
        parameters = list(network.module.parameters())
        found = torch.autograd.grad(loss, parameters, retain_graph=True)
        self.gradient = torch.cat([each.flatten() for each in found]).double()
        self.before = network.theta.double()
        return logits.new_zeros(())

    def after_step(self, network: Network, batch: Batch, logits: Tensor) -> None:  # noqa: ARG002
        self.clipped += int(float(network.gradient.norm()) < 0.99 * float(self.gradient.norm()))
        self.path -= self.gradient * (network.theta.double() - self.before)

    def after_task(self, network: Network, examples: Batch) -> None:  # noqa: ARG002
        gained = self.path / ((network.theta.double() - self.begun) ** 2 + self.damping)
        self.total = gained if self.total is None else self.total + gained
        self.begun, self.path = network.theta.double(), torch.zeros_like(self.path)


@pytest.mark.parametrize("place", [0, 1])
def test_it_records_the_gradient_of_the_loss_alone_whatever_is_clipped(place: int) -> None:
    own, recorder = SI(strength=50.0, damping=0.01, importance="signed"), Recorder(0.01)
    strategies: list[Strategy] = [recorder]
    strategies.insert(place, own)
    stream, subject = Stream(), learner(Chain(strategies), 3, SETTINGS.model_copy(update={"clip_norm": 0.5}))
    for task in range(3):
        learn(subject, stream, task)
    assert recorder.clipped > 10
    assert recorder.total is not None
    found = importances(own, subject.network, 50.0).double()
    assert recorder.total.min() < 0 < recorder.total.max()
    torch.testing.assert_close(found, recorder.total, rtol=1e-3, atol=1e-4 * float(recorder.total.abs().max()))


def test_the_total_gradient_differs_once_there_is_a_penalty() -> None:
    ends = []
    for gradient in ("loss", "total"):
        stream, strategy = Stream(), SI(strength=50.0, gradient=gradient)
        subject = learner(strategy, tasks=2)
        importance = []
        for task in range(2):
            learn(subject, stream, task)
            importance.append(importances(strategy, subject.network, 50.0))
        ends.append(importance)
    assert torch.equal(ends[0][0], ends[1][0])
    assert not torch.allclose(ends[0][1], ends[1][1], rtol=1e-3)


def test_another_penalty_in_a_chain_counts_as_loss() -> None:
    net, own, other = network(tasks=1), SI(strength=1.0, damping=1.0), L2(strength=2.0)
    other.after_task(net, Stream().task(0))
    chain = Chain([own, other])
    net.theta[0] += 3.0
    net.gradient.copy_(penalty_of(chain, net, Stream().task(0))[1])
    chain.project_gradients(net)
    net.theta[0] -= 1.0
    chain.after_step(net, Stream().task(0), net(Stream().task(0).inputs).detach())
    chain.after_task(net, Stream().task(0))
    assert own.curvature() == pytest.approx(2.0 * 3.0 * 1.0 / (1.0 + 1.0))


def test_a_path_that_is_not_finite_leaves_the_earlier_anchor(caplog: pytest.LogCaptureFixture) -> None:
    net, strategy = network(tasks=1), SI(damping=1.0, strength=1.0)
    step(strategy, net, gradient=[-2.0], move=[1.0])
    strategy.after_task(net, Stream().task(0))
    step(strategy, net, gradient=[-3e38], move=[10.0])
    strategy.after_task(net, Stream().task(0))
    assert strategy.curvature() == pytest.approx(1.0)
    assert "could not anchor" in caplog.text
    step(strategy, net, gradient=[-2.0 + 10.0], move=[1.0])
    strategy.after_task(net, Stream().task(0))
    assert strategy.curvature() == pytest.approx(1.0 + 1.0)
