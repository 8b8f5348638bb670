"""`lifelong bench babi`: learns the bAbI tasks method by method and shows what came of it."""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import NamedTuple

import msgspec
import torch
from rich.console import RenderableType
from rich.progress import Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from contracts.errors import InvalidConfiguration
from lifelong.bench.babi import babi, held_out, story_input, stream
from lifelong.bench.babi_study import Recipe, study
from lifelong.bench.experiment import machine
from lifelong.bench.methods import parse_method
from lifelong.bench.printed import Comparison
from lifelong.bench.results import Found, Run, found, run_of
from lifelong.bench.runs import Results, key_of
from lifelong.bench.stream import Stream
from lifelong.bench.study import Method
from lifelong.output import emit, stderr
from lifelong.tables import percent
from trainer.catalogue import check_strategies

JOINT = "joint"
REPLAY = {"kind": "replay", "capacity": 2000, "rows": 32, "selection": "reservoir"}
"""Tasks share their answers: balanced by answer, the buffer would replay little of those that have the current ones."""
EWC = {"kind": "ewc", "fisher": "sampled", "fisher_rows": 300}
"""Its strengths are those of the best accuracy on held-out training questions: see docs/benchmarks/babi.md."""
METHODS = {
    JOINT: Method(JOINT, is_joint=True),
    "fine-tuning": Method("fine-tuning"),
    "EWC": Method("EWC", [{**EWC, "strength": 3.0}]),
    "replay": Method("replay", [REPLAY]),
    "replay + EWC": Method("replay + EWC", [REPLAY, {**EWC, "strength": 0.1}]),
    "A-GEM": Method("A-GEM", [{"kind": "agem", "capacity": 2000, "rows": 32}]),
}
"""What is compared, joint training being the upper bound."""
FAILED_ABOVE = 0.05
"""A task with a larger error counts as failed (Weston et al., 2015)."""


class Recipes(NamedTuple):
    """How all tasks are learned at once, as published, and how one after another: a third of it for every task."""

    joint: Recipe = Recipe()
    one_by_one: Recipe = Recipe(linear_passes=10, passes=20, halve_every=5)

    def of(self, method: Method) -> Recipe:
        """The one that a method learns by."""
        return self.joint if method.is_joint else self.one_by_one


RECIPES = Recipes()


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored of a run; `training_loss` is the mean loss of the last pass in nats."""

    key: str
    method: str
    training_loss: float
    run: Run


class Best(msgspec.Struct, frozen=True):
    """The joint run that counts, with each task's share of wrong answers."""

    seed: int
    training_loss: float
    errors: list[float]
    mean_error: float
    failed_tasks: int


def choose(names: Sequence[str], strategies: Sequence[str]) -> list[Method]:
    """The named methods and those of other strategies; all named ones if neither is given.

    Raises:
        InvalidConfiguration: `unknown_method`, or a strategy or a setting of it is unknown or cannot read stories.
    """
    if unknown := set(names) - METHODS.keys():
        known = ", ".join(METHODS)
        raise InvalidConfiguration("unknown_method", f"{', '.join(sorted(unknown))}: expected some of {known}")
    others = [parse_method(text) for text in strategies]
    for method in others:
        check_strategies(method.strategies, "class", RECIPES.one_by_one.protocol.network, is_tokens=True)
    return [METHODS[name] for name in names or ([] if others else METHODS)] + others


def run(
    results: Path,
    methods: Sequence[Method],
    seeds: Sequence[int] = (0,),
    holds_out: bool = False,
    as_json: bool = False,
    recipes: Recipes = RECIPES,
) -> None:
    """Makes the runs that are not in the results file yet, with progress on stderr, and prints all that were asked for.

    With `holds_out` no test question is read: the last training questions are asked in their place.

    Raises:
        InvalidConfiguration: a strategy cannot work on these tasks or this network.
        MissingDataSet: bAbI is neither here nor to be had.
        BadFile: it is not the published one, or the results file is unreadable or cannot be written.
    """
    tasks = [held_out(each) for each in babi()] if holds_out else babi()
    made = stream(tasks, story_input(tasks), "bAbI, held-out questions" if holds_out else "bAbI")
    kept = run_all(made, methods, seeds, Results(results, Kept), recipes)
    learned = [found(method, [each.run for each in runs]) for method, runs in zip(methods, kept, strict=True)]
    best = best_joint([run for method, runs in zip(methods, kept, strict=True) if method.is_joint for run in runs])
    names = [each.task for each in made.experiences]
    document = {"data": made.name, "recipes": recipes._asdict(), "machine": machine(), "tasks": names}
    emit({**document, "methods": learned, "joint": best}, as_json, *_report(learned, best, names))


def run_all(
    tasks: Stream, methods: Sequence[Method], seeds: Sequence[int], results: Results[Kept], recipes: Recipes
) -> list[list[Kept]]:
    """The runs of each method with every seed, those that are not stored yet being made on one thread."""
    torch.set_num_threads(1)
    columns = (*Progress.get_default_columns(), TimeElapsedColumn(), TextColumn("loss {task.fields[loss]:.3f}"))
    with Progress(*columns, console=stderr()) as progress:
        return [
            [_run(tasks, method, seed, results, recipes.of(method), progress) for seed in seeds] for method in methods
        ]


def best_joint(runs: Sequence[Kept]) -> Best | None:
    """Of the joint runs that with the smallest training loss, as published: test answers choose nothing."""
    if not runs:
        return None
    best = min(runs, key=lambda each: each.training_loss)
    errors = [1.0 - (accuracy or 0.0) for accuracy in best.run.accuracy[-1]]
    n_failed = sum(error > FAILED_ABOVE for error in errors)
    return Best(best.run.seed, best.training_loss, errors, mean(errors), n_failed)


def _run(tasks: Stream, method: Method, seed: int, results: Results[Kept], recipe: Recipe, progress: Progress) -> Kept:
    key = key_of(tasks.name, seed, repr(method), repr(recipe))
    kept = results.find(key)
    if kept is None:
        n_tasks = 1 if method.is_joint else len(tasks.experiences)
        bar = progress.add_task(f"{method.name}, seed {seed}", total=n_tasks * recipe.n_passes, loss=0.0)
        outcome, loss = study(tasks, method, seed, recipe, lambda loss: progress.update(bar, advance=1, loss=loss))
        kept = Kept(key=key, method=method.name, training_loss=loss, run=run_of(outcome, seed, method.is_joint, []))
        results.add(kept)
    return kept


def _report(learned: Sequence[Found], best: Best | None, tasks: Sequence[str]) -> list[RenderableType]:
    table = Table("accuracy at the end, in %")
    for method in learned:
        table.add_column(method.name, justify="right")
    for place, task in enumerate(tasks):
        table.add_row(task, *(percent(method.accuracy[-1][place]) for method in learned))
    shown: list[RenderableType] = [Comparison(learned, "after all tasks, in %"), table]
    if best is None:
        return shown
    what = f"mean error {percent(best.mean_error)} %, {best.failed_tasks} tasks failed"
    return [*shown, f"joint training, seed {best.seed}, chosen by its training loss: {what}"]
