"""DER compares exemplars with what the network once answered them, and costs one forward pass."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from tests.trainer.strategy_contract.checks import same_rows
from tests.trainer.stream import Stream, learner, network
from trainer.batch import Batch
from trainer.loss import classification_loss
from trainer.strategies.der import DER

pytestmark = pytest.mark.unit

ROWS = 16
STREAM = Stream()


def answered(ids: Tensor, columns: int) -> Tensor:
    """Made-up answers of a past network, different for each row and column."""
    return torch.sin(3.0 * ids[:, None] + torch.arange(columns))


def shown(strategy: DER, task: int, columns: int, piece: int = 7) -> None:
    """Shows a strategy a task that a network with so many outputs answers."""
    rows = STREAM.task(task)
    for start in range(0, len(rows), piece):
        part = rows.select(slice(start, start + piece))
        strategy.after_step(network(), part, answered(part.ids, columns))


def two_tasks(strategy: DER) -> DER:
    """The first task knew two outputs, the second four."""
    shown(strategy, 0, columns=2)
    shown(strategy, 1, columns=4)
    return strategy


def change(exemplars: Batch, logits: Tensor) -> float:
    """The mean squared change, number by number."""
    squares = []
    for row, number in enumerate(exemplars.ids.tolist()):
        width = 2 if number < 96 else 4
        past = answered(exemplars.ids[row : row + 1], width)[0]
        squares += [float(logits[row, column] - past[column]) ** 2 for column in range(width)]
    return sum(squares) / len(squares)


@pytest.mark.parametrize("beta", [0.0, 0.7])
def test_a_step_minimises_the_published_loss(beta: float) -> None:
    subject, batch = network(tasks=3), STREAM.task(2).select(slice(10))
    strategy = two_tasks(DER(capacity=40, rows=ROWS, alpha=0.3, beta=beta))
    mixed = strategy.replay(subject, batch)
    assert len(mixed) == 10 + ROWS * (2 if beta else 1)
    logits = subject(mixed.inputs).detach().requires_grad_()
    loss = classification_loss(subject, mixed, logits) + strategy.penalty(subject, mixed, logits)
    compared = mixed.select(slice(10, 10 + ROWS))
    assert {0, 1} == set(compared.tasks.tolist())
    expected = cross_entropy(logits[:10], batch.targets) + 0.3 * change(compared, logits[10 : 10 + ROWS].detach())
    if beta:
        expected += beta * cross_entropy(logits[10 + ROWS :], mixed.targets[10 + ROWS :])
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert logits.grad is not None
    assert logits.grad[10 : 10 + ROWS, :2].all()
    assert not logits.grad[10 : 10 + ROWS, 4:].any()


def test_only_the_batch_that_holds_the_exemplars_is_penalised() -> None:
    subject, batch = network(tasks=2), STREAM.task(1)
    strategy = two_tasks(DER(capacity=40, rows=ROWS, alpha=1.0))
    mixed = strategy.replay(subject, batch.select(slice(10)))
    assert strategy.penalty(subject, mixed, torch.zeros(len(mixed), 4)) > 0
    for other in (batch, batch.select(slice(5))):
        assert strategy.penalty(subject, other, torch.zeros(len(other), 4)) == 0


def test_a_row_seen_again_keeps_its_first_answer() -> None:
    strategy = two_tasks(DER(capacity=200, rows=ROWS, alpha=1.0))
    again = STREAM.task(0)
    strategy.after_step(network(), again, torch.full((len(again), 4), 9.0))
    state = strategy.state_dict()
    assert torch.equal(state["logits"][:96, :2], answered(state["ids"][:96], 2))
    assert state["widths"].tolist() == [2] * 96 + [4] * 96


def test_saved_answers_stay_with_their_rows() -> None:
    strategy, resumed = two_tasks(DER(capacity=40, rows=ROWS)), DER(capacity=40, rows=ROWS, seed=5)
    resumed.load_state_dict(strategy.state_dict(), STREAM.fetch)
    for each in (strategy, resumed):
        shown(each, 2, columns=6)
    subject, batch = network(tasks=3), STREAM.task(2).select(slice(10))
    one, other = strategy.replay(subject, batch), resumed.replay(subject, batch)
    assert same_rows(one, other)
    logits = subject(one.inputs)
    assert torch.equal(strategy.penalty(subject, one, logits), resumed.penalty(subject, other, logits))


@pytest.mark.parametrize("number", [1e10, 1.7e12, 1e15])
def test_a_time_stamp_among_the_inputs_does_not_stop_learning_for_good(number: float) -> None:
    subject, rows = learner(DER(), tasks=1), STREAM.task(0)
    rows.inputs[0] = number
    skipped = [
        subject.train(rows.select(slice(first, last)), rows.select(slice(0, first)), 25, last).skipped
        for first, last in ((0, 1), (1, 40), (40, 96))
    ]
    assert skipped == [0, 0, 0]


def test_answers_that_an_outlier_got_are_not_compared() -> None:
    strategy, net, batch = DER(capacity=4, rows=8, beta=0), network(tasks=1), STREAM.task(0).select(slice(0, 4))
    strategy.after_step(net, batch, torch.full((4, 2), 2e6))
    mixed = strategy.replay(net, STREAM.task(0).select(slice(10, 14)))
    assert float(strategy.penalty(net, mixed, torch.zeros(len(mixed), 2))) == 0.0
