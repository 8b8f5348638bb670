"""Strategies that keep tasks apart: closed tasks never change, and the learner continues bit for bit."""

import json
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from contracts.inputs import TensorInput
from contracts.labels import Column
from networks.build import build
from networks.flat import Network
from networks.per_task import TaskNetwork
from networks.settings import MlpSpec
from tests.trainer.strategy_contract.checks import same_rows, same_state
from tests.trainer.stream import ROWS, SETTINGS, WIDTH, Stream
from trainer.batch import Batch, concatenate
from trainer.catalogue import architecture, kinds, load, strategy_class
from trainer.learner import Learner
from trainer.settings import LearnerSettings

pytestmark = pytest.mark.unit

KINDS = [kind for kind in kinds() if strategy_class(kind).scenario == "task"]
COLUMNS = [Column(str(label), f"t{label // 2}") for label in range(12)]


def learner(kind: str, tasks: int = 0, settings: LearnerSettings = SETTINGS, dropout: float = 0.0) -> Learner:
    strategies: list[dict[str, Any]] = [{"kind": kind}]
    spec = architecture(strategies, MlpSpec(hidden=[16], dropout=dropout))
    network = build(spec, TensorInput(shape=(WIDTH,)), COLUMNS[: 2 * tasks], seed=0)
    return Learner(network, load(strategies, scenario="task"), settings)


def meet(subject: Learner, task: int) -> None:
    subject.network.grow(COLUMNS[len(subject.network.columns) : 2 * task + 2])
    subject.before_task(task)


