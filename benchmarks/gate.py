"""What the gate lets through: strategies on real streams, few events of a new label, single corrections.

    LIFELONG_DATA_DIR=… python -m benchmarks.gate [--stream digits] [--seeds 2] [--json]

The table goes to stdout (with `--json` one document instead), progress to stderr. `docs/gate.md` has the results.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import mean

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.corrections import few_events, single_corrections
from benchmarks.streams import open_stream, untasked
from benchmarks.trajectory import Moment, Rhythm, Run
from benchmarks.verdicts import average_test_accuracy, counts, served, verdicts
from lifelong.settings import DEFAULT_STRATEGIES
from trainer.policies import PromotionSettings

RHYTHMS = {
    "mnist": Rhythm(events=512, min_steps=0, rounds=8),
    "mnist-steady": Rhythm(events=64, min_steps=50, rounds=2),
    "digits": Rhythm(events=32, min_steps=50, rounds=1),
    "clinc": Rhythm(events=128, min_steps=50, rounds=2),
}
STRATEGIES: dict[str, list[dict[str, object]]] = {
    "replay + EWC": [*DEFAULT_STRATEGIES],
    "naive": [],
    "joint": [{"kind": "joint"}],
}
POLICIES = ((0.02, 0.10), (0.05, 0.10), (0.05, 0.15), (0.10, 0.15), (0.10, 0.20), (0.15, 0.30), (1.0, 1.0))
"""`max_drop` and `budget` that are compared; the last lets everything pass that wins something."""


@dataclass(frozen=True)
class Row:
    """One learner under one policy; accuracies and dips in 0…1, the wait until a version that learned a task served."""

    stream: str
    strategy: str
    seed: int
    max_drop: float
    budget: float
    promoted: int
    refused: int
    held: int
    tasks_served: int
    tasks: int
    longest_wait_events: int
    longest_wait_seconds: float
    worst_dip_probe: float
    worst_dip_test: float
    champion_test: float
    learner_test: float


def row(moments: Sequence[Moment], tasks: Sequence[str], names: tuple[str, str, int], policy: PromotionSettings) -> Row:
    """What that policy would have served."""
    found = verdicts(moments, policy)
    service = served(moments, found, tasks)
    reached = [(s.events, s.seconds) for s in service if s.events is not None and s.seconds is not None]
    decided = counts(found)
    return Row(
        *names,
        policy.max_drop,
        policy.budget,
        decided["promote"],
        decided["refuse"],
        decided["hold"],
        tasks_served=len(reached),
        tasks=len(tasks),
        longest_wait_events=max(events for events, _ in reached),
        longest_wait_seconds=round(max(seconds for _, seconds in reached), 2),
        worst_dip_probe=max(s.probe_dip for s in service),
        worst_dip_test=max(s.dip for s in service),
        champion_test=average_test_accuracy(moments, found[-1].champion),
        learner_test=average_test_accuracy(moments, len(moments) - 1),
    )


def learn(name: str, strategy: str, seed: int, progress: Progress) -> Iterator[Row]:
    """One learner on one stream, then every policy along its way; the defaults come first."""
    stream, rhythm = open_stream(name, seed), RHYTHMS[name]
    bar = progress.add_task(f"{name}, {strategy}, seed {seed}", total=len(stream.events))
    moments = []
    for moment in Run(stream, STRATEGIES[strategy], seed).moments(rhythm):
        moments.append(moment)
        progress.update(bar, completed=moment.event + 1)
    usual = PromotionSettings()
    others = [PromotionSettings(max_drop=drop, budget=budget) for drop, budget in POLICIES]
    for policy in [usual, *(p for p in others if p != usual)]:
        yield row(moments, stream.tasks, (name, strategy, seed), policy)


def few(name: str, seed: int, trials: int, progress: Progress) -> Iterator[dict[str, object]]:
    """Twenty events of a label never seen, as a task of their own and inside the one unnamed task."""
    labels = sorted(set(open_stream(name, seed).events.labels))
    chosen = labels[:: max(1, len(labels) // 5)][:5]
    for task in ("a task of its own", "no task named"):
        stream = open_stream(name, seed) if task == "a task of its own" else untasked(open_stream(name, seed))
        late = "late" if task == "a task of its own" else "task-1"
        for label in progress.track(chosen, description=f"{name}, 20 events, {task}"):
            for result in few_events(stream, label, late, trials, seed, PromotionSettings()):
                yield {"stream": name, "arrive_as": task, **asdict(result)} | {"decision": result.decision.verdict}


def corrections(name: str, seed: int, count: int) -> dict[str, object]:
    """Single corrections of known labels, one round and one decision each."""
    decisions, change = single_corrections(open_stream(name, seed), count, seed, PromotionSettings())
    passed = sum(decision.verdict == "promote" for decision in decisions)
    return {"stream": name, "corrections": len(decisions), "promoted_at_once": passed, "test_change": change}


def table_of_rows(rows: Sequence[Row]) -> Table:
    """The table of `docs/gate.md`."""
    table = Table("stream", "strategy", "seed", "max_drop, budget", "promoted, refused, held", "served", "longest wait")
    for title in ("worst dip: probes", "test", "champion", "learner"):
        table.add_column(title, justify="right")
    for r in rows:
        table.add_row(
            r.stream,
            r.strategy,
            str(r.seed),
            f"{r.max_drop:.2f}, {r.budget:.2f}",
            f"{r.promoted}, {r.refused}, {r.held}",
            f"{r.tasks_served} of {r.tasks}",
            f"{r.longest_wait_events} events, {r.longest_wait_seconds:.1f} s",
            *(f"{value:.3f}" for value in (r.worst_dip_probe, r.worst_dip_test, r.champion_test, r.learner_test)),
        )
    return table


def table_of_few(results: Sequence[dict[str, object]]) -> Table:
    """How many of the few-event trials passed at once, by stream and by how they arrived."""
    table = Table(
        "stream", "20 events arrive as", "trials", "promoted at once", "mean recall", "mean loss of the others"
    )
    for key in dict.fromkeys((str(r["stream"]), str(r["arrive_as"])) for r in results):
        own = [r for r in results if (r["stream"], r["arrive_as"]) == key]
        passed = sum(r["decision"] == "promote" for r in own)
        recall, loss = (mean(float(str(r[name])) for r in own) for name in ("recall", "loss"))
        table.add_row(*key, str(len(own)), str(passed), f"{recall:.2f}", f"{loss:.4f}")
    return table


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--stream", action="append", choices=sorted(RHYTHMS), help="default: all")
    parser.add_argument("--strategy", action="append", choices=sorted(STRATEGIES), help="default: all")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--trials", type=int, default=6, help="few-event trials per label; 0 leaves them out")
    parser.add_argument("--corrections", type=int, default=40, help="single corrections; 0 leaves them out")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def main() -> None:
    """Runs what was asked for and shows it."""
    chosen = arguments()
    streams, strategies = chosen.stream or list(RHYTHMS), chosen.strategy or list(STRATEGIES)
    with Progress(console=Console(stderr=True)) as progress:
        rows = [
            found
            for name in streams
            for strategy in strategies
            for seed in range(chosen.seeds)
            for found in learn(name, strategy, seed, progress)
        ]
        small = [
            r for name in streams if chosen.trials and name != "mnist" for r in few(name, 0, chosen.trials, progress)
        ]
        single = [
            corrections(name, 0, chosen.corrections) for name in streams if chosen.corrections and name != "mnist"
        ]
    document = {"rows": [asdict(r) for r in rows], "few_events": small, "single_corrections": single}
    if chosen.json:
        json.dump(document, sys.stdout, indent=1)
        return
    console = Console(width=200)
    console.print(table_of_rows(rows))
    console.print(table_of_few(small))
    for each in single:
        console.print(each)


if __name__ == "__main__":
    main()
