"""Mean magnitudes of gradients against loops over rows and groups of rows, in float64."""

import copy
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor

from contracts.inputs import TensorInput
from networks.build import build
from networks.flat import Network
from networks.settings import MlpSpec
from tests.trainer.modules import BUILT_IN, CLASSES, OWN, ROWS, Own, built, examples, owned
from tests.trainer.stream import Stream, learner
from trainer.batch import Batch
from trainer.catalogue import load
from trainer.importance import OUTLIER, Choose, UnstableImportance, mean_importance
from trainer.layer_rules import Magnitude

pytestmark = pytest.mark.unit

MAGNITUDES = pytest.mark.parametrize("magnitude", [torch.abs, torch.square], ids=["abs", "square"])


def directions(count: int, batch: Batch, logits: Tensor) -> Tensor:
    """As many directions a row, the same for a row whatever rows are beside it."""
    random = torch.randn(ROWS, count, logits.shape[1], generator=torch.Generator().manual_seed(2))
    return random[batch.ids].to(logits.dtype)


def by_loop(network: Network, batch: Batch, choose: Choose, magnitude: Magnitude, rows: int) -> Tensor:
    """The definition: one group after another, one direction after another, the rows' mean inside the magnitude."""
    module = copy.deepcopy(network.module).double().eval()
    parameters = [each for each in module.parameters() if each.requires_grad]
    inputs = batch.inputs.double() / 255 if batch.inputs.dtype == torch.uint8 else batch.inputs
    inputs = inputs.double() if inputs.is_floating_point() else inputs
    sums = []
    for start in range(0, len(batch), rows):
        group = batch.select(slice(start, start + rows))
        singles = [module(row.unsqueeze(0))[0] for row in inputs[start : start + rows]]
        chosen = choose(group, torch.stack(singles).detach())
        total = torch.zeros(network.layout.size, dtype=torch.float64)
        for number in range(chosen.shape[1]):
            value = sum((v @ logits for v, logits in zip(chosen[:, number], singles, strict=True)), torch.zeros(()))
            found = torch.autograd.grad(value / len(group), parameters, retain_graph=True, materialize_grads=True)
            total += magnitude(torch.cat([each.flatten() for each in found]))
        sums.append(total)
    return torch.stack(sums).mean(dim=0)


def assert_same(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6 * float(expected.mean()))


@MAGNITUDES
@pytest.mark.parametrize("rows", [1, 5])
@pytest.mark.parametrize("name", BUILT_IN)
def test_it_equals_the_loop(name: str, rows: int, magnitude: Magnitude) -> None:
    network, batch = built(name)
    choose = partial(directions, 3)
    expected = by_loop(network, batch, choose, magnitude, rows)
    assert expected.max() > 1e-3
    assert_same(mean_importance(network, batch, choose, magnitude, rows), expected)


@MAGNITUDES
@pytest.mark.parametrize("module", OWN)
def test_it_equals_the_loop_for_modules_of_any_kind(module: type[Own], magnitude: Magnitude) -> None:
    network, batch = owned(module)
    choose = partial(directions, 2)
    assert_same(mean_importance(network, batch, choose, magnitude), by_loop(network, batch, choose, magnitude, rows=1))


@pytest.mark.parametrize("rows", [1, 7])
def test_it_leaves_everything_as_it_was(rows: int) -> None:
    network, batch = built("mlp")
    network.module.train()
    network.gradient.normal_()
    before = [network.theta.clone(), network.gradient.clone(), torch.get_rng_state()]
    mean_importance(network, batch, partial(directions, 2), torch.abs, rows)
    assert network.module.training
    after = [network.theta, network.gradient, torch.get_rng_state()]
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


@pytest.mark.parametrize("rows", [1, 7])
def test_factors_whose_squares_leave_float32_are_taken_in_float64(rows: int) -> None:
    network = build(MlpSpec(hidden=[]), TensorInput(shape=(6,)), CLASSES, seed=1)
    network.theta.mul_(1e-20)
    batch = examples(torch.full((ROWS, 6), 1e21), CLASSES)
    found = mean_importance(network, batch, lambda *given: 1e-25 * directions(1, *given).sign(), torch.square, rows)
    weights = network.layout.views(found)["head.weight"]
    if rows == 1:
        assert weights.flatten().tolist() == pytest.approx([1e-8] * weights.numel())
    else:
        assert 0 < float(weights.mean()) < 1e-8


@pytest.mark.parametrize("rows", [1, 7])
def test_what_is_not_finite_is_refused(rows: int) -> None:
    network, batch = built("mlp")
    whole = network.theta.clone()
    network.theta[0] = torch.nan
    with pytest.raises(UnstableImportance) as refusal:
        mean_importance(network, batch, partial(directions, 1), torch.abs, rows)
    assert refusal.value.code == "non_finite_logits"
    network.theta.copy_(whole)
    with pytest.raises(UnstableImportance) as refusal:
        mean_importance(network, batch, lambda *given: 1e30 * directions(1, *given), torch.square, rows)
    assert refusal.value.code == "non_finite_importance"


def test_no_rows_have_no_importance() -> None:
    network, batch = built("mlp")
    with pytest.raises(ValueError, match="no rows"):
        mean_importance(network, batch.select(slice(0, 0)), partial(directions, 1), torch.abs)


def test_among_rows_that_are_mostly_zero_only_what_is_large_beside_the_others_is_left_out() -> None:
    network, given = built("mlp")
    batch = replace(given, inputs=torch.where(torch.arange(ROWS)[:, None] < 5, given.inputs, 0))
    choose = partial(directions, 1)
    expected = by_loop(network, batch, choose, torch.square, rows=1)
    assert_same(mean_importance(network, batch, choose, torch.square), expected)
    outlying = replace(batch, inputs=batch.inputs.clone())
    outlying.inputs[-1] = 1e6 * OUTLIER
    expected = by_loop(network, batch.select(slice(0, ROWS - 1)), choose, torch.square, rows=1)
    assert_same(mean_importance(network, outlying, choose, torch.square), expected)


def test_rows_that_are_all_zero_all_count() -> None:
    network, given = built("mlp")
    batch, choose = replace(given, inputs=torch.zeros_like(given.inputs)), partial(directions, 1)
    expected = by_loop(network, batch, choose, torch.square, rows=1)
    assert_same(mean_importance(network, batch, choose, torch.square), expected)


@pytest.mark.parametrize("kind", ["ewc", "mas", "scp"])
def test_a_task_without_a_finite_row_ends_without_an_anchor(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    subject, rows = learner(load([{"kind": kind}]), tasks=1), Stream().task(0)
    rows.inputs[:] = torch.nan
    subject.consolidate(rows)
    assert subject.strategy.curvature() == 0.0
    assert "could not anchor a task" in caplog.text
