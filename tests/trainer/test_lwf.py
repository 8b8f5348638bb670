"""Learning without forgetting: its teacher is the network of then, and its penalty is what a slow sum gives."""

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from contracts.inputs import TensorInput
from contracts.labels import Column
from networks.build import build
from networks.flat import Network
from networks.settings import MlpSpec
from tests.trainer.strategy_contract.checks import penalty_of
from tests.trainer.stream import WIDTH, Stream, learn, learner
from trainer.distillation import Teacher, divergence, head_numbers
from trainer.learner import Learner
from trainer.loss import classification_loss
from trainer.strategies.lwf import LwF
from trainer.strategy import Naive, Strategy

pytestmark = pytest.mark.unit


def network(*tasks: str | None) -> Network:
    """A network with one column for each of these tasks, in that order."""
    columns = [Column(str(number), task) for number, task in enumerate(tasks)]
    return build(MlpSpec(hidden=[16]), TensorInput(shape=(WIDTH,)), columns, seed=0)


def probabilities(scores: list[float], temperature: float) -> list[float]:
    powers = [math.exp(score / temperature) for score in scores]
    return [power / sum(powers) for power in powers]


def slow_divergence(logits: Tensor, targets: Tensor, heads: list[list[int]], temperature: float) -> list[list[float]]:
    """T² Σ p log(p / q), one number for each row and head; a head's columns beyond the teacher's have p = 0."""
    rows = []
    for row, wanted in zip(logits.double().tolist(), targets.double().tolist(), strict=True):
        known = [[column for column in head if column < len(wanted)] for head in heads]
        p = [probabilities([wanted[column] for column in head], temperature) for head in known]
        q = [probabilities([row[column] for column in head], temperature) for head in heads]
        pairs = [list(zip(one, other, strict=False)) for one, other in zip(p, q, strict=True)]
        rows.append([temperature**2 * sum(x * math.log(x / y) for x, y in pair) for pair in pairs])
    return rows


CASES = [
    ((None,) * 5, 3, False, [[0, 1, 2]]),
    ((None,) * 5, 3, True, [[0, 1, 2, 3, 4]]),
    (("a", "b", "a", "b", "a", "c", "c"), 4, False, [[0, 2], [1, 3]]),
    (("a", "b", "a", "b", "a", "c", "c"), 4, True, [[0, 2, 4], [1, 3]]),
]


@pytest.mark.parametrize(("tasks", "known", "new_columns", "heads"), CASES)
@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_the_divergence_is_that_of_a_slow_sum(
    tasks: tuple[str | None, ...], known: int, new_columns: bool, heads: list[list[int]], temperature: float
) -> None:
    random = torch.Generator().manual_seed(3)
    logits = 3 * torch.randn(6, len(tasks), generator=random)
    targets = 3 * torch.randn(6, known, generator=random)
    fast = divergence(network(*tasks), logits, targets, temperature, new_columns)
    assert torch.allclose(fast, torch.tensor(slow_divergence(logits, targets, heads, temperature)), atol=1e-4)


def test_extreme_answers_have_a_finite_divergence_and_gradient() -> None:
    logits = torch.tensor([[500.0, -500.0, 0.0], [0.0, 0.0, 0.0]], requires_grad=True)
    targets = torch.tensor([[-500.0, 500.0], [900.0, -900.0]])
    divergence(network(None, None, None), logits, targets, 2.0, True).sum().backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_heads_are_numbered_by_their_first_columns() -> None:
    assert head_numbers(network("b", "a", "b", "c", "a")).tolist() == [0, 1, 0, 2, 1]
    assert head_numbers(network(None, None)).tolist() == [0, 0]


def trained(strategy: Strategy, tasks: int = 1) -> tuple[Learner, Stream]:
    stream, subject = Stream(), learner(strategy)
    for task in range(tasks):
        learn(subject, stream, task)
    return subject, stream


def test_value_and_gradient_are_exactly_zero_where_the_last_task_ended() -> None:
    subject, stream = trained(LwF(temperature=3.0), tasks=5)
    subject.network.gradient.zero_()
    value, gradient = penalty_of(subject.strategy, subject.network, stream.task(0))
    assert value == 0.0
    assert not gradient.any()


