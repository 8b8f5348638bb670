"""A published table: which methods were measured how, what came out, and whether a rerun agrees."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean, stdev
from typing import Any, Literal, NamedTuple

from contracts.labels import Scenario
from lifelong.bench.stream import Stream
from lifelong.bench.study import Method, Protocol

Verdict = Literal["within", "better", "below", "no target"]
SCENARIOS: tuple[Scenario, ...] = ("task", "domain", "class")
"""In the order of published columns."""
SMALLEST_BAND = 0.1
"""Percentage points: the digits that tables print."""


class Target(NamedTuple):
    """A published mean in per cent, and how far from it a rerun may fall short: `band` percentage points.

    The band holds for any number of runs or, where `runs` is given, for the mean of so many.
    """

    mean: float
    band: float
    runs: int | None = None

    def band_of(self, runs: int) -> float:
        """The band of a mean of `runs` runs: fewer differ by more."""
        return self.band if self.runs is None else self.band * math.sqrt(self.runs / runs)


@dataclass(frozen=True)
class Entry:
    """A row of a table: what is run in each scenario, and the published values of those that have one.

    `protocol` is the row's own, if it was not measured as the table's others were.
    """

    name: str
    methods: Mapping[Scenario, Method]
    targets: Mapping[Scenario, Target] = field(default_factory=dict)
    protocol: Protocol | None = None


@dataclass(frozen=True)
class Table:
    """One published protocol with its results.

    `stream` makes the stream of a scenario and a seed. `note` says how targets and bands were read.
    """

    name: str
    source: str
    note: str
    protocols: Mapping[Scenario, Protocol]
    stream: Callable[[Scenario, int], Stream]
    entries: Sequence[Entry]
    seeds: int


class Cell(NamedTuple):
    """One method in one scenario: average accuracies of its runs in per cent, by seed, and the seconds they took."""

    entry: Entry
    scenario: Scenario
    accuracies: list[float]
    seconds: list[float]

    @property
    def target(self) -> Target | None:
        """The published value."""
        return self.entry.targets.get(self.scenario)

    @property
    def band(self) -> float | None:
        """How far from the target the mean of these runs may be, in percentage points; None without a target."""
        return None if self.target is None else self.target.band_of(len(self.accuracies))

    @property
    def mean(self) -> float:
        """The mean over seeds in per cent."""
        return mean(self.accuracies)

    @property
    def spread(self) -> float:
        """The standard deviation over seeds in percentage points; 0 for a single one."""
        return stdev(self.accuracies) if len(self.accuracies) > 1 else 0.0

    @property
    def verdict(self) -> Verdict:
        """Whether the mean lies within the band around the target, above it or below it."""
        if self.target is None or self.band is None:
            return "no target"
        if abs(self.mean - self.target.mean) <= max(self.band, SMALLEST_BAND):
            return "within"
        return "better" if self.mean > self.target.mean else "below"


def published(
    name: str, cells: str, *strategies: Mapping[str, Any], target: Callable[[float, float], Target], **method: Any
) -> Entry:
    """A row of a table of the three scenarios; a list among the settings has a value for each of them.

    `cells` are "mean±spread" by scenario, "-" where nothing was published, and `target` makes targets of both numbers.
    """
    places = [(place, cell) for place, cell in enumerate(cells.split()) if cell != "-"]
    methods = {
        SCENARIOS[place]: Method(name, [_of_place(each, place) for each in strategies], **method) for place, _ in places
    }
    targets = {SCENARIOS[place]: target(*map(float, cell.split("±"))) for place, cell in places}
    return Entry(name, methods, targets)


def _of_place(strategy: Mapping[str, Any], place: int) -> dict[str, Any]:
    return {name: value[place] if isinstance(value, list) else value for name, value in strategy.items()}
