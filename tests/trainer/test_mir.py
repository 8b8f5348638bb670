"""MIR replays the exemplars that a step on the new rows, really taken, harms most."""

import copy

import pytest
import torch
from torch.nn.functional import cross_entropy

from networks.flat import Network
from tests.trainer.stream import Stream, learn, learner
from trainer.batch import Batch
from trainer.strategies.mir import MIR
from trainer.strategies.replay import Replay
from trainer.strategy import Chain

pytestmark = pytest.mark.unit

RATE = 0.3


def harmed_most(subject: Network, batch: Batch, exemplars: Batch, count: int) -> set[int]:
    """Ids of the exemplars whose loss a step of a copy on the batch raises most."""
    module = copy.deepcopy(subject.module)
    before = [float(cross_entropy(module(row[None]), target[None]).detach()) for row, target in _rows(exemplars)]
    optimiser = torch.optim.SGD(module.parameters(), lr=RATE)
    optimiser.zero_grad()
    cross_entropy(module(batch.inputs), batch.targets).backward()
    optimiser.step()
    after = [float(cross_entropy(module(row[None]), target[None]).detach()) for row, target in _rows(exemplars)]
    harm = dict(zip(exemplars.ids.tolist(), (new - old for new, old in zip(after, before, strict=True)), strict=True))
    return set(sorted(harm, key=lambda number: harm[number], reverse=True)[:count])


def _rows(batch: Batch) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return list(zip(batch.inputs, batch.targets, strict=True))


def test_the_exemplars_harmed_most_are_replayed() -> None:
    stream, subject = Stream(), learner(MIR(capacity=30, rows=8, candidates=30, rate=RATE), tasks=4)
    for task in range(3):
        learn(subject, stream, task)
    exemplars = stream.fetch(subject.strategy.state_dict()["ids"])
    for start in range(0, 40, 10):
        batch = stream.task(3).select(slice(start, start + 10))
        expected = harmed_most(subject.network, batch, exemplars, 8)
        theta, gradient = subject.network.theta.clone(), subject.network.gradient.clone()
        mixed = subject.strategy.replay(subject.network, batch)
        assert set(mixed.ids[10:].tolist()) == expected
        assert torch.equal(subject.network.theta, theta)
        assert torch.equal(subject.network.gradient, gradient)


def test_behind_other_replay_the_harm_is_that_of_the_new_rows_alone() -> None:
    stream, own = Stream(), MIR(capacity=30, rows=8, candidates=30, rate=RATE)
    subject = learner(Chain([Replay(capacity=30, rows=60), own]), tasks=4)
    for task in range(3):
        learn(subject, stream, task)
    exemplars, batch = stream.fetch(own.state_dict()["ids"]), stream.task(3).select(slice(0, 10))
    mixed = subject.strategy.replay(subject.network, batch)
    expected = harmed_most(subject.network, batch, exemplars, 8)
    assert set(mixed.ids[70:].tolist()) == expected
    assert expected != harmed_most(subject.network, mixed.select(slice(0, 70)), exemplars, 8)


def test_few_exemplars_are_all_replayed_once() -> None:
    stream, subject = Stream(), learner(MIR(capacity=6, rows=8), tasks=2)
    learn(subject, stream, 0)
    mixed = subject.strategy.replay(subject.network, stream.task(1))
    assert sorted(mixed.ids[96:].tolist()) == sorted(subject.strategy.state_dict()["ids"].tolist())


def test_candidates_are_other_ones_each_time() -> None:
    stream, subject = Stream(), learner(MIR(capacity=90, rows=4, candidates=8), tasks=2)
    learn(subject, stream, 0)
    batch = stream.task(1)
    drawn = [frozenset(subject.strategy.replay(subject.network, batch).ids[96:].tolist()) for _ in range(5)]
    assert len(set(drawn)) == 5
