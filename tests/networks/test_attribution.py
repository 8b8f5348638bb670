"""Attributions against slow and independent computations of the same numbers."""

from typing import Any

import numpy as np
import pytest
import torch

from contracts.inputs import ImageInput, InputSpec, StoryInput, TabularInput, TensorInput, TextInput
from contracts.labels import Column
from contracts.versions import ModelDocument
from networks.attribution import Attribution
from networks.build import build
from networks.errors import Unexplained, UnknownLabel
from networks.flat import Network
from networks.predictor import Predictor
from networks.settings import Architecture, ConvSpec, MemorySpec, MlpSpec, PerTaskSpec, TextSpec
from networks.standardise import observe

pytestmark = pytest.mark.unit
torch.set_num_threads(1)

CLASSES = [Column(label) for label in "abc"]
TASKS = [Column("yes", "x"), Column("no", "x"), Column("yes", "y"), Column("maybe", "y")]
TENSOR = TensorInput(shape=(4,))
ROW = np.asarray([0.5, -1.0, 2.0, 0.1], np.float32)
STEP = 1e-2


def version(spec: Architecture, given: InputSpec, columns: list[Column] = CLASSES) -> tuple[Network, ModelDocument]:
    network = build(spec, given, columns, seed=3)
    network.module.eval()
    scenario = "task" if columns[0].task else "class"
    document = ModelDocument(
        model="pets",
        version=1,
        input=given.model_dump(mode="json"),
        labels={"scenario": scenario},
        columns=columns,
        network=spec.model_dump(mode="json"),
        seed=3,
    )
    return network, document


def attribution(network: Network, document: ModelDocument) -> Attribution:
    return Attribution(document, network.weights(), "cpu")


def logit(network: Network, row: Any, column: int) -> float:
    targets = torch.tensor([column])
    with torch.no_grad():
        return float(network(torch.from_numpy(np.asarray(row)[None]), targets)[0, column])


@pytest.mark.parametrize("columns", [CLASSES, TASKS])
def test_saliency_is_the_slope_of_the_logit(columns: list[Column]) -> None:
    spec = PerTaskSpec(sharing="separate", of=MlpSpec(hidden=[16])) if columns is TASKS else MlpSpec(hidden=[16])
    network, document = version(spec, TENSOR, columns)
    for column in range(len(columns)):
        slopes = [
            (logit(network, ROW + STEP * one, column) - logit(network, ROW - STEP * one, column)) / (2 * STEP)
            for one in np.eye(4, dtype=np.float32)
        ]
        np.testing.assert_allclose(
            attribution(network, document)(ROW, column, "saliency"), np.abs(slopes), rtol=1e-2, atol=1e-3
        )


@pytest.mark.parametrize(
    ("spec", "given", "row"),
    [
        (MlpSpec(hidden=[16]), TENSOR, ROW),
        (ConvSpec(), ImageInput(shape=(8, 8)), np.arange(64, dtype=np.uint8).reshape(8, 8)),
        (TextSpec(), TextInput(max_tokens=8), TextInput(max_tokens=8).encode(["how do you do"])[0]),
    ],
)
def test_integrated_gradients_sum_to_the_difference_from_a_row_of_zeros(spec: Any, given: Any, row: Any) -> None:
    network, document = version(spec, given)
    network.theta.mul_(2)
    values = attribution(network, document)(row, 1, "integrated_gradients")
    difference = logit(network, row, 1) - logit(network, np.zeros_like(row), 1)
    assert values.shape == row.shape
    assert abs(difference) > 1e-3
    assert values.sum() == pytest.approx(difference, rel=0.05)


def test_smooth_grad_is_the_same_each_time_and_leaves_the_generator_alone() -> None:
    subject = attribution(*version(MlpSpec(hidden=[16]), TENSOR))
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, second = subject(ROW, 0, "smooth_grad"), subject(ROW, 0, "smooth_grad")
    np.testing.assert_array_equal(first, second)
    assert (first >= 0).all()
    assert not np.array_equal(first, subject(ROW, 0, "saliency"))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("method", ["saliency", "integrated_gradients", "smooth_grad"])
def test_padding_owes_nothing_and_words_do(method: Any) -> None:
    given = TextInput(max_tokens=8)
    row = given.encode(["good day"])[0]
    values = attribution(*version(TextSpec(), given))(row, 0, method)
    assert (values[:3] != 0).all()
    assert (values[3:] == 0).all()


def test_a_network_whose_tokens_pass_no_single_embedding_is_refused() -> None:
    given = StoryInput()
    row = given.encode([{"story": ["Mary went home."], "question": "Where is Mary?"}])[0]
    with pytest.raises(Unexplained, match="one embedding"):
        attribution(*version(MemorySpec(), given))(row, 0, "saliency")


def test_explaining_leaves_answers_as_they_are() -> None:
    given = TextInput(max_tokens=8)
    network, document = version(TextSpec(), given)
    rows = given.encode(["good day", "how do you do"])
    subject = Predictor(network, document)
    before = subject.predict(rows, None)[2]
    label, values = subject.explain(rows[0], None, "integrated_gradients", None)
    assert label == subject.predict(rows, None)[0][0]
    assert values.any()
    np.testing.assert_array_equal(before, subject.predict(rows, None)[2])


@pytest.mark.parametrize("method", ["saliency", "integrated_gradients", "smooth_grad"])
def test_fitted_columns_compare_whatever_their_scale(method: Any) -> None:
    """Two columns that mean the same, one in millions: what the network makes of each is the same."""
    given = TabularInput.model_validate({"kind": "tabular", "columns": {"small": "fitted", "large": "fitted"}})
    network, document = version(MlpSpec(hidden=[16]), given)
    small = torch.randn(200, 1, generator=torch.Generator().manual_seed(0))
    rows = torch.cat([small, 1e6 * small + 5e6], dim=1)
    observe(network.module, rows)
    first: Any = next(one for one in network.module.modules() if isinstance(one, torch.nn.Linear))
    first.weight.data[:, 1] = first.weight.data[:, 0]
    values = attribution(network, document)(rows[3].numpy(), 0, method)
    assert values.any()
    assert values[0] == pytest.approx(values[1], rel=0.2)


def test_a_label_is_explained_within_its_task() -> None:
    network, document = version(MlpSpec(hidden=[16]), TENSOR, TASKS)
    subject = Predictor(network, document)
    expected = attribution(network, document)(ROW, 2, "saliency")
    label, values = subject.explain(ROW, "y", "saliency", "yes")
    assert label == "yes"
    np.testing.assert_array_equal(values, expected)
    with pytest.raises(UnknownLabel):
        subject.explain(ROW, "x", "saliency", "maybe")
