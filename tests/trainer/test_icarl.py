"""iCaRL: its loss, its exemplars and its answers are those of slow loops, and its answers are what is served."""

import math
import shutil
from pathlib import Path

import apsw
import numpy as np
import pytest
import torch
from torch import Tensor

from contracts.inputs import TensorInput
from contracts.labels import Column
from contracts.versions import Artifact
from networks.build import build, from_document
from networks.settings import ImportedSpec
from tests.trainer.pipeline import Bench, digit_events, split
from tests.trainer.strategy_contract.checks import same_rows
from tests.trainer.stream import WIDTH, Stream, learn, learner
from trainer.batch import Batch, concatenate
from trainer.learner import Learner
from trainer.loss import classification_loss
from trainer.strategies.icarl import ICaRL

pytestmark = pytest.mark.unit


def taught(tasks: int, capacity: int = 24) -> tuple[Learner, Stream, ICaRL]:
    """A learner that ended these tasks."""
    stream, strategy = Stream(), ICaRL(capacity=capacity, rows=16)
    subject = learner(strategy)
    for task in range(tasks):
        learn(subject, stream, task)
    return subject, stream, strategy


def exemplars(strategy: ICaRL, stream: Stream) -> Batch:
    return stream.fetch(strategy.state_dict()["exemplars"])


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def test_the_loss_is_binary_cross_entropy_with_what_was_answered_at_the_last_tasks_end() -> None:
    subject, stream, strategy = taught(1)
    before = subject.network.with_head(subject.network.module.head.weight.data)  # type: ignore[union-attr,arg-type]
    before.theta.copy_(subject.network.theta)
    learn(subject, stream, 1, consolidate=False)
    kept = exemplars(strategy, stream)
    late = stream.task(0).select(~torch.isin(stream.task(0).ids, kept.ids)).select(slice(0, 3))
    batch = concatenate([stream.task(1).select(slice(0, 5)), late, kept.select(slice(0, 4))])
    logits, old = subject.network(batch.inputs).detach(), before(batch.inputs).tolist()
    total = 0.0
    for row, target in enumerate(batch.targets.tolist()):
        for column in range(4):
            wanted = sigmoid(old[row][column]) if column < 2 else float(column == target)
            wanted = 1.0 if column == target and row < 8 else wanted
            answer = sigmoid(float(logits[row, column]))
            total -= wanted * math.log(answer) + (1 - wanted) * math.log(1 - answer)
    assert float(strategy.penalty(subject.network, batch, logits)) == pytest.approx(total / 12, rel=1e-4)


def test_the_loss_is_all_there_is() -> None:
    subject, stream, strategy = taught(1)
    learn(subject, stream, 1, consolidate=False)
    mixed = strategy.replay(subject.network, stream.task(1))
    assert len(mixed) == len(stream.task(1)) + 16
    assert float(classification_loss(subject.network, mixed, subject.network(mixed.inputs).detach())) == 0.0


def unit(features: Tensor) -> Tensor:
    return features / features.norm(dim=1, keepdim=True)


def slow_herding(features: Tensor, count: int) -> list[int]:
    """Every next row brings the mean of those chosen nearest to the mean of all."""
    mean, chosen = features.mean(dim=0), list[int]()
    while len(chosen) < count:
        rest = [row for row in range(len(features)) if row not in chosen]
        chosen.append(min(rest, key=lambda row: float((features[[*chosen, row]].mean(dim=0) - mean).norm())))
    return chosen


def test_exemplars_are_herded_at_their_tasks_end_and_cut_from_the_end_later() -> None:
    subject, stream, strategy = taught(1)
    rows = stream.task(0)
    for target in range(2):
        own = rows.select(rows.targets == target)
        order = slow_herding(unit(subject.network.features(own.inputs).detach().double()), 12)
        kept = exemplars(strategy, stream)
        assert kept.ids[kept.targets == target].tolist() == own.ids[order].tolist()
    first = exemplars(strategy, stream)
    learn(subject, stream, 1)
    then = exemplars(strategy, stream)
    assert torch.bincount(then.targets).tolist() == [6, 6, 6, 6]
    for target in range(2):
        assert then.ids[then.targets == target].tolist() == first.ids[first.targets == target][:6].tolist()


def nearest_mean(subject: Learner, known: Batch, inputs: Tensor) -> Tensor:
    """The class whose mean of unit features, made of length one, is nearest to the unit features."""
    features = unit(subject.network.features(known.inputs).detach().double())
    targets = sorted(set(known.targets.tolist()))
    means = unit(torch.stack([features[known.targets == target].mean(dim=0) for target in targets]))
    distances = torch.cdist(unit(subject.network.features(inputs).detach().double()), means)
    return torch.tensor(targets)[distances.argmin(dim=1)]


def test_the_predictor_answers_the_nearest_mean_of_exemplars() -> None:
    subject, stream, strategy = taught(3)
    inputs = torch.cat([stream.probe(task).inputs for task in range(3)])
    answers = strategy.predictor(subject.network)(inputs).argmax(dim=1)
    assert torch.equal(answers, nearest_mean(subject, exemplars(strategy, stream), inputs))
    assert not torch.equal(answers, subject.network(inputs).argmax(dim=1))


