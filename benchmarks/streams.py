"""Labelled streams for the benchmarks: real data cut into tasks, class-incremental, in arrival order."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.inputs import ImageInput, InputSpec, TextInput
from lifelong.data import DATA_DIR_VARIABLE, DataSet, mnist, small_digits
from networks.settings import MlpSpec, NetworkSpec, TextSpec

Rows = NDArray[Any]


@dataclass(frozen=True)
class Part:
    """Rows (n, *row_shape) with their labels and the tasks that they belong to."""

    rows: Rows
    labels: Sequence[str]
    tasks: Sequence[str]

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, chosen: Sequence[int]) -> "Part":
        """The named rows, in that order."""
        return Part(self.rows[list(chosen)], [self.labels[i] for i in chosen], [self.tasks[i] for i in chosen])


@dataclass(frozen=True)
class Stream:
    """Events in the order in which they arrive, and a test part that is never sent as feedback."""

    name: str
    input: InputSpec
    network: NetworkSpec
    events: Part
    test: Part

    @property
    def tasks(self) -> list[str]:
        """Task names in the order in which they arrive."""
        return list(dict.fromkeys(self.events.tasks))


def split_digits(data: DataSet, seed: int, events_per_task: int | None = None) -> Stream:
    """Five tasks of two digits each, in an order drawn from `seed`."""
    order = np.random.default_rng(seed).permutation(10)
    task_of = {int(digit): f"digits-{place // 2 + 1}" for place, digit in enumerate(order)}
    train = Part(data.train_images, [str(d) for d in data.train_labels], [task_of[int(d)] for d in data.train_labels])
    test = Part(data.test_images, [str(d) for d in data.test_labels], [task_of[int(d)] for d in data.test_labels])
    shape = data.train_images.shape[1:]
    return Stream(data.name, ImageInput(shape=shape), MlpSpec(), _in_order(train, seed, events_per_task), test)


def clinc(seed: int) -> Stream:
    """CLINC150's ten domains of fifteen intents as ten tasks, in an order drawn from `seed` (Larson et al. 2019)."""
    directory = Path(os.environ[DATA_DIR_VARIABLE]) / "clinc150"
    queries = json.loads((directory / "data_full.json").read_text())
    domains = json.loads((directory / "domains.json").read_text())
    names = list(domains)
    order = [names[place] for place in np.random.default_rng(seed).permutation(len(names))]
    task_of = {intent: domain for domain in order for intent in domains[domain]}
    spec = TextInput(buckets=8192)

    def part(key: str) -> Part:
        texts, intents = zip(*queries[key], strict=True)
        return Part(spec.encode(texts), intents, [task_of[intent] for intent in intents])

    events = _in_order(part("train"), seed, None, order)
    return Stream("CLINC150", spec, TextSpec(), events, part("test"))


def open_stream(name: str, seed: int) -> Stream:
    """A stream by its name: mnist, mnist-steady (2,000 events a task), digits or clinc."""
    match name:
        case "mnist":
            return split_digits(mnist(), seed)
        case "mnist-steady":
            return split_digits(mnist(), seed, events_per_task=2000)
        case "digits":
            return split_digits(small_digits(seed), seed)
        case "clinc":
            return clinc(seed)
    raise ValueError(f"no stream is called {name}")


def untasked(stream: Stream) -> Stream:
    """The same stream as one task in shuffled order, as from producers that name no task."""
    order = [int(i) for i in np.random.default_rng(0).permutation(len(stream.events))]
    events, test = stream.events.select(order), stream.test
    one = replace(events, tasks=["task-1"] * len(events))
    return replace(stream, events=one, test=replace(test, tasks=["task-1"] * len(test)))


def is_probe(event: int, seed: int, fraction: float = 0.1) -> bool:
    """Whether an event is held out: a hash of its id decides, as in the service."""
    digest = hashlib.blake2b(f"{seed}:{event}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < fraction * 2**64


def _in_order(part: Part, seed: int, most: int | None, order: Sequence[str] | None = None) -> Part:
    shuffled = np.random.default_rng(seed + 1).permutation(len(part))
    chosen: list[int] = []
    for task in order or sorted(set(part.tasks)):
        chosen.extend([int(i) for i in shuffled if part.tasks[int(i)] == task][:most])
    return part.select(chosen)
