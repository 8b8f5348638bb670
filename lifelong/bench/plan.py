"""A plan: which stream is made of a data set, and under which protocol it is learned."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np
from pydantic import ValidationError

from contracts.errors import InvalidConfiguration
from contracts.inputs import ImageInput, InputSpec, TextInput
from contracts.labels import Scenario
from lifelong.bench.sources import Source
from lifelong.bench.stream import Stream, divided, permuted, rotated
from lifelong.bench.study import Protocol, plain_learner
from lifelong.document import read_yaml
from lifelong.explain import did_you_mean
from networks.settings import MlpSpec, NetworkSpec, TextSpec, check_fits, parse_network
from trainer.settings import LearnerSettings

Kind = Literal["split", "permuted", "rotated"]
DEFAULT_CLASSES_PER_TASK, DEFAULT_TASKS = 2, 5
HALF_TURN = 180.0
SHOWN_LABELS = 3
LEARNER = frozenset({"batch_size", "learning_rate", "optimiser", "precision", "clip_norm"})
"""What can be said of the learner; the rest of its settings are a service's."""
POINTS_PER_TASK = 10
"""Measurements within a task unless it is said how many: enough to see a stability gap of some steps."""


@dataclass(frozen=True)
class StreamPlan:
    """How tasks are made: their number, for a split also how many classes each has; None leaves it to the data.

    A split uses all classes, unless both numbers are given and ask for fewer.
    """

    kind: Kind = "split"
    scenario: Scenario = "class"
    tasks: int | None = None
    classes_per_task: int | None = None
    seed: int = 0

    def task_sizes(self, source: Source) -> list[int]:
        """How many classes each task has: where only the number of tasks is said, the first may have one more.

        Raises:
            InvalidConfiguration: the data set does not have so many classes, or they cannot be shared out as was said.
        """
        n_classes = len(source.arrays.names)
        if n_classes < 2:
            raise _refused(f"--data: a stream needs at least two classes: {source.arrays.name} has {n_classes}")
        if self.kind != "split":
            if self.classes_per_task is not None:
                raise _refused(f"--classes-per-task: every task of a {self.kind} stream has all classes")
            return [n_classes] * (self.tasks or DEFAULT_TASKS)
        each, least = self.classes_per_task, 1 if self.scenario == "class" else 2
        if each is not None and each < least:
            raise _refused(f"--classes-per-task: in the {self.scenario} scenario a task needs at least two classes")
        if each is not None and self.tasks is None:
            return [each] * _divided_by(n_classes, each, least)
        tasks = self.tasks or len(source.groups) or max(1, (n_classes + 2 - least) // DEFAULT_CLASSES_PER_TASK)
        if tasks * least > n_classes:
            said = f"there are {n_classes} classes, and a task needs {least}"
            raise _refused(f"{tasks} tasks: expected {n_classes // least} at most: {said}")
        if each is not None and tasks * each > n_classes:
            said = f"expected {n_classes // tasks} at most for {tasks} tasks of {n_classes} classes"
            raise _refused(f"--classes-per-task {each}: {said}")
        return [each or n_classes // tasks + (place < n_classes % tasks) for place in range(tasks)]

    def parts(self, source: Source, order: Sequence[int] | None = None) -> list[list[int]]:
        """The classes of each task of a split; `order` is that of all classes, by default the labels'.

        Raises:
            InvalidConfiguration: as `task_sizes` says.
        """
        classes = iter(range(len(source.arrays.names)) if order is None else order)
        return [list(islice(classes, size)) for size in self.task_sizes(source)]

    def notes(self, source: Source) -> list[str]:
        """What may surprise in how the classes are shared out, one line each."""
        sizes, n_classes = self.task_sizes(source), len(source.arrays.names)
        if self.kind != "split":
            return []
        uneven = f"{n_classes} classes in {len(sizes)} tasks: they have {', '.join(map(str, sizes))}"
        left = f"{len(sizes)} tasks of {sizes[0]} classes: {n_classes - sum(sizes)} of {n_classes} are not learned"
        return [uneven] * (len(set(sizes)) > 1) + [left] * (sum(sizes) < n_classes)

    def training_rows(self, source: Source, parts: Sequence[Sequence[int]] | None = None) -> list[int]:
        """How many training rows each task has; `parts` as for `stream`."""
        labels = source.arrays.train_labels
        if self.kind != "split":
            return [len(labels)] * len(self.task_sizes(source))
        by_class = np.bincount(labels, minlength=len(source.arrays.names))
        return [int(by_class[list(own)].sum()) for own in parts or self.parts(source)]

    def stream(self, source: Source, parts: Sequence[Sequence[int]] | None = None) -> Stream:
        """The stream; `parts` are the classes of each task of a split, by default in the labels' order.

        Raises:
            InvalidConfiguration: the data set does not fit the plan.
        """
        tasks, spec = len(self.task_sizes(source)), source.arrays.spec
        if self.kind == "split":
            return divided(source.arrays, parts or self.parts(source), self.scenario)
        if self.kind == "permuted":
            if isinstance(spec, TextInput):
                raise _refused("--kind permuted: the words of a text cannot be permuted; choose split")
            return permuted(source.arrays, tasks, self.scenario, self.seed)
        if not isinstance(spec, ImageInput):
            raise _refused("--kind rotated: only images can be rotated")
        return rotated(source.arrays, [HALF_TURN * place / tasks for place in range(tasks)], self.scenario)

    def titles(self, source: Source, parts: Sequence[Sequence[int]] | None = None) -> list[str]:
        """What each task is, in a few words; `parts` as for `stream`."""
        tasks = len(self.task_sizes(source))
        if self.kind == "permuted":
            return ["as it is", *(f"order {place + 1}" for place in range(1, tasks))]
        if self.kind == "rotated":
            return [f"{HALF_TURN * place / tasks:.0f}°" for place in range(tasks)]
        return [_title(part, source) for part in parts or self.parts(source)]


def _title(classes: Sequence[int], source: Source) -> str:
    """The name of the group that a task is, else its labels."""
    names, groups = source.arrays.names, source.groups
    if groups:
        size = len(names) // len(groups)
        if len(classes) == size and {label // size for label in classes} == {classes[0] // size}:
            return groups[classes[0] // size].replace("_", " ")
    shown = [names[label] for label in classes]
    return ", ".join(shown) if len(shown) <= SHOWN_LABELS else f"{shown[0]} … {shown[-1]}"


def _divided_by(n_classes: int, each: int, least: int) -> int:
    """How many tasks of so many classes there are, where a task needs `least`.

    Raises:
        InvalidConfiguration: some classes would be left over.
    """
    if n_classes % each:
        possible = ", ".join(str(size) for size in range(least, n_classes + 1) if n_classes % size == 0)
        said = f"{n_classes} classes can be shared out {possible} a task"
        raise _refused(f"--classes-per-task {each}: {said}; --tasks shares them out unequally, too")
    return n_classes // each


def network_for(text: str | None, spec: InputSpec) -> NetworkSpec:
    """The network that an option names (`mlp`, or `{kind: mlp, hidden: [100]}`), else one that suits the instances.

    Unlike a service's, the default for images is an MLP: published streams of digits are learned with one.

    Raises:
        InvalidConfiguration: it is unknown, has an unknown setting, or cannot read such instances.
    """
    if text is None:
        return TextSpec() if isinstance(spec, TextInput) else MlpSpec()
    value = read_yaml(text, "--network")
    try:
        network = parse_network({"kind": value} if isinstance(value, str) else value)
    except ValidationError as error:
        raise _refused(f"--network: {_fault(error)}") from None
    check_fits(network, spec)
    return network


def learner_for(text: str | None) -> LearnerSettings:
    """The learner that an option names (`{batch_size: 32, optimiser: sgd}`), else one with the default settings.

    Raises:
        InvalidConfiguration: a setting is unknown or out of range.
    """
    value = {} if text is None else read_yaml(text, "--learner")
    if not isinstance(value, dict):
        raise _refused("--learner: must be settings such as {batch_size: 64, learning_rate: 0.01}")
    for name in value:
        if name not in LEARNER:
            hint = did_you_mean(str(name), sorted(LEARNER))
            raise _refused(f"--learner: expected one of {', '.join(sorted(LEARNER))}{hint}")
    try:
        return plain_learner(**value)
    except ValidationError as error:
        raise _refused(f"--learner: {_fault(error)}") from None


def measuring_interval(measure_every: int | None, stream: Stream, protocol: Protocol) -> int:
    """After how many steps accuracies are measured within tasks: as said, else some ten times a task; 0 for never."""
    if measure_every is not None:
        return measure_every
    rows = min(len(each.train.targets) for each in stream.experiences) * protocol.epochs
    return max(1, rows // protocol.learner.batch_size // POINTS_PER_TASK)


def _fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in fault["loc"])
    return f"{where}: {fault['msg']}" if where else fault["msg"]


def _refused(detail: str) -> InvalidConfiguration:
    return InvalidConfiguration("invalid_setting", detail)