def test_classes_of_the_running_task_are_answered_by_the_mean_of_their_rows_so_far() -> None:
    subject, stream, strategy = taught(1, capacity=400)
    learn(subject, stream, 1, consolidate=False)
    inputs = torch.cat([stream.probe(task).inputs for task in range(2)])
    known = concatenate([exemplars(strategy, stream), stream.task(1)])
    answers = strategy.predictor(subject.network)(inputs).argmax(dim=1)
    assert torch.equal(answers, nearest_mean(subject, known, inputs))
    assert {2, 3} <= set(answers.tolist())


def test_tasks_that_run_side_by_side_keep_their_rows_when_one_ends() -> None:
    subject, stream, strategy = taught(0, capacity=400)
    learn(subject, stream, 0, consolidate=False)
    learn(subject, stream, 1, consolidate=False)
    subject.consolidate(stream.task(1))
    inputs = torch.cat([stream.probe(task).inputs for task in range(2)])
    known = concatenate([stream.task(0), exemplars(strategy, stream)])
    answers = strategy.predictor(subject.network)(inputs).argmax(dim=1)
    assert torch.equal(answers, nearest_mean(subject, known, inputs))


def test_a_class_never_seen_is_never_answered() -> None:
    subject, _, strategy = taught(2)
    subject.network.grow([Column("never")])
    subject.before_task(2)
    inputs = torch.randn(500, WIDTH, generator=torch.Generator().manual_seed(0)) * 5
    probabilities = strategy.predictor(subject.network)(inputs).softmax(dim=1)
    assert not probabilities[:, 4].any()


def test_scores_are_cosines_scaled_by_the_sharpness_and_the_length_of_the_features() -> None:
    subject, stream, strategy = taught(2)
    kept, inputs = exemplars(strategy, stream), stream.probe(1).inputs
    with torch.no_grad():
        features, known = subject.network.features(inputs), subject.network.features(kept.inputs)
        scores = strategy.predictor(subject.network)(inputs)
    means = unit(torch.stack([unit(known)[kept.targets == target].mean(dim=0) for target in range(4)]))
    lengths = features.norm(dim=1, keepdim=True) / known.norm(dim=1).mean()
    assert torch.allclose(scores, 20 * lengths * (unit(features) @ means.T), rtol=1e-4, atol=1e-4)


def test_a_head_without_a_bias_takes_the_means_alone() -> None:
    spec = ImportedSpec.model_validate({"import": "tests.networks.own_modules:build_without_bias"})
    net = build(spec, TensorInput(shape=(WIDTH,)), [Column("0"), Column("1"), Column("never seen")], seed=0)
    strategy, rows = ICaRL(), Stream().task(0)
    strategy.after_step(net, rows, net(rows.inputs).detach())
    scores = strategy.predictor(net)(rows.inputs).detach()
    assert float((scores.argmax(dim=1) == rows.targets).float().mean()) > 0.9
    assert float(scores[:, 2].max()) < float(scores[:, :2].min()) - 1000


def test_a_restored_predictor_has_the_same_bits() -> None:
    subject, stream, strategy = taught(2)
    learn(subject, stream, 2, consolidate=False)
    restored = ICaRL(capacity=24, rows=16, seed=9)
    restored.load_state_dict(strategy.state_dict(), stream.fetch)
    assert restored.predictor(subject.network).weights() == strategy.predictor(subject.network).weights()
    batch = stream.task(2)
    assert same_rows(restored.replay(subject.network, batch), strategy.replay(subject.network, batch))


def test_what_is_served_is_the_predictor_measured_published_and_rebuilt_bit_for_bit(tmp_path: Path) -> None:
    bench = Bench(tmp_path, strategies=[{"kind": "icarl", "capacity": 60, "rows": 32}])
    low, high = digit_events([0, 1, 2], "low"), digit_events([7, 8, 9], "high")
    bench.feed(low)
    bench.drain()
    bench.trainer.close_task("low")
    bench.feed(high)
    bench.drain()
    artifact = Artifact.from_files(bench.service.files)
    assert artifact.model.columns[-1].label in {"7", "8", "9"}
    assert artifact.weights == bench.trainer._course.answering.weights()
    assert artifact.weights != bench.trainer.network.weights()
    served = from_document(artifact.model, artifact.weights)
    for events, task in ((low, "low"), (high, "high")):
        probes = split(events, "probe")
        inputs = torch.from_numpy(np.array([event["instance"] for event in probes], dtype=np.float32))
        answers = [artifact.model.columns[place].label for place in served(inputs).argmax(dim=1).tolist()]
        right = [answer == str(event["label"]) for answer, event in zip(answers, probes, strict=True)]
        measured = artifact.probes.accuracy[artifact.probes.tasks.index(task)]
        assert measured == pytest.approx(sum(right) / len(right))
        assert measured > 0.7
    bench.trainer.end()
    shutil.rmtree(tmp_path / "trainer" / "versions" / str(artifact.version))
    with apsw.Connection(str(tmp_path / "trainer" / "state.db")) as database:
        database.execute("DELETE FROM checkpoints")
    bench.reopen()
    assert Artifact.from_files(bench.service.files).weights == artifact.weights
    bench.log.close()
