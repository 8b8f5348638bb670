"""An experiment: methods and seeds on one stream, with progress on stderr and one document at the end."""

import os
import platform
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from contracts.inputs import TextInput
from lifelong.bench.plan import LEARNER, StreamPlan, measuring_interval
from lifelong.bench.results import Found, Run, found, run_of
from lifelong.bench.sources import Source
from lifelong.bench.study import Method, Protocol, Study
from lifelong.output import stderr
from trainer.catalogue import check_strategies

FEW_STEPS = 50
"""Steps below which a task is said to be short: a network from scratch is then far from what it could learn."""


@dataclass(frozen=True)
class Experiment:
    """What is compared: every method learns the same stream, once for each seed.

    `measure_every` steps accuracies are measured within tasks; None for some ten times a task, 0 for never. With
    `shuffles` every seed but 0 draws an order of the classes of its own.
    """

    source: Source
    plan: StreamPlan
    protocol: Protocol
    seeds: int = 1
    measure_every: int | None = None
    shuffles: bool = False

    @property
    def titles(self) -> list[str]:
        """What each task is; where its classes change with the seed, only its number."""
        titles = self.plan.titles(self.source)
        return [f"task {place + 1}" for place in range(len(titles))] if self.shuffles else titles

    @property
    def notes(self) -> list[str]:
        """What one should know before its numbers are believed, one line each."""
        return [*self.plan.notes(self.source), *self._short_tasks()]

    def say_notes(self) -> None:
        """Prints them on stderr."""
        for note in self.notes:
            stderr().print(f"note: {note}", highlight=False, markup=False, soft_wrap=True)

    def _short_tasks(self) -> list[str]:
        """How many tasks are short, of those of a seed; where seeds differ, with the one that has most of them."""
        batch_size, epochs = self.protocol.learner.batch_size, self.protocol.epochs
        orders = [self._parts(seed) for seed in range(self.seeds if self.shuffles else 1)]
        rows = [self.plan.training_rows(self.source, parts) for parts in orders]
        pass_steps = [[max(1, -(-count // batch_size)) for count in counts] for counts in rows]
        n_short = [sum(each * epochs < FEW_STEPS for each in steps) for steps in pass_steps]
        if not any(n_short):
            return []
        shortest = min(map(min, pass_steps))
        how_many = f"{'up to ' * (min(n_short) < max(n_short))}{max(n_short)} of {len(pass_steps[0])}"
        which = f"{how_many} tasks take fewer than {FEW_STEPS} steps, the shortest {shortest * epochs}"
        enough = -(-FEW_STEPS // shortest)
        return [f"{which}: too few to learn much; try --epochs {enough}, or a smaller batch_size in --learner"]

    def run(self, methods: Sequence[Method]) -> list[Found]:
        """Learns the stream with every method and seed, joint training first, since others are measured against it.

        Intransigence is against cumulative training where that is among the methods, else against the joint bound.
        """
        for method in methods:
            self.check(method)
        joint: dict[int, list[float | None]] = {}
        by_name: dict[str, list[Run]] = {each.name: [] for each in methods}
        with progressing("learning", len(methods) * self.seeds) as advance:
            for method in sorted(methods, key=lambda each: (not each.is_joint, not each.is_cumulative)):
                for seed in range(self.seeds):
                    run = self.run_one(method, seed, joint.get(seed, []))
                    by_name[method.name].append(run)
                    if method.is_joint:
                        joint[seed] = run.accuracy[-1]
                    elif method.is_cumulative:
                        joint[seed] = [row[place] for place, row in enumerate(run.accuracy)]
                    advance(f"{method.name}, seed {seed}")
        return [found(each, by_name[each.name]) for each in methods]

    def check(self, method: Method) -> None:
        """Makes sure before any work that a method can learn this stream.

        Raises:
            InvalidConfiguration: its strategies need another scenario, another network, or instances that are numbers.
        """
        is_tokens = isinstance(self.source.arrays.spec, TextInput)
        check_strategies(method.strategies, self.plan.scenario, self.protocol.network, is_tokens)

    def run_one(
        self,
        method: Method,
        seed: int,
        joint: Sequence[float | None] = (),
        parts: Sequence[Sequence[int]] | None = None,
    ) -> Run:
        """One run; `joint` is the last row of the joint bound, if there is one, `parts` the classes of each task."""
        stream = self.plan.stream(self.source, parts or self._parts(seed))
        interval = measuring_interval(self.measure_every, stream, self.protocol)
        outcome = Study(stream, self.protocol, method, seed).run(interval)
        return run_of(outcome, seed, method.is_joint, joint)

    def _parts(self, seed: int) -> list[list[int]]:
        """The classes of each task of a split, as this seed has them."""
        if not self.shuffles or seed == 0:
            return self.plan.parts(self.source)
        order = np.random.default_rng(seed).permutation(len(self.source.arrays.names))
        return self.plan.parts(self.source, order.tolist())

    def document(self) -> dict[str, Any]:
        """Data, settings, machine and versions: what has to be known to repeat the experiment."""
        arrays, protocol = self.source.arrays, self.protocol
        rows = {"training_rows": len(arrays.train_labels), "test_rows": len(arrays.test_labels)}
        return {
            "command": shlex.join(["lifelong", *sys.argv[1:]]),
            "data": {"name": arrays.name, "classes": len(arrays.names), **rows},
            "settings": {
                "scenario": self.plan.scenario,
                "kind": self.plan.kind,
                "tasks": len(self.titles),
                "classes_per_task": self.plan.task_sizes(self.source),
                "shuffled": self.shuffles,
                "network": protocol.network.model_dump(mode="json", by_alias=True),
                "epochs": protocol.epochs,
                "learner": protocol.learner.model_dump(mode="json", include=set(LEARNER)),
                "seeds": self.seeds,
            },
            "machine": machine(),
            "tasks": self.titles,
            "notes": self.notes,
        }


def machine() -> dict[str, Any]:
    """Where it ran, and with what."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "threads": torch.get_num_threads(),
    }


def _processor() -> str:
    """Linux names it in a file; elsewhere Python knows its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


@contextmanager
def progressing(what: str, total: int) -> Iterator[Any]:
    """A bar on stderr; what is yielded takes a step and says what was done."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=stderr()) as progress:
        bar = progress.add_task(what, total=total)
        yield lambda done: progress.update(bar, advance=1, description=f"{done} done")
