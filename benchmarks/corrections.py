"""Few events at a time: does the gate let twenty of a label never seen, or one correction, through at once?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from benchmarks.streams import Part, Stream
from benchmarks.trajectory import Moment, Rhythm, Run, only
from benchmarks.verdicts import average_test_accuracy
from contracts.labels import Column
from contracts.versions import Decision
from lifelong.settings import DEFAULT_STRATEGIES
from networks.build import build
from trainer.answers import Answers, Best, pair
from trainer.catalogue import load
from trainer.learner import Learner
from trainer.policies import PromotionSettings
from trainer.promotion import decide

EVENTS = 20
STEPS = 50
GROUNDWORK = Rhythm(events=256, min_steps=20, rounds=1_000_000)


@dataclass(frozen=True)
class Few:
    """What came of few events of a label: their probe rows, the verdict, recall on test rows, loss of other labels."""

    label: str
    probes: int
    decision: Decision
    recall: float
    loss: float


def without(stream: Stream, label: str, trials: int, task: str) -> Stream:
    """The stream without a label, followed by `trials` times twenty events of it in `task`."""
    events = stream.events
    others = [i for i, name in enumerate(events.labels) if name != label]
    late = [i for i, name in enumerate(events.labels) if name == label][: trials * EVENTS]
    base, tail = events.select(others), events.select(late)
    rows, tasks = np.concatenate([base.rows, tail.rows]), [*base.tasks, *[task] * len(late)]
    return replace(stream, events=Part(rows, [*base.labels, *tail.labels], tasks))


def few_events(
    stream: Stream, label: str, task: str, trials: int, seed: int, policy: PromotionSettings
) -> Iterator[Few]:
    """Learns everything else, then, `trials` times from the same state, twenty events of the label in one round."""
    late = without(stream, label, trials, task)
    total = sum(1 for name in late.events.labels if name == label)
    base = len(late.events) - total
    run = Run(replace(late, events=late.events.select(range(base))), DEFAULT_STRATEGIES, seed)
    list(run.moments(GROUNDWORK))
    run = continued(run, late)
    champion, state, trained = run.moment(base - 1), run.learner.state(), list(run.trained)
    for start in range(base, base + total, EVENTS):
        arrived = range(start, min(start + EVENTS, base + total))
        restore(run, state, trained)
        run.learn(arrived, STEPS)
        moment = run.moment(arrived[-1])
        earlier, own = moment.probe.ids < base, np.isin(moment.probe.ids, arrived)
        before, after = only(champion.probe, earlier | own), only(moment.probe, earlier | own)
        paired = pair(before, after, {task}, best_of(only(champion.probe, earlier)))
        yield _few(label, champion, moment, decide(paired, policy), int(own.sum()))


def _few(label: str, champion: Moment, moment: Moment, decision: Decision, probes: int) -> Few:
    is_late = np.array([name.label == label for name in moment.test.labels])[moment.test.label]
    before, after = champion.test.correct[~is_late].mean(), moment.test.correct[~is_late].mean()
    return Few(label, probes, decision, float(moment.test.correct[is_late].mean()), float(before - after))


def single_corrections(
    stream: Stream, count: int, seed: int, policy: PromotionSettings
) -> tuple[list[Decision], float]:
    """Learns nine tenths of the stream, then corrects mistakes one by one; the decisions and the change on test."""
    draw = np.random.default_rng(seed)
    kept = np.flatnonzero(draw.random(len(stream.events)) < 0.9)
    spare = stream.events.select([int(i) for i in np.setdiff1d(np.arange(len(stream.events)), kept)])
    base = stream.events.select([int(i) for i in kept])
    whole = Part(np.concatenate([base.rows, spare.rows]), [*base.labels, *spare.labels], [*base.tasks, *spare.tasks])
    run = Run(replace(stream, events=base), DEFAULT_STRATEGIES, seed)
    list(run.moments(GROUNDWORK))
    run = continued(run, replace(stream, events=whole))
    champion = run.moment(len(base) - 1)
    return correct(run, champion, _mistakes(run, range(len(base), len(whole)))[:count], policy)


def correct(
    run: Run, champion: Moment, mistakes: Sequence[int], policy: PromotionSettings
) -> tuple[list[Decision], float]:
    """One round and one decision for each mistake; the last champion's average test accuracy minus the first's."""
    first, best, decisions = champion, best_of(champion.probe), list[Decision]()
    since: frozenset[str] = frozenset()
    for event in mistakes:
        run.learn([event], STEPS)
        moment = run.moment(event)
        since |= moment.trained
        here = moment.probe.ids < min(mistakes)
        paired = pair(only(champion.probe, here), only(moment.probe, here), since, best)
        decisions.append(decide(paired, policy))
        if decisions[-1].verdict == "promote":
            champion, since = moment, frozenset()
            best |= {task.task: task.next_best for task in paired.tasks}
    return decisions, average_test_accuracy([first, champion], 1) - average_test_accuracy([first, champion], 0)


def _mistakes(run: Run, events: Sequence[int]) -> list[int]:
    network, batch = run.learner.network, run.batch(events)
    wrong = network(batch.inputs).argmax(dim=1) != batch.targets
    return [event for event, is_wrong in zip(events, wrong.tolist(), strict=True) if is_wrong]


def best_of(probe: Answers) -> dict[str, Best]:
    """The best accuracies as if the champion were the only version so far."""
    rows = probe.rows()
    return {task: Best(accuracy, rows[task]) for task, accuracy in probe.accuracy().items()}


def continued(run: Run, stream: Stream) -> Run:
    """The same learner at the same point of a stream that goes on."""
    longer = Run(stream, run.strategy, run.seed)
    longer.tasks, longer.rounds = run.tasks, run.rounds
    restore(longer, run.learner.state(), run.trained)
    return longer


def restore(run: Run, state: tuple[dict[str, Tensor], dict[str, Any]], trained: Sequence[int]) -> None:
    """Puts a run's learner back to a saved state."""
    labels = list(dict.fromkeys(run.stream.events.labels[i] for i in trained))
    network = build(run.stream.network, run.stream.input, [Column(label) for label in labels], run.seed)
    run.learner = Learner(network, load(run.strategy, run.seed), run.settings)
    run.trained, run.since = list(trained), set()
    run.learner.restore(state[0], state[1], lambda ids: run.batch(ids.tolist()))
