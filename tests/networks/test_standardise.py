"""Fitted columns: the stream's own mean and deviation, kept after a thousand rows, and learned from at any scale."""

import numpy as np
import pytest
import torch

from contracts.errors import InvalidConfiguration
from contracts.inputs import TabularInput
from contracts.labels import Column
from contracts.versions import ModelDocument
from networks.build import build, from_document
from networks.settings import MlpSpec, PerTaskSpec
from networks.standardise import FITTED_ROWS, LARGEST, Standardise, observe
from trainer.batch import Batch
from trainer.learner import Learner
from trainer.settings import LearnerSettings
from trainer.strategy import Naive

pytestmark = pytest.mark.unit
torch.set_num_threads(1)
SPEC = TabularInput.model_validate(
    {"kind": "tabular", "columns": {"colour": ["red", "blue"], "income": "fitted", "age": "number"}}
)
CLASSES = [Column("no"), Column("yes")]
GENERATOR = np.random.default_rng(0)


def rows(n_rows: int) -> torch.Tensor:
    return torch.from_numpy(GENERATOR.normal([3.0, -1e6], [2.0, 1e5], (n_rows, 2)).astype(np.float32))


def test_it_standardises_by_all_rows_seen_whatever_their_bunches() -> None:
    subject, given = Standardise(2, [0, 1]), rows(500)
    for part in given.split([1, 7, 92, 400]):
        subject.observe(part)
    expected = (given - given.mean(dim=0)) / given.std(dim=0, correction=0)
    torch.testing.assert_close(subject(given), expected.clamp(-LARGEST, LARGEST), rtol=1e-3, atol=1e-3)


def test_other_columns_stay_as_they_are() -> None:
    subject, given = Standardise(2, [1]), rows(50)
    subject.observe(given)
    assert torch.equal(subject(given)[:, 0], given[:, 0])
    assert not torch.equal(subject(given)[:, 1], given[:, 1])


def test_before_any_row_nothing_changes() -> None:
    given = rows(5)
    assert torch.equal(Standardise(2, [0, 1])(given), given)


def test_the_scale_is_kept_after_a_thousand_rows() -> None:
    subject, given = Standardise(2, [0, 1]), rows(FITTED_ROWS)
    subject.observe(given)
    before = subject(given)
    subject.observe(rows(500) * 100)
    assert torch.equal(subject(given), before)


def test_a_constant_column_and_an_outlier_do_no_harm() -> None:
    subject = Standardise(2, [0, 1])
    subject.observe(torch.tensor([[5.0, 0.0]] * 99 + [[5.0, 1.0]]))
    found = subject(torch.tensor([[5.0, 3e38], [6.0, -3e38]]))
    assert found.tolist() == [[0.0, LARGEST], [1.0, -LARGEST]]


def test_a_version_has_its_own_scale() -> None:
    network = build(MlpSpec(hidden=[4]), SPEC, CLASSES, seed=1)
    given = torch.randn(20, 4)
    observe(network.module, given)
    document = ModelDocument(
        model="pets",
        version=1,
        input=SPEC.model_dump(mode="json"),
        labels={},
        columns=CLASSES,
        network=MlpSpec(hidden=[4]).model_dump(mode="json"),
        seed=1,
    )
    rebuilt = from_document(document, network.weights())
    assert torch.equal(rebuilt(given), network(given))
    fresh = build(MlpSpec(hidden=[4]), SPEC, CLASSES, seed=1)
    assert not torch.equal(fresh(given), network(given))


def accuracy(kind: str) -> float:
    """On held-out rows, of a network that learned whether an income of any currency is above its mean."""
    spec = TabularInput.model_validate({"kind": "tabular", "columns": {"income": kind}})
    income = np.random.default_rng(1).normal(-1e6, 1e5, 600)
    instances = [{"income": float(one)} for one in income]
    targets = torch.from_numpy((income > -1e6).astype(np.int64))
    encoded = torch.from_numpy(spec.encode(instances))
    network = build(MlpSpec(hidden=[16]), spec, CLASSES, seed=0)
    learner = Learner(network, Naive(), LearnerSettings())
    batch = Batch(torch.arange(500), encoded[:500], targets[:500], torch.zeros(500, dtype=torch.int64))
    learner.before_task(0)
    for number in range(100):
        learner.train(batch, batch, 4, number)
    return float((network(encoded[500:]).argmax(dim=1) == targets[500:]).float().mean())


def test_a_column_of_any_scale_is_learned() -> None:
    assert accuracy("fitted") > 0.9
    assert accuracy("number") < 0.7


def test_strategies_that_keep_tasks_apart_refuse_what_all_tasks_share() -> None:
    with pytest.raises(InvalidConfiguration, match="keep tasks apart"):
        build(PerTaskSpec(sharing="separate", of=MlpSpec()), SPEC, [], seed=0)
