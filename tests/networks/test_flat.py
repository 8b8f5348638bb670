"""The flat network: views, growth, expansion, weights."""

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from contracts.errors import InvalidArtifact, InvalidConfiguration
from contracts.inputs import ImageInput, InputSpec, StoryInput, TensorInput, TextInput
from contracts.labels import Column
from networks.build import build
from networks.flat import Layout, Network
from networks.settings import ConvSpec, ImportedSpec, MemorySpec, MlpSpec, NetworkSpec, TextSpec
from tests.networks import own_modules

pytestmark = pytest.mark.unit
torch.set_num_threads(1)

COLUMNS = [Column(label) for label in "abcde"]
OWN = ImportedSpec.model_validate({"import": "tests.networks.own_modules:build"})
WITHOUT_BIAS = ImportedSpec.model_validate({"import": "tests.networks.own_modules:build_without_bias"})
RANDOM = torch.Generator().manual_seed(0)
KINDS: dict[str, tuple[NetworkSpec, InputSpec, Tensor]] = {
    "mlp": (MlpSpec(hidden=[5]), TensorInput(shape=(2, 2)), torch.randn(3, 2, 2, generator=RANDOM)),
    "no hidden layer": (MlpSpec(hidden=[]), TensorInput(shape=(4,)), torch.randn(3, 4, generator=RANDOM)),
    "conv": (
        ConvSpec(channels=[2, 3], hidden=4),
        ImageInput(shape=(3, 8, 8)),
        torch.randint(0, 256, (3, 3, 8, 8), dtype=torch.uint8, generator=RANDOM),
    ),
    "large images": (
        ConvSpec(channels=[2], hidden=4),
        TensorInput(shape=(40, 20)),
        torch.randn(3, 40, 20, generator=RANDOM),
    ),
    "text": (
        TextSpec(width=4, hidden=[3]),
        TextInput(max_tokens=6, buckets=9),
        torch.randint(0, 9, (3, 6), dtype=torch.int32, generator=RANDOM),
    ),
    "memory": (
        MemorySpec(hops=2, width=4, noise=0.0),
        StoryInput(sentences=3, words=5, buckets=9),
        torch.randint(1, 9, (3, 4, 5), dtype=torch.int32, generator=RANDOM),
    ),
    "own": (OWN, TensorInput(shape=(4,)), torch.randn(3, 4, generator=RANDOM)),
    "own without bias": (WITHOUT_BIAS, TensorInput(shape=(4,)), torch.randn(3, 4, generator=RANDOM)),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> tuple[NetworkSpec, InputSpec, Tensor]:
    return KINDS[request.param]


def made(kind: tuple[NetworkSpec, InputSpec, Tensor], n_columns: int, seed: int = 0) -> Network:
    return build(kind[0], kind[1], COLUMNS[:n_columns], seed)


def small(n_columns: int = 2) -> Network:
    return made(KINDS["mlp"], n_columns)


def test_logits_have_a_column_for_each_output(kind: tuple[NetworkSpec, InputSpec, Tensor]) -> None:
    for n_columns in (0, 1, 5):
        assert made(kind, n_columns)(kind[2]).shape == (3, n_columns)


def test_theta_and_gradient_are_the_parameters_and_their_gradients(kind: tuple[NetworkSpec, InputSpec, Tensor]) -> None:
    network = made(kind, 3)
    trainable = [each for each in network.module.parameters() if each.requires_grad]
    network(kind[2]).square().sum().backward()
    assert torch.equal(network.theta, torch.cat([each.detach().flatten() for each in trainable]))
    assert torch.equal(
        network.gradient, torch.cat([each.grad.flatten() for each in trainable if each.grad is not None])
    )
    assert network.gradient.abs().sum() > 0


def test_products_can_be_computed_in_bfloat16_for_a_while(kind: tuple[NetworkSpec, InputSpec, Tensor]) -> None:
    network = made(kind, 3)
    exact = network(kind[2]).detach()
    with network.computing_in(torch.bfloat16):
        rough = network(kind[2])
        rough.square().sum().backward()
    assert rough.dtype == network.gradient.dtype == network.theta.dtype == torch.float32
    assert 0 < float((rough.detach() - exact).abs().max()) < 0.05
    assert network.gradient.isfinite().all()
    assert network.gradient.abs().sum() > 0
    assert torch.equal(network(kind[2]), exact)


def test_backward_adds_to_the_gradient_and_theta_moves_the_network() -> None:
    network, rows = small(), KINDS["mlp"][2]
    network(rows).sum().backward()
    once = network.gradient.clone()
    network(rows).sum().backward()
    assert torch.equal(network.gradient, 2 * once)
    network.theta.zero_()
    assert not network(rows).any()


def test_bytes_are_scaled_to_one() -> None:
    network = made((MlpSpec(hidden=[]), ImageInput(shape=(2, 2)), torch.empty(0)), 2)
    levels = torch.tensor([[[0, 51], [102, 255]]], dtype=torch.uint8)
    assert torch.equal(network(levels), network(torch.tensor([[[0.0, 0.2], [0.4, 1.0]]])))


def test_a_grown_head_keeps_its_rows_and_its_answers(kind: tuple[NetworkSpec, InputSpec, Tensor]) -> None:
    network = made(kind, 2)
    network.module.eval()
    network.theta.add_(0.25)
    before, answers = {name: each.clone() for name, each in network.tensors().items()}, network(kind[2]).detach()
    network.grow(COLUMNS[2:])
    for name, tensor in network.tensors().items():
        assert torch.equal(tensor[: len(before[name])] if tensor.dim() else tensor, before[name])
    torch.testing.assert_close(network(kind[2])[:, :2], answers)
    assert network.columns == COLUMNS
    assert not network.gradient.any()


def test_it_does_not_matter_when_the_head_grew(kind: tuple[NetworkSpec, InputSpec, Tensor]) -> None:
    at_once, later = made(kind, 0), made(kind, 0)
    at_once.grow(COLUMNS)
    later.grow(COLUMNS[:1])
    torch.randn(7)
    later.grow([])
    later.grow(COLUMNS[1:4])
    later.grow(COLUMNS[4:])
    heads = [
        [each for each in network.module.modules() if isinstance(each, nn.Linear)][-1] for network in (at_once, later)
    ]
    assert torch.equal(heads[0].weight, heads[1].weight)
    assert later.layout == at_once.layout
    if isinstance(kind[0], MlpSpec | ConvSpec | TextSpec | MemorySpec):
        assert torch.equal(later.theta, at_once.theta)


def test_the_head_of_a_users_own_classifier_stays_as_it_came() -> None:
    module = own_modules.build(TensorInput(shape=(4,)), 5)
    classify = module.get_submodule("classify")
    assert isinstance(classify, nn.Linear)
    weight = classify.weight.detach().clone()
    network = Network(module, COLUMNS[:5], 0, "cpu", keeps_head=True)
    assert torch.equal(network.tensors()["classify.weight"], weight)
    network.grow([Column("new")])
    assert torch.equal(network.tensors()["classify.weight"][:5], weight)


def test_rows_of_the_head_differ_between_columns_and_seeds() -> None:
    heads = [made(KINDS["mlp"], 5, seed).tensors()["head.weight"] for seed in (0, 1)]
    rows = torch.cat(heads)
    assert len({tuple(row) for row in rows.tolist()}) == 10
    assert rows.abs().max() <= 5**-0.5
    assert rows.abs().mean() == pytest.approx(0.5 * 5**-0.5, rel=0.3)


def test_a_column_is_added_only_once() -> None:
    network = small()
    for again in (COLUMNS[1:3], [COLUMNS[3], COLUMNS[3]]):
        with pytest.raises(ValueError, match="only once"):
            network.grow(again)
    assert network.columns == COLUMNS[:2]


def test_an_expanded_vector_has_zeros_for_what_is_new(kind: tuple[NetworkSpec, InputSpec, Tensor]) -> None:
    network = made(kind, 2)
    layout, vector = network.layout, torch.arange(1.0, network.layout.size + 1, dtype=torch.float64)
    network.grow(COLUMNS[2:])
    expanded = network.expand(vector, layout)
    assert expanded.dtype == torch.float64
    assert torch.equal(expanded[expanded != 0].sort().values, vector)
    for name, part in layout.views(vector).items():
        assert torch.equal(network.layout.views(expanded)[name][: len(part)], part)
    assert network.expand(expanded, network.layout) is expanded


def test_a_foreign_vector_is_not_expanded() -> None:
    network = small()
    for layout in (made(KINDS["no hidden layer"], 2).layout, small(1).layout):
        with pytest.raises(ValueError, match="older layout"):
            network.expand(torch.zeros(3), layout)


def test_a_layout_has_no_gaps() -> None:
    layout = Layout.of(
        [("a", torch.zeros(2, 3)), ("b", torch.zeros(())), ("c", torch.zeros(0, 4)), ("d", torch.zeros(5))]
    )
    assert (layout.offsets, layout.size) == ((0, 6, 7, 7), 12)
    views = layout.views(torch.arange(12))
    assert views["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert views["d"].tolist() == [7, 8, 9, 10, 11]


def test_columns_compete_within_their_task_only() -> None:
    columns = [Column("a", "x"), Column("b", "y"), Column("b", "x")]
    network = build(MlpSpec(hidden=[]), TensorInput(shape=(4,)), columns, seed=0)
    assert network.task_mask is not None
    assert network.task_mask.tolist() == [[True, False, True], [False, True, False], [True, False, True]]
    assert small().task_mask is None


def test_weights_come_back_bit_for_bit(kind: tuple[NetworkSpec, InputSpec, Tensor]) -> None:
    one, other = made(kind, 4, seed=1), made(kind, 4, seed=2)
    one.module.train()
    one(kind[2])
    other.load_weights(one.weights())
    assert torch.equal(one.theta, other.theta)
    assert all(torch.equal(each, other.tensors()[name]) for name, each in one.tensors().items())
    assert other.weights() == one.weights()


def test_buffers_and_frozen_parameters_belong_to_the_weights() -> None:
    network = made(KINDS["own"], 2)
    assert {"norm.running_mean", "norm.num_batches_tracked", "frozen.weight"} <= network.tensors().keys()
    assert not any(name.startswith(("frozen", "norm.running")) for name in network.layout.names)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_weights_that_are_not_finite_are_refused(value: float) -> None:
    network = small()
    before = network.theta.clone()
    tensors = {name: each.clone() for name, each in network.tensors().items()}
    tensors["head.weight"][1, 2] = value
    with pytest.raises(InvalidArtifact) as refusal:
        network.load_weights(safetensors.torch.save(tensors))
    assert refusal.value.code == "non_finite"
    assert torch.equal(network.theta, before)


def test_weights_of_anything_else_are_refused() -> None:
    network, good = small(), small().weights()
    tensors = {name: each.clone() for name, each in network.tensors().items()}
    renamed = {name.replace("head", "tail"): each for name, each in tensors.items()}
    doubled = {name: each.double() for name, each in tensors.items()}
    others = [safetensors.torch.save(each) for each in (renamed, doubled, {})]
    for content in [b"", b"\xff" * 64, good[:-1], good[:20], small(3).weights(), *others]:
        with pytest.raises(InvalidArtifact) as refusal:
            network.load_weights(content)
        assert refusal.value.code == "bad_weights"


@pytest.mark.parametrize(
    ("builder", "fact"),
    [("build_tied", "share its weight"), ("build_headless", "no nn.Linear"), ("build_doubles", "float32")],
)
def test_a_module_without_a_head_that_can_grow_is_refused(builder: str, fact: str) -> None:
    spec = ImportedSpec.model_validate({"import": f"tests.networks.own_modules:{builder}"})
    with pytest.raises(InvalidConfiguration, match=fact) as refusal:
        build(spec, TensorInput(shape=(4,)), COLUMNS, seed=0)
    assert refusal.value.code == "bad_module"


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_with_another_head_scores_the_same_features_and_leaves_the_network_alone(kind: str) -> None:
    spec, input_spec, rows = KINDS[kind]
    network = build(spec, input_spec, COLUMNS, seed=1)
    weight = torch.randn(len(COLUMNS), network.features(rows).shape[1], generator=RANDOM)
    theta = network.theta.clone()
    copy = network.with_head(weight)
    assert torch.allclose(copy(rows), network.features(rows) @ weight.T, atol=1e-5)
    assert torch.equal(network.theta, theta)
    assert copy.columns == network.columns
    rebuilt = build(spec, input_spec, COLUMNS, seed=1)
    rebuilt.load_weights(copy.weights())
    assert torch.equal(rebuilt(rows), copy(rows))


def test_a_single_number_is_carried_over_when_the_head_grows() -> None:
    class Scaling(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(1.0))
            self.head = nn.Linear(2, 1)

        def forward(self, rows: Tensor) -> Tensor:
            logits: Tensor = self.head(rows * self.scale)
            return logits

    network = Network(Scaling(), COLUMNS[:1], seed=0, device="cpu")
    before, vector = network.layout, torch.arange(1.0, network.layout.size + 1)
    network.grow(COLUMNS[1:2])
    assert network.layout.views(network.expand(vector, before))["scale"] == before.views(vector)["scale"]
