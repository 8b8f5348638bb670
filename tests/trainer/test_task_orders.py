"""How difficult and how alike tasks are, and the orders that follow."""

import pytest
import torch

from contracts.inputs import TensorInput
from contracts.labels import Column
from networks.build import build
from networks.flat import Network
from networks.settings import MlpSpec
from trainer.batch import Batch
from trainer.settings import LearnerSettings
from trainer.task_orders import MEASURED_ROWS, chain, cosines, easy_first, learned_accuracy, mean_features

pytestmark = pytest.mark.unit
torch.set_num_threads(1)
SETTINGS = LearnerSettings(learning_rate=0.01)


def untrained() -> Network:
    return build(MlpSpec(hidden=[16]), TensorInput(shape=(4,)), [Column("a"), Column("b")], seed=0)


def clouds(distance: float, rows: int = 200) -> Batch:
    """Rows of two labels, one after the other, so far apart from each other."""
    targets = torch.arange(rows) * 2 // rows
    noise = torch.randn(rows, 4, generator=torch.Generator().manual_seed(0))
    return Batch(torch.arange(rows), noise + distance * targets[:, None], targets, torch.zeros_like(targets))


def test_a_chain_goes_to_the_nearest_or_to_the_farthest() -> None:
    similarity = [[1.0, 0.1, 0.9], [0.1, 1.0, 0.3], [0.9, 0.3, 1.0]]
    assert chain(similarity, 1) == [0, 2, 1]
    assert chain(similarity, -1) == [0, 1, 2]


def test_the_easiest_comes_first_and_equals_stay_as_they_are() -> None:
    assert easy_first([0.7, 0.9, 0.7, 1.0]) == [3, 1, 0, 2]


def test_a_task_whose_labels_lie_apart_is_easier() -> None:
    accuracies = [learned_accuracy(untrained(), clouds(distance), SETTINGS) for distance in (0.1, 1.0, 3.0)]
    assert accuracies == sorted(accuracies)
    assert accuracies[0] < 0.7
    assert accuracies[2] > 0.9


def test_measuring_disturbs_no_random_numbers() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    learned_accuracy(untrained(), clouds(1.0), SETTINGS)
    assert torch.equal(torch.rand(3), expected)


def test_all_labels_of_a_long_task_are_measured() -> None:
    network = untrained()
    rows = clouds(3.0, rows=3 * MEASURED_ROWS)
    half = rows.select(slice(0, len(rows) // 2))
    whole, first = (mean_features(network, each.inputs) for each in (rows, half))
    assert not torch.allclose(whole, first, rtol=0.1)


def test_tasks_are_compared_by_where_they_lie_beside_the_others() -> None:
    similarity = torch.tensor(cosines([torch.tensor([9.0, 1.0]), torch.tensor([9.0, 1.1]), torch.tensor([9.0, -2.0])]))
    assert similarity[0, 1] > 0.99
    assert similarity[0, 2] < -0.99
    assert torch.allclose(similarity.diagonal(), torch.ones(3))
