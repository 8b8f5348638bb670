"""Predictors: probabilities, task masks, and inputs at the edge of float32."""

import numpy as np
import pytest
import torch

from contracts.inputs import TensorInput
from contracts.labels import Column
from contracts.versions import ModelDocument
from networks.build import build
from networks.errors import UnknownTask, Untrained
from networks.flat import Network
from networks.predictor import Predictor
from networks.settings import MlpSpec

pytestmark = pytest.mark.unit
torch.set_num_threads(1)

SPEC, INPUT = MlpSpec(hidden=[16], dropout=0.5), TensorInput(shape=(4,))
CLASSES = [Column(label) for label in "abc"]
TASKS = [Column("yes", "x"), Column("no", "x"), Column("yes", "y"), Column("no", "y"), Column("maybe", "y")]
ROWS = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)


def predictor(columns: list[Column]) -> tuple[Predictor, Network]:
    network = build(SPEC, INPUT, columns, seed=0)
    network.theta.mul_(5)
    document = ModelDocument(
        model="pets",
        version=1,
        input=INPUT.model_dump(mode="json"),
        labels={"scenario": "task" if columns and columns[0].task else "class"},
        columns=columns,
        network=SPEC.model_dump(mode="json"),
        seed=0,
    )
    return Predictor(network, document), network


def test_scores_are_the_softmax_of_the_logits() -> None:
    subject, network = predictor(CLASSES)
    labels, probabilities, scores = subject.predict(ROWS, None)
    expected = network(torch.from_numpy(ROWS)).softmax(dim=1).detach().numpy()
    np.testing.assert_allclose(scores, expected, rtol=1e-5)
    np.testing.assert_array_equal(probabilities, scores.max(axis=1))
    assert labels == ["abc"[index] for index in expected.argmax(axis=1)]
    assert len(set(labels)) > 1


def test_outside_the_task_scenario_a_task_is_ignored() -> None:
    subject, _ = predictor(CLASSES)
    np.testing.assert_array_equal(subject.predict(ROWS, "any")[2], subject.predict(ROWS, None)[2])


def test_only_the_columns_of_the_named_task_answer() -> None:
    subject, network = predictor(TASKS)
    labels, probabilities, scores = subject.predict(ROWS, "y")
    expected = network(torch.from_numpy(ROWS))[:, 2:].softmax(dim=1).detach().numpy()
    assert not scores[:, :2].any()
    np.testing.assert_allclose(scores[:, 2:], expected, rtol=1e-5)
    np.testing.assert_allclose(probabilities, expected.max(axis=1), rtol=1e-5)
    assert labels == [TASKS[2 + index].label for index in expected.argmax(axis=1)]
    assert set(subject.predict(ROWS, "x")[0]) <= {"yes", "no"}


@pytest.mark.parametrize(("task", "code"), [(None, "task_required"), ("z", "unknown_task")])
def test_the_task_scenario_needs_a_known_task(task: str | None, code: str) -> None:
    subject, _ = predictor(TASKS)
    with pytest.raises(UnknownTask) as refusal:
        subject.predict(ROWS, task)
    assert refusal.value.code == code


def test_a_version_without_columns_has_no_answer() -> None:
    subject, _ = predictor([])
    with pytest.raises(Untrained):
        subject.predict(ROWS, None)


@pytest.mark.parametrize("columns", [CLASSES, TASKS])
@pytest.mark.parametrize("size", [3.4e38, -3.4e38, 1e30, 1e-45])
def test_probabilities_are_finite_whatever_the_numbers(columns: list[Column], size: float) -> None:
    subject, _ = predictor(columns)
    rows = np.full((2, 4), size, dtype=np.float32)
    rows[1, ::2] *= -1
    labels, probabilities, scores = subject.predict(rows, "x")
    assert len(labels) == 2
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)
    assert np.isfinite(probabilities).all()


def test_no_rows_have_no_answers_and_read_only_rows_are_read() -> None:
    subject, _ = predictor(CLASSES)
    assert subject.predict(ROWS[:0], None)[0] == []
    frozen = np.frombuffer(ROWS.tobytes(), dtype=np.float32).reshape(ROWS.shape)
    assert subject.predict(frozen, None)[0] == subject.predict(ROWS, None)[0]
