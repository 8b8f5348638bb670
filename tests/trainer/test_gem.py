"""GEM turns a gradient as the quadratic program says, solved here over every active set; A-GEM by its one formula."""

from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from contracts.inputs import TensorInput
from contracts.labels import Column
from networks.build import build
from networks.flat import Network
from networks.settings import MlpSpec
from tests.trainer.stream import ROWS, WIDTH, Stream, learn, learner, network
from trainer.batch import Batch
from trainer.strategies.agem import AGEM
from trainer.strategies.gem import GEM

pytestmark = pytest.mark.unit

TASKS = 4


def remembering(strategy: GEM | AGEM, subject: Network) -> Stream:
    stream = Stream()
    for task in range(TASKS):
        strategy.after_task(subject, stream.task(task))
    return stream


def remembered(strategy: GEM | AGEM, stream: Stream) -> list[Batch]:
    """What is kept of each task."""
    ids = strategy.state_dict()["ids"]
    return [stream.fetch(ids[ids // ROWS == task]) for task in range(TASKS)]


def gradient(subject: Network, rows: Batch, outputs: list[int] | None = None) -> Tensor:
    """The gradient of the mean cross-entropy, row by row, among the named outputs or all."""
    total = torch.zeros(subject.layout.size, dtype=torch.float64)
    for number in range(len(rows)):
        logits = subject.module(rows.inputs[number : number + 1])
        target = int(rows.targets[number])
        if outputs is not None:
            logits, target = logits[:, outputs], outputs.index(target)
        parts = torch.autograd.grad(cross_entropy(logits, torch.tensor([target])), list(subject.module.parameters()))
        total += torch.cat([part.flatten() for part in parts]).double()
    return total / len(rows)


def projected(g: Tensor, past: list[Tensor], margin: float) -> Tensor:
    """g + Gᵀ v, v being the best of the points that are stationary for some set of variables above the margin."""
    rows = torch.stack(past).numpy()
    matrix, linear = rows @ rows.T + 1e-3 * np.eye(len(rows)), rows @ g.double().numpy()
    best, lowest = None, np.inf
    for choice in product([False, True], repeat=len(rows)):
        free, v = np.array(choice), np.full(len(rows), margin)
        rest = linear[free] + matrix[np.ix_(free, ~free)] @ v[~free]
        v[free] = np.linalg.solve(matrix[np.ix_(free, free)], -rest)
        value = v @ matrix @ v / 2 + linear @ v
        if (v >= margin).all() and value < lowest:
            best, lowest = v, value
    return g.double() + torch.from_numpy(best @ rows)


def random_gradient(subject: Network, seed: int) -> Tensor:
    return torch.randn(subject.layout.size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("margin", [0.0, 0.5])
def test_gem_solves_its_program(margin: float) -> None:
    strategy, subject = GEM(capacity=40, margin=margin), network(TASKS)
    memories = remembered(strategy, remembering(strategy, subject))
    past = [gradient(subject, memory) for memory in memories]
    for seed in range(10):
        g = random_gradient(subject, seed)
        subject.gradient.copy_(g)
        strategy.project_gradients(subject)
        assert min(float(each @ g.double()) for each in past) < 0
        torch.testing.assert_close(subject.gradient.double(), projected(g, past, margin), rtol=1e-4, atol=1e-5)
        assert min(float(each @ subject.gradient.double()) for each in past) > -0.01


@pytest.mark.parametrize("huge", [1e25, 3e38])
def test_a_memory_without_a_finite_gradient_binds_nothing_and_the_others_still_do(huge: float) -> None:
    strategy, subject, stream = GEM(capacity=40), network(TASKS), Stream()
    for task in range(TASKS):
        rows = stream.task(task)
        if task == 1:
            rows.inputs.fill_(huge)
        strategy.after_task(subject, rows)
    memories = remembered(strategy, stream)
    past = [gradient(subject, memory) for task, memory in enumerate(memories) if task != 1]
    turned = 0
    for seed in range(10):
        g = random_gradient(subject, seed)
        subject.gradient.copy_(g)
        strategy.project_gradients(subject)
        expected = projected(g, past, 0.5) if min(float(each @ g.double()) for each in past) < 0 else g.double()
        torch.testing.assert_close(subject.gradient.double(), expected, rtol=1e-4, atol=1e-5)
        turned += not torch.equal(subject.gradient, g)
    assert turned > 0


def test_where_no_memory_has_a_finite_gradient_the_step_is_left_as_it_is() -> None:
    strategy, subject = GEM(capacity=40), network(TASKS)
    rows = Stream().task(0)
    rows.inputs.fill_(3e38)
    strategy.after_task(subject, rows)
    g = random_gradient(subject, 0)
    subject.gradient.copy_(g)
    strategy.project_gradients(subject)
    assert torch.equal(subject.gradient, g)


def test_gem_leaves_a_gradient_that_harms_no_task() -> None:
    strategy, subject = GEM(capacity=40), network(TASKS)
    memories = remembered(strategy, remembering(strategy, subject))
    g = sum((gradient(subject, memory) for memory in memories), torch.zeros(())).float()
    subject.gradient.copy_(g)
    strategy.project_gradients(subject)
    assert torch.equal(subject.gradient, g)


def test_in_the_task_scenario_only_a_task_s_own_outputs_compete() -> None:
    columns = [Column(str(number), f"t{number // 2}") for number in range(2 * TASKS)]
    subject = build(MlpSpec(hidden=[16]), TensorInput(shape=(WIDTH,)), columns, seed=0)
    strategy = GEM(capacity=40, margin=0.0)
    memories = remembered(strategy, remembering(strategy, subject))
    past = [gradient(subject, memory, [2 * task, 2 * task + 1]) for task, memory in enumerate(memories)]
    g = random_gradient(subject, 0)
    subject.gradient.copy_(g)
    strategy.project_gradients(subject)
    torch.testing.assert_close(subject.gradient.double(), projected(g, past, 0.0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("capacity", "task_rows", "kept"), [(42, None, 10), (400, None, ROWS), (400, 9, 9)])
def test_ended_tasks_share_the_memory(capacity: int, task_rows: int | None, kept: int) -> None:
    strategy = GEM(capacity=capacity, task_rows=task_rows)
    memories = remembered(strategy, remembering(strategy, network(TASKS)))
    assert all(kept <= len(memory) <= kept + 1 for memory in memories)


def test_agem_takes_out_what_opposes_the_mean_gradient_of_its_sample() -> None:
    strategy, subject = AGEM(capacity=TASKS, rows=3 * TASKS), network(TASKS)
    memories = remembered(strategy, remembering(strategy, subject))
    reference = sum((gradient(subject, memory) for memory in memories), torch.zeros(())) / TASKS
    g = random_gradient(subject, 0)
    for sign in (1.0, -1.0):
        subject.gradient.copy_(sign * g)
        strategy.project_gradients(subject)
        along = float(reference @ (sign * g.double()))
        if along >= 0:
            assert torch.equal(subject.gradient, sign * g)
        else:
            expected = sign * g.double() - along / float(reference @ reference) * reference
            torch.testing.assert_close(subject.gradient.double(), expected, rtol=1e-4, atol=1e-5)
            assert abs(float(reference @ subject.gradient.double())) < 1e-4


def test_a_huge_exemplar_neither_hangs_nor_turns_the_gradient() -> None:
    stream, subject = Stream(), learner(GEM(capacity=20))
    rows = stream.task(0)
    rows.inputs[0] = 1e25
    learn(subject, stream, 0, consolidate=False)
    subject.consolidate(rows)
    learn(subject, stream, 1)
    assert subject.network.theta.isfinite().all()
