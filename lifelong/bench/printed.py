"""What methods reached, as a terminal shows it: nothing is cut, however narrow the terminal is."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table

from lifelong.bench.report import shown
from lifelong.bench.results import MEASURES, Found, Measure

BORDER = 3
"""Columns of a terminal that a table's column takes beside its text; the last one needs one more."""
NAME_WIDTH = 21
"""The widest column of methods' names, so that two tables of one seed's numbers do in 80 columns."""
SYLLABLES = {"forgetting": "forget-ting", "intransigence": "intransi-gence"}


class Comparison(NamedTuple):
    """All measures in percent: methods beside each other if they have room, else one row a method.

    Measures that have no room beside each other then go on in a further table. `first` is said above the names.
    """

    methods: Sequence[Found]
    first: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The one table or the others, for the width of this console."""
        table = self._by_measure()
        if console.measure(table, options=options.update(max_width=10_000)).maximum <= options.max_width:
            yield table
        else:
            yield from map(self._by_method, self._parts(options.max_width))

    def _by_measure(self) -> Table:
        table = Table(self.first)
        for method in self.methods:
            table.add_column(method.name, justify="right")
        for each in MEASURES:
            table.add_row(each.title, *(shown(method, each) for method in self.methods))
        return table

    def _by_method(self, measures: Sequence[Measure]) -> Table:
        table = Table()
        table.add_column(self.first, overflow="fold", max_width=NAME_WIDTH)
        for each in measures:
            table.add_column("\n".join(_lines(each)), justify="right", no_wrap=True)
        for method in self.methods:
            table.add_row(method.name, *(shown(method, each) for each in measures))
        return table

    def _parts(self, width: int) -> Iterator[list[Measure]]:
        """Measures in their order, as many at once as have room beside the names."""
        names = max(NAME_WIDTH, *(len(word) for word in self.first.split())) + BORDER + 1
        part: list[Measure] = []
        room = width - names
        for each in MEASURES:
            needed = self._width(each) + BORDER
            if part and needed > room:
                yield part
                part, room = [], width - names
            part.append(each)
            room -= needed
        yield part

    def _width(self, measure: Measure) -> int:
        texts = [*_lines(measure), *(shown(method, measure) for method in self.methods)]
        return max(map(len, texts))


def _lines(measure: Measure) -> list[str]:
    """A measure's title in short lines, one below another at the head of a column."""
    return SYLLABLES.get(measure.key, measure.title).replace("-", "- ").split()