def learn(subject: Learner, stream: Stream, task: int, consolidate: bool = True) -> None:
    meet(subject, task)
    rows = stream.task(task)
    for number in range(3):
        piece = rows.select(slice(number * ROWS // 3, (number + 1) * ROWS // 3))
        subject.train(piece, rows, steps=12, number=10 * task + number)
    if consolidate:
        subject.consolidate(rows)


def logits(subject: Learner, stream: Stream, task: int) -> Tensor:
    """The outputs of a task for its probe rows."""
    with torch.inference_mode():
        return answering(subject)(stream.probe(task).inputs)[:, 2 * task : 2 * task + 2]


def answering(subject: Learner) -> Network:
    return subject.strategy.predictor(subject.network)


def accuracy(subject: Learner, stream: Stream, task: int) -> float:
    right = logits(subject, stream, task).argmax(dim=1) + 2 * task == stream.probe(task).targets
    return float(right.float().mean())


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_closed_task_keeps_every_bit_of_its_answers(kind: str, optimiser: str) -> None:
    rate = 0.01 if optimiser == "adam" else 0.2
    settings = SETTINGS.model_copy(update={"optimiser": optimiser, "learning_rate": rate})
    stream, subject, kept = Stream(), learner(kind, settings=settings), []
    for task in range(5):
        learn(subject, stream, task)
        kept.append(logits(subject, stream, task))
        for earlier, answers in enumerate(kept):
            assert torch.equal(logits(subject, stream, earlier), answers)
    assert all(accuracy(subject, stream, task) > 0.9 for task in range(5))


@pytest.mark.parametrize("kind", KINDS)
def test_late_rows_of_a_closed_task_change_none_of_its_answers(kind: str) -> None:
    stream, subject = Stream(), learner(kind)
    learn(subject, stream, 0)
    learn(subject, stream, 1)
    kept = [logits(subject, stream, task) for task in range(2)]
    meet(subject, 2)
    late = stream.task(0)
    subject.network.grow([Column("late", "t0")])
    wrong = Batch(late.ids, late.inputs, torch.full_like(late.targets, 6), late.tasks)
    for batch in (late, wrong, concatenate([late, stream.task(2)])):
        result = subject.train(batch, stream.task(2), steps=12, number=40)
        assert result.skipped == 0
        assert 0 <= result.loss < 10
    for task in range(2):
        assert torch.equal(logits(subject, stream, task), kept[task])


@pytest.mark.parametrize("kind", KINDS)
def test_tasks_that_are_learned_side_by_side_keep_their_answers_when_they_close(kind: str) -> None:
    stream, subject = Stream(), learner(kind)
    meet(subject, 2)
    for number in range(12):
        piece = slice(number * 8, number * 8 + 8)
        rows = [stream.task(task).select(piece) for task in range(3)]
        subject.train(concatenate(rows), concatenate(rows), steps=8, number=number)
    subject.consolidate(stream.task(2))
    last = logits(subject, stream, 2)
    learn(subject, stream, 0)
    first = logits(subject, stream, 0)
    learn(subject, stream, 1)
    assert torch.equal(logits(subject, stream, 2), last)
    assert torch.equal(logits(subject, stream, 0), first)
    assert all(accuracy(subject, stream, task) > 0.9 for task in range(3))


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_bits(kind: str) -> None:
    ends = []
    for disturbance in (1, 2):
        stream, subject = Stream(), learner(kind, dropout=0.2)
        for task in range(3):
            torch.manual_seed(disturbance)
            learn(subject, stream, task)
        ends.append(subject)
    assert same_state(*ends)


@pytest.mark.parametrize("kind", KINDS)
def test_it_continues_bit_for_bit_from_a_saved_state(kind: str) -> None:
    stream, subject = Stream(), learner(kind, dropout=0.2)
    learn(subject, stream, 0)
    learn(subject, stream, 1, consolidate=False)
    tensors, document = subject.state()
    stored = safetensors.torch.save(tensors), json.dumps(document)
    resumed = learner(kind, tasks=2, dropout=0.2)
    resumed.restore(safetensors.torch.load(stored[0]), json.loads(stored[1]), stream.fetch)
    torch.rand(3)
    for each in (subject, resumed):
        each.consolidate(stream.task(1))
        learn(each, stream, 2, consolidate=False)
        learn(each, stream, 3)
    assert same_state(subject, resumed)


@pytest.mark.parametrize("is_training", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_hooks_leave_rows_mode_and_global_generator_alone(kind: str, is_training: bool) -> None:
    stream, subject = Stream(), learner(kind, dropout=0.2)
    learn(subject, stream, 0)
    meet(subject, 1)
    batch, state = stream.task(1), torch.get_rng_state()
    subject.network.module.train(is_training)
    assert same_rows(subject.strategy.replay(subject.network, batch), batch)
    assert same_rows(subject.strategy.replay(subject.network, stream.task(0)), stream.task(0))
    assert same_rows(batch, stream.task(1))
    subject.strategy.after_task(subject.network, batch)
    assert subject.network.module.training == is_training
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("kind", KINDS)
def test_a_task_without_examples_stays_open(kind: str) -> None:
    stream, subject = Stream(), learner(kind)
    learn(subject, stream, 0, consolidate=False)
    subject.consolidate(stream.task(0).select(slice(0, 0)))
    assert isinstance(subject.network, TaskNetwork)
    assert not subject.network.closed.any()


@pytest.mark.parametrize("kind", KINDS)
def test_closing_a_task_again_changes_nothing(kind: str) -> None:
    stream, subject = Stream(), learner(kind)
    learn(subject, stream, 0)
    weights = subject.network.weights()
    subject.consolidate(stream.task(0))
    assert subject.network.weights() == weights


@pytest.mark.parametrize("kind", KINDS)
def test_another_network_is_refused(kind: str) -> None:
    plain = build(MlpSpec(hidden=[4]), TensorInput(shape=(WIDTH,)), COLUMNS[:2], seed=0)
    with pytest.raises(TypeError, match="architecture"):
        load([{"kind": kind}]).replay(plain, Stream().task(0))


def test_the_methods_that_keep_tasks_apart_are_known() -> None:
    assert {"packnet", "progressive", "separate"} <= set(KINDS)
