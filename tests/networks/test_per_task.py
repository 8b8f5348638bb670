"""Networks that keep tasks apart: what each task is computed from, and that a closed one never changes by a bit."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from contracts.errors import InvalidArtifact
from contracts.inputs import InputSpec, TensorInput, TextInput
from contracts.labels import Column
from contracts.versions import ModelDocument
from networks.build import build, from_document
from networks.per_task import LOWEST, TaskNetwork
from networks.predictor import Predictor
from networks.settings import ConvSpec, ImportedSpec, MlpSpec, NetworkSpec, PerTaskSpec, Sharing, TextSpec
from networks.task_modules import Packed

pytestmark = pytest.mark.unit
torch.set_num_threads(1)

INPUT = TensorInput(shape=(4,))
X, Y, Z = ([Column(label, task) for label in ("yes", "no")] for task in "xyz")
ROWS = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
SHARINGS: list[Sharing] = ["separate", "progressive", "packed"]


def network(sharing: Sharing, columns: list[Column], of: NetworkSpec | None = None, given: InputSpec = INPUT) -> Any:
    made = build(PerTaskSpec(sharing=sharing, of=of or MlpSpec(hidden=[5, 3])), given, columns, seed=7)
    assert isinstance(made, TaskNetwork)
    made.module.eval()
    return made


def claim(subject: TaskNetwork, rank: int, every: int) -> None:
    """Gives each `every`-th weight that is free to the task that closes as the `rank`-th, and zeroes the others."""
    assert isinstance(subject.module, Packed)
    owner = subject.module.owner
    free = (owner == 0).nonzero().squeeze(1)
    owner[free[::every]] = rank


def move_what_is_open(subject: TaskNetwork) -> None:
    """Changes every parameter that no closed task uses; of a packed network, that is what a strategy leaves to move."""
    places = subject.layout.views(subject.theta)
    owners = subject.module.owners() if isinstance(subject.module, Packed) else {}
    for name, part in places.items():
        if name.removeprefix("whole.") in owners:
            part[owners[name.removeprefix("whole.")] == 0] += 1.0
        elif owners:
            part[~subject.closed] += 1.0
        else:
            part.add_(1.0)


def answers(subject: TaskNetwork, columns: list[Column]) -> Tensor:
    return subject(ROWS).detach()[:, [subject.columns.index(column) for column in columns]]


@pytest.mark.parametrize("sharing", SHARINGS)
def test_a_closed_task_answers_the_same_bits_for_ever(sharing: Sharing) -> None:
    subject = network(sharing, [*X, *Y])
    if sharing == "packed":
        claim(subject, rank=1, every=2)
    subject.close("x")
    before, others = answers(subject, X), answers(subject, Y)
    move_what_is_open(subject)
    subject.grow([*Z, Column("late", "x")])
    subject.close("z")
    subject.module.train()
    subject.module.eval()
    assert torch.equal(answers(subject, X), before)
    assert not torch.isclose(answers(subject, Y), others).any()


@pytest.mark.parametrize("sharing", SHARINGS)
def test_a_label_that_comes_after_its_task_closed_is_never_answered(sharing: Sharing) -> None:
    subject = network(sharing, X)
    subject.close("x")
    before = subject(ROWS)
    subject.grow([Column("late", "x")])
    assert torch.equal(subject(ROWS)[:, :2], before)
    assert (subject(ROWS)[:, 2] == LOWEST).all()
    assert subject.closed.tolist() == [True] * 3
    scores = predictor(subject).predict(ROWS.numpy(), "x")[2]
    assert not scores[:, 2].any()


@pytest.mark.parametrize("sharing", SHARINGS)
def test_only_the_tasks_asked_for_are_computed_and_their_scores_are_the_same_bits(sharing: Sharing) -> None:
    subject = network(sharing, [X[0], Y[0], X[1], Y[1], *Z])
    everything = subject(ROWS)
    targets = torch.tensor([0, 2, 1, 3, 1, 0])
    asked = subject(ROWS, targets)
    for row, own in enumerate([[0, 2], [0, 2], [1, 3], [1, 3], [1, 3], [0, 2]]):
        torch.testing.assert_close(asked[row, own], everything[row, own])
        others = [column for column in range(6) if column not in own]
        assert (asked[row, others] == LOWEST).all()
    assert torch.equal(subject(ROWS, torch.full((6,), 1))[:, [1, 3]], everything[:, [1, 3]])


@pytest.mark.parametrize("sharing", SHARINGS)
def test_products_can_be_computed_in_bfloat16(sharing: Sharing) -> None:
    subject = network(sharing, X + Y)
    targets = torch.tensor([0, 2, 1, 3, 2, 0])
    exact = subject(ROWS, targets).detach()
    with subject.computing_in(torch.bfloat16):
        rough = subject(ROWS, targets).detach()
    assert rough.dtype == torch.float32
    assert torch.equal(rough == LOWEST, exact == LOWEST)
    assert 0 < float((rough - exact)[exact != LOWEST].abs().max()) < 0.05


def test_separate_tasks_are_networks_of_their_own() -> None:
    subject = network("separate", [X[0], Y[0], X[1]])
    first, second = subject.module.parts
    assert first.head.out_features == 2
    assert torch.equal(subject(ROWS)[:, [0, 2]], first(ROWS))
    assert torch.equal(subject(ROWS)[:, [1]], second(ROWS))
    assert not torch.equal(first.body[1].weight, second.body[1].weight)
    subject(ROWS)[:, 1].sum().backward()
    touched = subject.layout.views(subject.gradient)
    assert all(part.any() == name.startswith("parts.1") for name, part in touched.items())


def test_a_column_reads_its_own_layers_and_those_of_closed_columns() -> None:
    """h_2 = ReLU(W [h_1^x, h_1^z] + b) for the column of z, which was made when x was closed and y was open."""
    subject = network("progressive", [*X, *Y])
    subject.close("x")
    subject.grow(Z)
    first, second, third = subject.module.parts
    one = [torch.relu(part.layers[0](ROWS)) for part in (first, second, third)]
    weight = third.layers[1].weight
    two = torch.relu(one[0] @ weight[:, :5].T + one[2] @ weight[:, 10:].T + third.layers[1].bias)
    first_two = torch.relu(first.layers[1](one[0]))
    head = third.head.weight
    expected = first_two @ head[:, :3].T + two @ head[:, 6:].T + third.head.bias
    torch.testing.assert_close(subject(ROWS)[:, 4:], expected)
    subject(ROWS)[:, 4:].sum().backward()
    gradients = subject.layout.views(subject.gradient)
    assert not any(name.startswith("parts.0") for name in gradients)
    assert not any(part.any() for name, part in gradients.items() if name.startswith("parts.1"))


def test_packed_tasks_use_their_own_weights_and_older_ones() -> None:
    subject = network("packed", [*X, *Y, *Z])
    for rank, task in ((1, "x"), (2, "y")):
        claim(subject, rank, every=3)
        subject.close(task)
    whole, owners = subject.module.whole, subject.module.owners()
    expected = ROWS
    for layer in ("body.1", "body.3"):
        weight, bias = (whole.get_parameter(f"{layer}.{name}") for name in ("weight", "bias"))
        mine = [(owners[f"{layer}.{name}"] > 0) & (owners[f"{layer}.{name}"] <= 1) for name in ("weight", "bias")]
        expected = torch.relu(expected @ (weight * mine[0]).T + bias * mine[1])
    expected = expected @ whole.head.weight[:2].T + whole.head.bias[:2]
    torch.testing.assert_close(subject(ROWS)[:, :2], expected)
    torch.testing.assert_close(subject(ROWS)[:, 4:], whole(ROWS)[:, 4:])
    assert not torch.allclose(subject(ROWS)[:, 2:4], whole(ROWS)[:, 2:4])


OF: list[tuple[NetworkSpec, InputSpec]] = [
    (MlpSpec(hidden=[5], dropout=0.5), INPUT),
    (MlpSpec(hidden=[]), INPUT),
    (ConvSpec(channels=[2], hidden=4), TensorInput(shape=(6, 6))),
    (TextSpec(width=4), TextInput(buckets=50)),
    (ImportedSpec.model_validate({"import": "tests.networks.own_modules:build"}), INPUT),
    (ImportedSpec.model_validate({"import": "tests.networks.own_modules:build_without_bias"}), INPUT),
]
CASES = [(sharing, *of) for sharing in SHARINGS for of in OF if sharing != "progressive" or isinstance(of[0], MlpSpec)]


@pytest.mark.parametrize(("sharing", "of", "given"), CASES)
def test_a_version_is_rebuilt_from_its_document(sharing: Sharing, of: NetworkSpec, given: InputSpec) -> None:
    columns = [X[0], Y[0], X[1], Y[1]]
    subject = network(sharing, columns, of, given)
    subject.theta.mul_(1.5)
    if sharing == "packed":
        claim(subject, rank=1, every=2)
    subject.close("y")
    subject.grow([*Z, Column("late", "y")])
    again = from_document(document(subject, PerTaskSpec(sharing=sharing, of=of), given), subject.weights())
    again.module.eval()
    shape = (3, *given.row_shape)
    rows = torch.ones(shape, dtype=torch.from_numpy(np.empty(0, given.dtype)).dtype)
    assert torch.equal(again(rows), subject(rows))
    assert again.weights() == subject.weights()
    assert again.layout == subject.layout
    with pytest.raises(InvalidArtifact):
        again.load_weights(network(sharing, X, of, given).weights())


@pytest.mark.parametrize("sharing", ["separate", "packed"])
def test_statistics_of_closed_tasks_stay_while_others_are_learned(sharing: Sharing) -> None:
    of = ImportedSpec.model_validate({"import": "tests.networks.own_modules:build"})
    subject = network(sharing, [*X, *Y], of)
    if sharing == "packed":
        claim(subject, rank=1, every=1)
    subject.close("x")
    before = answers(subject, X)
    subject.module.train()
    subject(ROWS, torch.tensor([2, 2, 3, 3, 0, 1]))
    subject.module.eval()
    assert torch.equal(answers(subject, X), before)


def test_rows_teach_the_statistics_of_their_own_task_alone_and_a_single_row_those_of_none() -> None:
    of = ImportedSpec.model_validate({"import": "tests.networks.own_modules:build"})
    subject = network("separate", [*X, *Y], of)
    subject.module.train()
    subject(ROWS, torch.tensor([2, 2, 2, 3, 3, 0]))
    assert not subject.module.parts[0].norm.running_mean.any()
    assert subject.module.parts[1].norm.running_mean.any()
    assert subject.module.training


def test_a_loss_of_closed_tasks_alone_has_a_backward_pass() -> None:
    subject = network("separate", X)
    subject.close("x")
    assert subject.theta.shape == (0,)
    subject(ROWS).sum().backward()


def test_a_network_without_columns_can_be_stored() -> None:
    for sharing in SHARINGS:
        subject = network(sharing, [])
        assert subject(ROWS).shape == (6, 0)
        subject.load_weights(subject.weights())
        assert subject.capacity().tasks == {}


@pytest.mark.parametrize("sharing", SHARINGS)
def test_other_weights_may_be_loaded_after_the_first_answer(sharing: Sharing) -> None:
    made = []
    for factor in (1.0, 2.0):
        subject = network(sharing, [*X, *Y])
        subject.theta.mul_(factor)
        if sharing == "packed":
            claim(subject, rank=1, every=2)
        subject.close("x")
        made.append((subject, subject(ROWS)))
    made[0][0].load_weights(made[1][0].weights())
    assert torch.equal(made[0][0](ROWS), made[1][1])


def test_moments_follow_when_a_task_closes_and_another_comes() -> None:
    subject = network("separate", [*X, *Y])
    layout, vector = subject.layout, torch.arange(1.0, len(subject.theta) + 1)
    subject.close("x")
    subject.grow(Z)
    places = subject.layout.views(subject.expand(vector, layout))
    for name, part in layout.views(vector).items():
        assert (name not in places) if name.startswith("parts.0") else torch.equal(places[name], part)
    assert not any(part.any() for name, part in places.items() if name.startswith("parts.2"))


def test_the_predictor_computes_the_task_that_is_named() -> None:
    subject = network("separate", [*X, *Y])
    asked: list[int] = []
    for number, part in enumerate(subject.module.parts):
        part.register_forward_hook(lambda *_, number=number: asked.append(number))
    scores = predictor(subject).predict(ROWS.numpy(), "y")[2]
    assert asked == [1]
    np.testing.assert_allclose(scores[:, 2:], subject(ROWS)[:, 2:].softmax(1).detach().numpy(), rtol=1e-5)


def test_capacity_is_counted() -> None:
    for sharing in SHARINGS:
        subject = network(sharing, [*X, *Y], MlpSpec(hidden=[5, 3]))
        capacity = subject.capacity()
        own = 4 * 5 + 5 + 5 * 3 + 3
        expected = {"separate": [own + 8] * 2, "progressive": [own + 8, own + 8 + 15 + 6], "packed": [8, 8]}[sharing]
        assert list(capacity.tasks.values()) == expected
        assert capacity.free == (own if sharing == "packed" else 0)
        assert capacity.total == sum(expected) + capacity.free
    claim(subject, rank=1, every=2)
    subject.close("x")
    assert subject.capacity().tasks == {"x": 8 + 22, "y": 8}
    assert subject.capacity().free == own - 22


def predictor(subject: TaskNetwork) -> Predictor:
    return Predictor(subject, document(subject, PerTaskSpec(sharing="separate", of=MlpSpec()), INPUT))


def document(subject: TaskNetwork, spec: PerTaskSpec, given: InputSpec) -> ModelDocument:
    return ModelDocument(
        model="pets",
        version=1,
        input=given.model_dump(mode="json"),
        labels={"scenario": "task"},
        columns=list(subject.columns),
        network=spec.model_dump(mode="json", by_alias=True),
        seed=7,
    )
