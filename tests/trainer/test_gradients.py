"""The gradients of groups of rows are those that each group has alone, whatever the network is made of."""

import pytest
import torch
from torch import Tensor

from contracts.labels import Column
from networks.flat import Network
from tests.trainer.modules import BUILT_IN, CLASSES, OWN, TASKS, Own, built, owned
from trainer.batch import Batch
from trainer.gradients import GroupGradients, loss_gradient

pytestmark = pytest.mark.unit

SIZES = [7, 1, 15]


def alone(network: Network, rows: Batch) -> Tensor:
    """One pass after the other."""
    ends = torch.tensor(SIZES).cumsum(0).tolist()
    groups = [rows.select(slice(end - size, end)) for end, size in zip(ends, SIZES, strict=True)]
    return torch.stack([loss_gradient(network, group) for group in groups])


def passes(network: Network, gradients: GroupGradients, rows: Batch) -> int:
    """How often the network is asked."""
    asked: list[object] = []
    hook = network.module.register_forward_hook(lambda *_: asked.append(None))
    gradients(network, rows, SIZES)
    hook.remove()
    return len(asked)


@pytest.mark.parametrize("columns", [CLASSES, TASKS])
@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_networks(name: str, columns: list[Column]) -> None:
    network, rows = built(name, columns)
    torch.testing.assert_close(GroupGradients()(network, rows, SIZES), alone(network, rows))


@pytest.mark.parametrize("module", OWN)
def test_own_modules(module: type[Own]) -> None:
    network, rows = owned(module)
    gradients = GroupGradients()
    for _ in range(2):
        torch.testing.assert_close(gradients(network, rows, SIZES), alone(network, rows))
        network.theta.mul_(0.9)


def test_linear_layers_take_one_pass_and_others_one_for_each_group() -> None:
    for (network, rows), expected in ((built("mlp"), 1), (built("conv"), len(SIZES))):
        gradients = GroupGradients()
        gradients(network, rows, SIZES)
        assert passes(network, gradients, rows) == expected


def test_the_layers_are_those_of_the_network_after_it_grew() -> None:
    network, rows = built("mlp", CLASSES[:4])
    gradients = GroupGradients()
    gradients(network, rows, SIZES)
    network.grow(CLASSES[4:])
    torch.testing.assert_close(gradients(network, rows, SIZES), alone(network, rows))
    assert not network.gradient.any()
