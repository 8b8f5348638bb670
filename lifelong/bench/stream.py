"""A stream of tasks, made of any labelled arrays: split by class, permuted or rotated, in each of three scenarios."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from contracts.inputs import ImageInput, InputSpec
from contracts.labels import Column, Scenario

Indices = NDArray[np.int64]
CHUNK_ROWS = 10_000


@dataclass(frozen=True)
class Arrays:
    """Labelled rows, already encoded: inputs `(n, *row_shape)`, labels `(n,)` as places in `names`."""

    name: str
    spec: InputSpec
    names: Sequence[str]
    train_inputs: Tensor
    train_labels: Indices
    test_inputs: Tensor
    test_labels: Indices


class Rows(NamedTuple):
    """Inputs `(n, *row_shape)`, each row's output as a place in the stream's `columns`, and the number of its task."""

    inputs: Tensor
    targets: Tensor
    tasks: Tensor


class Experience(NamedTuple):
    """A task's examples as they are seen, and the rows that it is tested on."""

    task: str
    train: Rows
    test: Rows


@dataclass(frozen=True)
class Stream:
    """Tasks in their order. `columns` are all outputs there will be, in the order of their first task."""

    name: str
    scenario: Scenario
    spec: InputSpec
    columns: list[Column]
    experiences: list[Experience]

    def columns_of(self, place: int) -> int:
        """How many columns are known once the task at this place has come."""
        return 1 + max(int(each.train.targets.max()) for each in self.experiences[: place + 1])

    def merged(self) -> "Stream":
        """The same tasks, with the training rows of all in the first: what joint training learns."""
        parts = [each.train for each in self.experiences]
        together = Rows(*(torch.cat(part) for part in zip(*parts, strict=True)))
        shares = [together, *(Rows(*(part[:0] for part in together)) for _ in parts[1:])]
        merged = [each._replace(train=share) for each, share in zip(self.experiences, shares, strict=True)]
        return replace(self, experiences=merged)

    def cumulative(self) -> "Stream":
        """The same tasks, each with the training rows of all before it, too: joint training task by task."""
        parts = [each.train for each in self.experiences]
        so_far = [Rows(*map(torch.cat, zip(*parts[: place + 1], strict=True))) for place in range(len(parts))]
        grown = [each._replace(train=rows) for each, rows in zip(self.experiences, so_far, strict=True)]
        return replace(self, experiences=grown)


def split(data: Arrays, classes_per_task: int, scenario: Scenario, order: Sequence[int] | None = None) -> Stream:
    """Each task has classes of its own: the next `classes_per_task` of `order`, by default of the labels' order.

    In the domain scenario the columns are the places of a label within its task.

    Raises:
        ValueError: the classes cannot be shared out equally.
    """
    classes = list(range(len(data.names))) if order is None else list(order)
    if len(classes) % classes_per_task:
        raise ValueError(f"{len(classes)} classes cannot be shared out {classes_per_task} a task")
    parts = [classes[first : first + classes_per_task] for first in range(0, len(classes), classes_per_task)]
    return divided(data, parts, scenario)


def divided(data: Arrays, parts: Sequence[Sequence[int]], scenario: Scenario) -> Stream:
    """Each task has the classes of its part, however many; columns are as `split` says."""
    experiences = []
    firsts = accumulate((len(own) for own in parts), initial=0)
    for number, (own, place) in enumerate(zip(parts, firsts, strict=False)):
        first = 0 if scenario == "domain" else place
        column = np.full(len(data.names), -1, dtype=np.int64)
        column[list(own)] = np.arange(first, first + len(own))
        train, test = np.isin(data.train_labels, own), np.isin(data.test_labels, own)
        experiences.append(
            Experience(
                _task(number),
                _rows(data.train_inputs[torch.from_numpy(train)], column[data.train_labels[train]], number),
                _rows(data.test_inputs[torch.from_numpy(test)], column[data.test_labels[test]], number),
            )
        )
    return Stream(f"split {data.name}", scenario, data.spec, _split_columns(data, parts, scenario), experiences)


def permuted(data: Arrays, tasks: int, scenario: Scenario, seed: int) -> Stream:
    """Every task has all classes, its numbers in an order of its own; the first task's are as they come."""
    random = np.random.default_rng(seed)
    size = data.train_inputs[0].numel()
    orders = [np.arange(size), *(random.permutation(size) for _ in range(tasks - 1))]

    def shuffled(inputs: Tensor, number: int) -> Tensor:
        return inputs.flatten(1)[:, torch.from_numpy(orders[number])].view(inputs.shape)

    return _same_classes(data, tasks, scenario, "permuted", shuffled)


def rotated(data: Arrays, degrees: Sequence[float], scenario: Scenario) -> Stream:
    """Every task has all classes, its images turned by an angle of its own.

    Raises:
        ValueError: the instances are no images.
    """
    if not isinstance(data.spec, ImageInput):
        raise ValueError("only images can be rotated")

    def turned(inputs: Tensor, number: int) -> Tensor:
        return torch.cat([_turned(some, math.radians(degrees[number])) for some in torch.split(inputs, CHUNK_ROWS)])

    return _same_classes(data, len(degrees), scenario, "rotated", turned)


def _turned(images: Tensor, angle: float) -> Tensor:
    """Images `(n, [channels,] height, width)` turned about their centre, bilinear, black where nothing was."""
    planes = images.float().view(len(images), -1, *images.shape[-2:])
    matrix = torch.tensor([[math.cos(angle), -math.sin(angle), 0.0], [math.sin(angle), math.cos(angle), 0.0]])
    grid = affine_grid(matrix.expand(len(planes), 2, 3), list(planes.shape), align_corners=False)
    return grid_sample(planes, grid, align_corners=False).round().to(images.dtype).view(images.shape)


def _same_classes(
    data: Arrays, tasks: int, scenario: Scenario, kind: str, change: Callable[[Tensor, int], Tensor]
) -> Stream:
    n_classes = len(data.names)
    experiences = []
    for number in range(tasks):
        first = 0 if scenario == "domain" else number * n_classes
        experiences.append(
            Experience(
                _task(number),
                _rows(change(data.train_inputs, number), first + data.train_labels, number),
                _rows(change(data.test_inputs, number), first + data.test_labels, number),
            )
        )
    columns = [Column(name) for name in data.names]
    if scenario == "task":
        columns = [Column(name, _task(number)) for number in range(tasks) for name in data.names]
    elif scenario == "class":
        columns = [Column(f"{_task(number)}/{name}") for number in range(tasks) for name in data.names]
    return Stream(f"{kind} {data.name}", scenario, data.spec, columns, experiences)


def _split_columns(data: Arrays, parts: Sequence[Sequence[int]], scenario: Scenario) -> list[Column]:
    if scenario == "domain":
        return [Column(str(place)) for place in range(max(map(len, parts)))]
    return [
        Column(data.names[label], _task(number) if scenario == "task" else None)
        for number, own in enumerate(parts)
        for label in own
    ]


def _rows(inputs: Tensor, targets: Indices, task: int) -> Rows:
    columns = torch.from_numpy(targets)
    return Rows(inputs, columns, torch.full_like(columns, task))


def _task(number: int) -> str:
    return f"task-{number + 1}"
