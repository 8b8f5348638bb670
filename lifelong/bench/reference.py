"""Reruns published tables: every cell is stored as soon as it is known, so that an interrupted run goes on."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table as Shown

from contracts.errors import InvalidConfiguration
from contracts.labels import Scenario
from lifelong.bench.runs import Results, key_of
from lifelong.bench.study import Method, Protocol, Study
from lifelong.bench.table import Cell, Entry, Table
from lifelong.explain import did_you_mean


class Job(NamedTuple):
    """One run."""

    table: Table
    entry: Entry
    scenario: Scenario
    seed: int

    @property
    def method(self) -> Method:
        """What is learned with."""
        return self.entry.methods[self.scenario]

    @property
    def protocol(self) -> Protocol:
        """Under which protocol."""
        return self.entry.protocol or self.table.protocols[self.scenario]

    @property
    def key(self) -> str:
        """Changes with everything that the result depends on."""
        return key_of(self.table.name, self.scenario, self.seed, repr(self.method), repr(self.protocol))


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored of a run; accuracies in 0…1, seconds of learning."""

    key: str
    table: str
    method: str
    scenario: str
    seed: int
    average_accuracy: float
    accuracy: list[list[float | None]]
    rows: int
    seconds: float


def load_table(name: str) -> Table:
    """A table by its name."""
    table: Table = import_module(f"lifelong.bench.tables.{name}").TABLE
    return table


def choose(table: Table, methods: Sequence[str], scenarios: Sequence[str], seeds: int | None) -> list[Job]:
    """The runs of a table, or of the named methods and scenarios in it.

    Raises:
        InvalidConfiguration: `unknown_method` or `unknown_scenario`, with those there are; `unknown_cell` if the named
            methods were measured in none of the named scenarios.
    """
    _require("method", methods, [entry.name for entry in table.entries])
    _require("scenario", scenarios, list(table.protocols))
    chosen = [entry for entry in table.entries if not methods or entry.name in methods]
    cells = [(entry, scenario) for entry in chosen for scenario in entry.methods]
    wanted = [(entry, scenario) for entry, scenario in cells if not scenarios or scenario in scenarios]
    if not wanted:
        known = ", ".join(f"{entry.name} ({', '.join(entry.methods)})" for entry in chosen)
        raise InvalidConfiguration("unknown_cell", f"--scenario: {', '.join(scenarios)}: {table.name} has {known}")
    runs = range(table.seeds if seeds is None else seeds)
    return [Job(table, entry, scenario, seed) for entry, scenario in wanted for seed in runs]


@contextmanager
def resumable(results: Path, console: Console) -> Iterator[None]:
    """Says on the way out of an interruption what it did not cost."""
    try:
        yield
    except KeyboardInterrupt:
        said = f"interrupted: finished runs are kept in {results}; the same command goes on from there"
        console.print(said, highlight=False, markup=False, soft_wrap=True)
        raise


def rerun(jobs: Sequence[Job], results: Results[Run], console: Console) -> list[Cell]:
    """Makes the runs that are missing and sums all of them up, cell by cell."""
    torch.set_num_threads(1)
    cells: dict[tuple[str, Scenario], Cell] = {}
    for job, run in zip(jobs, _runs(jobs, results, console), strict=True):
        cell = cells.setdefault((job.entry.name, job.scenario), Cell(job.entry, job.scenario, [], []))
        cell.accuracies.append(100 * run.average_accuracy)
        cell.seconds.append(run.seconds)
    return list(cells.values())


def document(table: Table, cells: Sequence[Cell]) -> dict[str, Any]:
    """The cells for machines; accuracies in per cent."""
    return {
        "table": table.name,
        "source": table.source,
        "note": table.note,
        "cells": [
            {
                "method": cell.entry.name,
                "scenario": cell.scenario,
                "target": cell.target and cell.target.mean,
                "band": cell.band,
                "mean": round(cell.mean, 2),
                "std": round(cell.spread, 2),
                "accuracies": [round(value, 2) for value in cell.accuracies],
                "seconds": cell.seconds,
                "verdict": cell.verdict,
            }
            for cell in cells
        ],
    }


HEADINGS = ("method", "scenario", "target", "band", "got (runs)", "verdict", "seconds")


def shown(table: Table, cells: Sequence[Cell]) -> Shown:
    """The cells for people."""
    grid = Shown(title=table.source, caption=table.note)
    for name in HEADINGS:
        grid.add_column(name, justify="left" if name in ("method", "scenario", "verdict") else "right")
    for cell in cells:
        grid.add_row(*_told(cell))
    return grid


def markdown(table: Table, cells: Sequence[Cell]) -> str:
    """The cells as a table for the documentation."""
    rows = [HEADINGS, ("---", "---", "---:", "---:", "---:", "---", "---:"), *map(_told, cells)]
    return "\n".join([f"{table.source}; {table.note}", "", *(f"| {' | '.join(row)} |" for row in rows)])


def _told(cell: Cell) -> tuple[str, ...]:
    """A cell under the headings; one run has no spread."""
    runs, target = len(cell.accuracies), cell.target
    published = ("", "") if target is None else (f"{target.mean:.2f}", f"± {cell.band:.2f}")
    got = f"{cell.mean:.2f} ± {cell.spread:.2f} ({runs})" if runs > 1 else f"{cell.mean:.2f} (1)"
    return (cell.entry.name, cell.scenario, *published, got, cell.verdict, f"{sum(cell.seconds) / runs:.1f}")


def _runs(jobs: Sequence[Job], results: Results[Run], console: Console) -> Iterator[Run]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("", total=len(jobs))
        for job in jobs:
            progress.update(bar, description=f"{job.entry.name}, {job.scenario}, seed {job.seed}")
            run = results.find(job.key)
            if run is None:
                run = _made(job)
                results.add(run)
            yield run
            progress.advance(bar)


def _made(job: Job) -> Run:
    stream = job.table.stream(job.scenario, job.seed)
    outcome = Study(stream, job.protocol, job.method, job.seed).run()
    return Run(
        key=job.key,
        table=job.table.name,
        method=job.entry.name,
        scenario=job.scenario,
        seed=job.seed,
        average_accuracy=outcome.average_accuracy,
        accuracy=outcome.accuracy,
        rows=outcome.rows,
        seconds=round(outcome.seconds, 3),
    )


def _require(what: str, wanted: Sequence[str], known: Sequence[str]) -> None:
    for name in wanted:
        if name not in known:
            hint = did_you_mean(name, known)
            raise InvalidConfiguration(f"unknown_{what}", f"--{what}: expected one of {', '.join(known)}{hint}")
