"""The Fisher diagonal: its values against a loop over single rows, its variants, and what it must leave alone."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from contracts.inputs import TensorInput
from contracts.labels import Column
from networks.build import build
from networks.flat import Network
from networks.settings import MlpSpec
from tests.trainer.modules import (
    BUILT_IN,
    CLASSES,
    OWN,
    ROWS,
    TASKS,
    Attention,
    BatchNormalisedInPlace,
    LayerNormalised,
    Own,
    Recurrent,
    built,
    examples,
    owned,
)
from trainer.batch import Batch, concatenate
from trainer.fisher import FisherVariant, fisher_diagonal
from trainer.importance import UnstableImportance
from trainer.per_sample import PerSampleSums

pytestmark = pytest.mark.unit


def by_single_rows(network: Network, batch: Batch, variant: FisherVariant = "exact") -> Tensor:
    """The definition, row by row and label by label, in float64."""
    module = copy.deepcopy(network.module).double().eval()
    parameters = [each for each in module.parameters() if each.requires_grad]
    total, all_columns = torch.zeros(network.layout.size, dtype=torch.float64), len(network.columns)
    mask = torch.ones(all_columns, all_columns, dtype=torch.bool) if network.task_mask is None else network.task_mask
    inputs = batch.inputs.double() / 255 if batch.inputs.dtype == torch.uint8 else batch.inputs
    for row, target in zip(inputs, batch.targets, strict=True):
        given = row.unsqueeze(0)
        logits = module(given.double() if given.is_floating_point() else given)[0]
        log_p = logits.masked_fill(~mask[target], -torch.inf).log_softmax(0)
        labels = {"exact": torch.nonzero(mask[target]).flatten(), "predicted": [log_p.argmax()], "empirical": [target]}
        for label in labels[variant]:
            found = torch.autograd.grad(log_p[label], parameters, retain_graph=True, materialize_grads=True)
            weight = log_p[label].exp() if variant == "exact" else 1.0
            total += weight * torch.cat([each.flatten() for each in found]).square()
    return total.detach() / len(batch)


def assert_same(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6 * float(expected.mean()) + 1e-30)


def learned() -> tuple[Network, Batch]:
    """A network that is sure of nearly all its rows, which lie about a centre for each label."""
    generator = torch.Generator().manual_seed(4)
    targets = torch.arange(200) % len(CLASSES)
    inputs = torch.randn(len(CLASSES), 8, generator=generator)[targets] + torch.randn(200, 8, generator=generator)
    network = build(MlpSpec(hidden=[32]), TensorInput(shape=(8,)), CLASSES, seed=1)
    optimiser = torch.optim.Adam(network.module.parameters(), lr=0.1)
    for _ in range(300):
        network.gradient.zero_()
        nn.functional.cross_entropy(network(inputs), targets).backward()
        optimiser.step()
    return network, examples(inputs, CLASSES)


def backward_passes(monkeypatch: pytest.MonkeyPatch, network: Network, batch: Batch) -> int:
    passes, grad = [], torch.autograd.grad

    def counted(*given: object, **named: object) -> tuple[Tensor, ...]:
        passes.append(given)
        return grad(*given, **named)

    with monkeypatch.context() as patched:
        patched.setattr(torch.autograd, "grad", counted)
        fisher_diagonal(network, batch)
    return len(passes)


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("columns", [CLASSES, TASKS, CLASSES[:2]], ids=["classes", "tasks", "two"])
def test_it_equals_the_loop_over_single_rows(name: str, columns: list[Column]) -> None:
    network, batch = built(name, columns)
    expected = by_single_rows(network, batch)
    assert expected.max() > 1e-3
    assert_same(fisher_diagonal(network, batch), expected)


@pytest.mark.parametrize("module", OWN)
def test_it_equals_the_loop_for_modules_of_any_kind(module: type[Own]) -> None:
    network, batch = owned(module)
    assert_same(fisher_diagonal(network, batch), by_single_rows(network, batch))


@pytest.mark.parametrize("variant", ["predicted", "empirical"])
@pytest.mark.parametrize("columns", [CLASSES, TASKS], ids=["classes", "tasks"])
@pytest.mark.parametrize("name", BUILT_IN)
def test_other_variants_take_one_label_a_row(name: str, columns: list[Column], variant: FisherVariant) -> None:
    network, batch = built(name, columns)
    assert_same(fisher_diagonal(network, batch, variant), by_single_rows(network, batch, variant))


def test_it_is_the_closed_form_of_logistic_regression() -> None:
    network = build(MlpSpec(hidden=[]), TensorInput(shape=(6,)), CLASSES, seed=1)
    batch = examples(BUILT_IN["mlp"][2], CLASSES)
    p = network(batch.inputs).softmax(dim=1).detach().double()
    expected = (p * (1 - p)).T @ batch.inputs.double().square() / len(batch)
    assert_same(network.layout.views(fisher_diagonal(network, batch))["head.weight"], expected)


def test_sampled_labels_come_from_the_model_and_from_the_seed() -> None:
    network, batch = built("mlp")
    draws = [fisher_diagonal(network, batch, "sampled", seed) for seed in range(300)]
    assert torch.equal(fisher_diagonal(network, batch, "sampled", 5), draws[5])
    assert not torch.equal(draws[0], draws[1])
    exact, mean = fisher_diagonal(network, batch), torch.stack(draws).mean(dim=0)
    assert float((mean - exact).norm() / exact.norm()) < 0.1


def test_columns_of_other_tasks_have_no_importance() -> None:
    network, batch = built("mlp", TASKS)
    of_x = batch.select(torch.nonzero(batch.targets < 2).flatten())
    head = network.layout.views(fisher_diagonal(network, of_x))["head.weight"]
    assert head[:2].sum() > 0
    assert not head[2:].any()


def test_one_label_carries_no_information() -> None:
    network, batch = built("mlp", CLASSES[:1])
    for variant in ("exact", "sampled", "predicted", "empirical"):
        assert not fisher_diagonal(network, batch, variant).any()
    own = Network(LayerNormalised(), CLASSES[:1], 1, "cpu")
    assert not fisher_diagonal(own, examples(torch.randn(3, 4, 6), CLASSES[:1])).any()


def test_chunks_do_not_change_the_values(monkeypatch: pytest.MonkeyPatch) -> None:
    for network, batch in (built("text"), owned(Attention)):
        whole = fisher_diagonal(network, batch)
        monkeypatch.setattr("trainer.importance.LARGEST_CHUNK", 5)
        monkeypatch.setattr("trainer.fisher.EXACT_CHUNK", 5)
        monkeypatch.setattr("trainer.per_sample.REST_NUMBERS", 1)
        assert_same(fisher_diagonal(network, batch), whole.double())
        monkeypatch.undo()


def test_built_in_networks_need_no_vectorised_gradients() -> None:
    for name in BUILT_IN:
        network, batch = built(name)
        assert PerSampleSums(network, batch.inputs[0], torch.square, torch.float32).rest == []
    network, batch = owned(LayerNormalised)
    assert PerSampleSums(network, batch.inputs[0], torch.square, torch.float32).rest == ["norm.weight", "norm.bias"]


@pytest.mark.parametrize("module", [BatchNormalisedInPlace, Attention, Recurrent])
def test_it_leaves_everything_as_it_was(module: type[Own]) -> None:
    network, batch = owned(module)
    network.module.head.eval()
    modes = [part.training for part in network.module.modules()]
    network.gradient.normal_()
    tensors = {name: each.clone() for name, each in network.tensors().items()}
    gradient, state = network.gradient.clone(), torch.get_rng_state()
    for variant in ("exact", "sampled"):
        fisher_diagonal(network, batch, variant)
    assert [part.training for part in network.module.modules()] == modes
    assert torch.equal(network.gradient, gradient)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(each, tensors[name]) for name, each in network.tensors().items())
    assert not any(part._forward_hooks for part in network.module.modules())


@pytest.mark.parametrize("scale", [1e15, 1e-15])
def test_inputs_whose_squares_leave_float32_are_still_exact(scale: float) -> None:
    network = build(MlpSpec(hidden=[]), TensorInput(shape=(6,)), CLASSES, seed=1)
    network.theta.mul_(0.1 / scale)
    inputs = BUILT_IN["mlp"][2].clone() * scale
    batch = examples(inputs, CLASSES)
    assert_same(fisher_diagonal(network, batch), by_single_rows(network, batch))


def test_an_outlier_whose_square_overflows_is_taken_in_float64() -> None:
    network = Network(nn.Sequential(nn.Linear(6, 3), nn.Tanh(), nn.Linear(3, 1)), CLASSES, 1, "cpu")
    inputs = BUILT_IN["mlp"][2].clone()
    inputs[4] = 3e18
    inputs[5] = torch.tensor([1e-3, -1e-3, 0, 0, 0, 0])
    network.layout.views(network.theta)["0.weight"][:] = torch.tensor([1.0, -1.0] * 3)
    batch = examples(inputs, CLASSES)
    assert torch.isfinite(fisher_diagonal(network, batch)).all()


@pytest.mark.parametrize("scale", [1e2, 1e3, 1e5])
def test_a_network_that_is_sure_of_everything_has_little_information(scale: float) -> None:
    network = build(MlpSpec(hidden=[]), TensorInput(shape=(6,)), CLASSES, seed=1)
    network.theta.mul_(scale)
    batch = examples(BUILT_IN["mlp"][2], CLASSES)
    assert_same(fisher_diagonal(network, batch), by_single_rows(network, batch))


def test_a_network_that_learned_its_rows_has_the_same_information_as_the_loop_finds() -> None:
    network, batch = learned()
    found, expected = fisher_diagonal(network, batch).double(), by_single_rows(network, batch)
    assert 0 < float(expected.max()) < 1e-2
    assert float((found - expected).abs().max()) < 1e-5 * float(expected.max())
    assert float(found.sum()) == pytest.approx(float(expected.sum()), rel=1e-5)
    of_bias, expected_of_bias = (float(network.layout.views(each)["head.bias"].sum()) for each in (found, expected))
    assert of_bias == pytest.approx(expected_of_bias, rel=2e-6), "the bias has the trace of the logits' covariance"


def test_certain_rows_cost_few_backward_passes_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.fisher.EXACT_CHUNK", 20)
    network, batch = learned()
    n_chunks = len(batch) // 20
    assert 0 < backward_passes(monkeypatch, network, batch) <= n_chunks
    network.theta.mul_(0.1)
    assert backward_passes(monkeypatch, network, batch) == n_chunks * (len(CLASSES) - 1)
    network.theta.mul_(1e3)
    assert backward_passes(monkeypatch, network, batch) == 0
    assert not fisher_diagonal(network, batch).any()


def test_rows_that_need_no_backward_pass_count_in_the_mean() -> None:
    network, batch = learned()
    certain = batch.select(network(batch.inputs).softmax(dim=1).amax(dim=1).argsort()[-1:].expand(len(batch)))
    certain = replace(certain, inputs=certain.inputs * 10)
    found, expected = fisher_diagonal(network, concatenate([batch, certain])), fisher_diagonal(network, batch) / 2
    assert float((found - expected).abs().max()) < 1e-5 * float(expected.max())


@pytest.mark.parametrize("size", [1e2, 1e4])
def test_certain_rows_with_large_inputs_are_not_left_out(size: float) -> None:
    net = build(MlpSpec(hidden=[]), TensorInput(shape=(2,)), [Column(str(number)) for number in range(5)], seed=0)
    net.theta.zero_()
    (weight,) = (view for view in net.layout.views(net.theta).values() if view.dim() == 2)
    weight[0, 1] = 18 / size
    inputs = torch.tensor([[0.0, size]] * 30 + [[1.0, 0.0]] * 20)
    zeros = torch.zeros(50, dtype=torch.int64)
    batch = Batch(torch.arange(50), inputs, zeros, zeros)
    expected = by_single_rows(net, batch)
    assert float((fisher_diagonal(net, batch) - expected).abs().max()) < 1e-5 * float(expected.max())


def test_an_outlier_does_not_count() -> None:
    network, batch = learned()
    outlying = replace(batch, inputs=batch.inputs.clone())
    outlying.inputs[7] *= 1e4
    others = batch.select(torch.arange(len(batch)) != 7)
    assert torch.equal(fisher_diagonal(network, outlying), fisher_diagonal(network, others))


def test_what_is_not_finite_is_refused() -> None:
    network, batch = built("mlp")
    network.theta[0] = torch.nan
    with pytest.raises(UnstableImportance, match="outputs") as refusal:
        fisher_diagonal(network, batch)
    assert refusal.value.code == "non_finite_logits"
    linear = build(MlpSpec(hidden=[]), TensorInput(shape=(6,)), CLASSES, seed=1)
    linear.theta.zero_()
    with pytest.raises(UnstableImportance, match="23 rows") as refusal:
        fisher_diagonal(linear, examples(torch.full((ROWS, 6), 1e30), CLASSES))
    assert refusal.value.code == "non_finite_importance"


def test_no_rows_have_no_information() -> None:
    network, batch = built("mlp")
    with pytest.raises(ValueError, match="no rows"):
        fisher_diagonal(network, batch.select(slice(0, 0)))