def test_the_teacher_is_the_network_of_then_whatever_became_of_it() -> None:
    subject, stream = trained(LwF(strength=0.7))
    then = copy.deepcopy(subject.network.module)
    learn(subject, stream, 1, consolidate=False)
    batch = stream.task(1)
    logits = subject.network(batch.inputs)
    slow = slow_divergence(logits.detach(), then(batch.inputs).detach(), [[0, 1]], 2.0)
    value = subject.strategy.penalty(subject.network, batch, logits)
    assert float(value.detach()) == pytest.approx(0.7 * sum(row[0] for row in slow) / len(slow), rel=1e-4)


def test_tasks_count_alike_when_they_are_to() -> None:
    subject, stream = trained(LwF(strength=0.5, weighting="tasks"), tasks=2)
    then = copy.deepcopy(subject.network.module)
    learn(subject, stream, 2, consolidate=False)
    batch = stream.task(2)
    mixed = subject.strategy.replay(subject.network, batch)
    logits = subject.network(batch.inputs).detach()
    plain = float(classification_loss(subject.network, batch, logits))
    assert float(classification_loss(subject.network, mixed, logits)) == pytest.approx(plain / 3, rel=1e-5)
    slow = slow_divergence(logits, then(batch.inputs).detach(), [[0, 1, 2, 3]], 2.0)
    value = float(subject.strategy.penalty(subject.network, batch, logits))
    assert value == pytest.approx(0.5 * 2 / 3 * sum(row[0] for row in slow) / len(slow), rel=1e-4)


def test_over_heads_the_sum_is_taken_or_the_mean_when_tasks_count_alike() -> None:
    net, batch = network("a", "a", "b", "b"), Stream().task(0)
    values = []
    for strategy in (LwF(), LwF(weighting="tasks")):
        strategy.after_task(net, batch)
        theta = net.theta.clone()
        net.theta.mul_(1.5)
        values.append(float(strategy.penalty(net, batch, net(batch.inputs).detach())))
        net.theta.copy_(theta)
    assert values[0] > 0
    assert values[1] == pytest.approx(values[0] / 2 / 2, rel=1e-5)


def test_a_teacher_keeps_what_batch_normalisation_had_counted() -> None:
    module = nn.Sequential(nn.Linear(WIDTH, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 2))
    net = Network(module, [Column("0"), Column("1")], 0, "cpu")
    inputs, teacher, restored = Stream().task(0).inputs, Teacher(), Teacher()
    net.module.train()
    net(inputs)
    teacher.capture(net)
    net.module.eval()
    then = net(inputs).detach()
    net.module.train()
    net(5 * inputs + 2)
    counted = {name: buffer.clone() for name, buffer in net.module.named_buffers()}
    restored.load_state_dict(teacher.state_dict())
    assert torch.equal(teacher(net, inputs), then)
    assert torch.equal(restored(net, inputs), then)
    assert all(torch.equal(buffer, counted[name]) for name, buffer in net.module.named_buffers())


def test_a_teacher_shares_what_is_frozen_and_keeps_a_copy_of_what_is_not() -> None:
    module = nn.Sequential(nn.Linear(WIDTH, 6).requires_grad_(False), nn.ReLU(), nn.Linear(6, 4), nn.Linear(4, 2))
    seen: dict[int, list[int]] = {0: [], 2: []}
    for place, pointers in seen.items():
        module[place].register_forward_hook(lambda layer, *_, into=pointers: into.append(layer.weight.data_ptr()))
    net, inputs, teacher = Network(module, [Column("0"), Column("1")], 0, "cpu"), Stream().task(0).inputs, Teacher()
    teacher.capture(net)
    then = net(inputs).detach()
    net.theta.mul_(2)
    net.grow([Column("2")])
    assert torch.equal(teacher(net, inputs), then)
    frozen, trained = seen.values()
    assert frozen[0] == frozen[-1]
    assert trained[0] != trained[-1]
    assert not any(parameter.requires_grad for parameter in module[0].parameters())


def test_without_a_capture_there_is_nobody_to_ask() -> None:
    with pytest.raises(LookupError, match="captured"):
        Teacher()(network(None), torch.zeros(1, WIDTH))


def test_answers_drift_less_than_in_plain_fine_tuning() -> None:
    drift = {}
    for strategy in (LwF(), Naive()):
        subject, stream = trained(strategy)
        inputs = stream.probe(0).inputs
        then = subject.network(inputs).detach()
        learn(subject, stream, 1)
        now = subject.network(inputs).detach()
        drift[type(strategy)] = float(divergence(subject.network, now, then, 2.0, False).mean())
    assert drift[LwF] < 0.5 * drift[Naive]
