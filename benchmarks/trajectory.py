"""A learner's way through a stream, measured at every point where the gate would be asked.

Under `refused: continue` the weights do not depend on what the gate says. So one run of the learner, with its answers
to all probe and test rows kept at every point, shows what any policy would have served.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch

from benchmarks.streams import Part, Stream, is_probe
from contracts.labels import Column
from networks.build import build
from trainer.answers import Answers, Flags
from trainer.batch import Batch
from trainer.catalogue import load
from trainer.evaluation import ProbeSets
from trainer.learner import Learner
from trainer.settings import LearnerSettings

ROWS_PER_TASK = 1000
RECENT_ROWS = 256


class Rhythm(NamedTuple):
    """How events arrive: so many a round, at least so many steps a round, a decision after so many rounds."""

    events: int
    min_steps: int
    rounds: int


@dataclass(frozen=True)
class Moment:
    """The learner at one point: events seen, seconds spent learning, tasks trained since the last moment, answers."""

    event: int
    seconds: float
    trained: frozenset[str]
    probe: Answers
    test: Answers


@dataclass
class Run:
    """One learner on one stream; `example` numbers count from 1 in arrival order."""

    stream: Stream
    strategy: Sequence[dict[str, object]]
    seed: int
    settings: LearnerSettings = field(default_factory=LearnerSettings)

    def __post_init__(self) -> None:
        torch.set_num_threads(1)
        columns: list[Column] = []
        network = build(self.stream.network, self.stream.input, columns, self.seed)
        self.learner = Learner(network, load(self.strategy, self.seed), self.settings)
        self.probes = ProbeSets(self.stream.input, ROWS_PER_TASK)
        self.test = ProbeSets(self.stream.input, len(self.stream.test))
        fill(self.test, self.stream.test, range(len(self.stream.test)))
        held_out = [i for i in range(len(self.stream.events)) if is_probe(i, self.seed)]
        fill(self.probes, self.stream.events, held_out)
        self.tasks: list[str] = []
        self.trained: list[int] = []
        self.since: set[str] = set()
        self.rounds = 0
        self.seconds = 0.0

    def moments(self, rhythm: Rhythm) -> Iterator[Moment]:
        """Learns the whole stream, task after task, and yields the points of decision."""
        events = self.stream.events
        for task in self.stream.tasks:
            own = [i for i in range(len(events)) if events.tasks[i] == task]
            cuts = range(0, len(own), rhythm.events)
            for place, start in enumerate(cuts):
                self.learn(own[start : start + rhythm.events], rhythm.min_steps)
                if place % rhythm.rounds == 0 or place == len(cuts) - 1:
                    yield self.moment(own[min(start + rhythm.events, len(own)) - 1])
            self.close(task)

    def learn(self, arrived: Sequence[int], min_steps: int) -> None:
        """One round of the events that are not held out."""
        started = time.perf_counter()
        rows = [i for i in arrived if not is_probe(i, self.seed)]
        if rows:
            self._meet(rows)
            self.trained.extend(rows)
            self.since.update(self.stream.events.tasks[i] for i in rows)
            self.rounds += 1
            steps = max(-(-len(rows) // self.settings.batch_size), min_steps)
            recent = self.batch(self.trained[-RECENT_ROWS:])
            self.learner.train(self.batch(rows), recent, steps, number=self.rounds)
        self.seconds += time.perf_counter() - started

    def close(self, task: str) -> None:
        """Ends a task."""
        started = time.perf_counter()
        rows = [i for i in self.trained if self.stream.events.tasks[i] == task]
        self.learner.consolidate(self.batch(rows))
        self.seconds += time.perf_counter() - started

    def moment(self, event: int) -> Moment:
        """The learner as it is now."""
        columns = self.learner.network.columns
        score = self.learner.strategy.predictor(self.learner.network)
        trained, self.since = frozenset(self.since), set()
        probe, test = self.probes.answers(score, columns), self.test.answers(score, columns)
        return Moment(event, self.seconds, trained, probe, test)

    def batch(self, rows: Sequence[int]) -> Batch:
        """Events of the stream as the learner takes them."""
        part = self.stream.events.select(rows)
        index = {column.label: number for number, column in enumerate(self.learner.network.columns)}
        return Batch(
            ids=torch.tensor(rows, dtype=torch.int64),
            inputs=torch.from_numpy(part.rows),
            targets=torch.tensor([index[label] for label in part.labels]),
            tasks=torch.tensor([self.tasks.index(task) for task in part.tasks]),
        )

    def _meet(self, rows: Sequence[int]) -> None:
        part, network = self.stream.events.select(rows), self.learner.network
        new = [c for c in dict.fromkeys(Column(label) for label in part.labels) if c not in network.columns]
        network.grow(new)
        for task in dict.fromkeys(part.tasks):
            if task not in self.tasks or new:
                if task not in self.tasks:
                    self.tasks.append(task)
                self.learner.before_task(self.tasks.index(task))


def fill(probes: ProbeSets, part: Part, rows: Sequence[int]) -> None:
    """Puts rows of a stream into probe sets, each task's in one piece."""
    for task in dict.fromkeys(part.tasks[i] for i in rows):
        own = [i for i in rows if part.tasks[i] == task]
        chosen = part.select(own)
        probes.add(task, [Column(label) for label in chosen.labels], own, torch.from_numpy(chosen.rows))


def only(answers: Answers, here: Flags) -> Answers:
    """The answers to the marked rows."""
    parts = {name: getattr(answers, name)[here] for name in ("ids", "task", "label", "correct")}
    return replace(answers, **parts)


def joined(answers: Answers, event: int) -> Answers:
    """The answers to the rows that had arrived by that event."""
    return only(answers, answers.ids <= event)
