"""What a policy would have served along a learner's recorded way, and how well that kept what was learned."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.trajectory import Moment, joined
from contracts.versions import Decision
from trainer.answers import Best, pair
from trainer.policies import PromotionSettings
from trainer.promotion import decide


@dataclass(frozen=True)
class Verdict:
    """One decision of the gate, and which moment's version serves after it; −1 is the untrained one."""

    moment: int
    decision: Decision
    champion: int


@dataclass(frozen=True)
class Service:
    """One task as its users saw it: events and learning seconds until a version that had learned it was served.

    None: never. `dip` is the most that the serving version ever stood below the best served before, on test rows.
    """

    task: str
    events: int | None
    seconds: float | None
    dip: float
    probe_dip: float


def verdicts(moments: Sequence[Moment], policy: PromotionSettings) -> list[Verdict]:
    """Asks the gate at every moment, with the probe rows that had arrived by then."""
    first = moments[0].probe
    untrained = replace(first, columns=(), correct=np.zeros_like(first.correct))
    champion, best, since, found = -1, dict[str, Best](), set[str](), list[Verdict]()
    for number, moment in enumerate(moments):
        since |= moment.trained
        serving = moments[champion].probe if champion >= 0 else untrained
        paired = pair(joined(serving, moment.event), joined(moment.probe, moment.event), since, best)
        decision = decide(paired, policy)
        if decision.verdict == "promote":
            champion, since = number, set()
            best |= {task.task: task.next_best for task in paired.tasks}
        found.append(Verdict(number, decision, champion))
    return found


def served(moments: Sequence[Moment], found: Sequence[Verdict], tasks: Sequence[str]) -> list[Service]:
    """How soon each task was served, and how far it dipped afterwards."""
    begins = {task: next(i for i, moment in enumerate(moments) if task in moment.trained) for task in tasks}
    return [_service(task, begins[task], moments, found) for task in tasks]


def _service(task: str, begin: int, moments: Sequence[Moment], found: Sequence[Verdict]) -> Service:
    start = moments[begin - 1] if begin else replace(moments[0], event=-1, seconds=0.0)
    first = next((v.champion for v in found[begin:] if v.champion >= begin), None)
    if first is None:
        return Service(task, None, None, 0.0, 0.0)
    champions = [v.champion for v in found[begin:] if v.champion >= begin]
    tests = [moments[champion].test.accuracy()[task] for champion in champions]
    probes = [moments[champion].probe.accuracy().get(task, 0.0) for champion in champions]
    waited = moments[first]
    return Service(task, waited.event - start.event, waited.seconds - start.seconds, _dip(tests), _dip(probes))


def _dip(course: Sequence[float]) -> float:
    best = np.maximum.accumulate(course)
    return float(np.max(best - course))


def counts(found: Sequence[Verdict]) -> dict[str, int]:
    """How many were promoted, refused and held."""
    tally = Counter(v.decision.verdict for v in found)
    return {verdict: tally[verdict] for verdict in ("promote", "refuse", "hold")}


def average_test_accuracy(moments: Sequence[Moment], moment: int) -> float:
    """Mean over the tasks of a version's accuracy on their test rows; 0 for the untrained one."""
    return float(np.mean(list(moments[moment].test.accuracy().values()))) if moment >= 0 else 0.0
