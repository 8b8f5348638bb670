"""A document as one HTML page that needs nothing else: charts first, then numbers, then how to repeat it."""

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import msgspec

from lifelong.bench.charts import N_COLOURS, Band, Bar, Series, bars, curves
from lifelong.bench.markup import Markup, element, joined
from lifelong.bench.methods import CUMULATIVE
from lifelong.bench.results import MEASURES, Found, Measure, Row, Run
from lifelong.tables import percent, signed

BAR_LIMITS = {"average_accuracy": (0.0, 1.0), "backward_transfer": (-1.0, 0.0), "forgetting": (0.0, 1.0)}
"""What is shown as bars, and the least that its axis shows: a point is as long everywhere."""
SIGNED = ("backward_transfer", "forward_transfer", "intransigence")
HIGH_SHARE = 0.62
"""Above it a cell is so dark that its number is written in white."""
NARROW_TASKS = 6
"""How many columns a heat map may have that takes half of the page."""
HEAD_REM, CELL_REM = 8.5, 3.2
"""Least widths of a heat map's first column and of the others; a table of many tasks scrolls."""
WORD, NAME = 6, 14
"""How many letters a word and a name may have at the head of a heat map's column."""
BWT_HELP = "Backward transfer below zero is forgetting."
CHART_HELP = "Bands are tasks in their order; a task's line is thin until the task is learned."


def style(*names: str) -> str:
    """Style sheets of this package, one after another."""
    return "\n".join(files("lifelong.bench").joinpath(name).read_text(encoding="utf-8") for name in names)


def page(title: str, lead: str, sections: Sequence[tuple[str, Markup]], document: Mapping[str, Any]) -> str:
    """The page; the document ends it, as a table for people and as JSON for machines."""
    parts = [joined(element("h2", name), content) for name, content in sections]
    head = joined(
        Markup('<meta charset="utf-8">'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Markup('<link rel="icon" href="data:,">'),
        element("title", title),
        element("style", Markup(style("charts.css", "report.css"))),
    )
    notes = (element("p", f"Note: {note}.") for note in document["notes"])
    end = (element("h2", "How to repeat it"), _settings(document))
    body = joined(element("h1", title), element("p", lead), *notes, *parts, *end)
    data = msgspec.json.encode(document).decode().replace("<", "\\u003c")
    script = element("script", Markup(data), type="application/json", id="document")
    return f"<!doctype html>\n{element('html', element('head', head), element('body', body, script), lang='en')}\n"


def overview(methods: Sequence[Found]) -> Markup:
    """Average accuracy, backward transfer and forgetting of every method, with every seed's as a dot."""
    rows = {each: [_bar(method, each) for method in methods] for each in MEASURES if each.key in BAR_LIMITS}
    limits = {each: _limits(BAR_LIMITS[each.key], own) for each, own in rows.items()}
    span = max(high - low for low, high in limits.values())
    charts = []
    for measure, own in rows.items():
        low, high = limits[measure]
        axis = (low, low + span) if BAR_LIMITS[measure.key][0] == 0 else (high - span, high)
        chart = bars(f"{measure.title} of every method", own, axis)
        charts.append(element("figure", element("h3", f"{measure.title} (%)"), chart))
    caption = (
        f"Bars are means over the seeds, dots the seeds; the width of each chart is {100 * span:.0f} points. {BWT_HELP}"
    )
    return joined(element("div", *charts, class_="many three"), element("p", caption, class_="quiet"))


def _limits(least: tuple[float, float], rows: Sequence[Bar]) -> tuple[float, float]:
    """From the lowest value to the highest, and no less than is said."""
    values = [*least, *(value for row in rows for value in (*row.runs, row.mean) if value is not None)]
    return min(values), max(values)


def _bar(method: Found, measure: Measure) -> Bar:
    runs = [value for run in method.runs if (value := run.measures[measure.key]) is not None]
    return Bar(method.name, method.mean[measure.key], shown(method, measure), runs)


def shown(method: Found, measure: Measure) -> str:
    """A mean in percent, and its standard deviation where there are several seeds."""
    value, spread = method.mean[measure.key], method.std[measure.key]
    text = signed(value) if measure.key in SIGNED else percent(value)
    return f"{text} ± {percent(spread)}" if value is not None and len(method.runs) > 1 else text


def numbers(methods: Sequence[Found]) -> Markup:
    """Every measure of every method; the best of those with a strategy are bold."""
    heads = [element("th", "in %", scope="col"), *(element("th", each.name, scope="col") for each in methods)]
    rows = []
    for measure in MEASURES:
        winners = best(methods, measure)
        cells = (element("td", shown(each, measure), class_="best" if each.name in winners else "") for each in methods)
        rows.append(element("tr", element("th", measure.title, scope="row"), *cells))
    speeds = (element("td", f"{_rows_per_second(each):,.0f}") for each in methods)
    rows.append(element("tr", element("th", "rows learned a second", scope="row"), *speeds))
    table = element("table", element("thead", element("tr", *heads)), element("tbody", *rows), class_="numbers")
    notes = (
        "± is the standard deviation over the seeds.",
        "Bold is the best of the methods with a strategy, or all that are as good.",
        intransigence_bound(methods),
        "Formulae, signs and sources: docs/metrics.md.",
    )
    note = " ".join(each for each in notes if each)
    return joined(element("div", table, class_="scroll"), element("p", note, class_="quiet"))


def intransigence_bound(methods: Sequence[Found]) -> str:
    """What a method's accuracy on each task just learned is subtracted from, in one sentence; empty without a bound."""
    has_joint = any(each.is_joint for each in methods)
    if any(each.name == CUMULATIVE for each in methods):
        own = ", its own against joint training" if has_joint else ""
        return f"Intransigence is measured against cumulative training after each task{own}."
    return "Intransigence is measured against joint training on all tasks." if has_joint else ""


def _rows_per_second(method: Found) -> float:
    return sum(run.rows for run in method.runs) / max(sum(run.seconds for run in method.runs), 1e-9)


def best(methods: Sequence[Found], measure: Measure) -> set[str]:
    """The best of the methods with a strategy, and those shown as the same; none where there is nothing to compare."""
    own = (each for each in methods if each.strategies)
    values = {each.name: value for each in own if (value := each.mean[measure.key]) is not None}
    if measure.better == 0 or len(values) < 2:
        return set()
    top = max(measure.better * value for value in values.values())
    return {name for name, value in values.items() if percent(measure.better * value) == percent(top)}


def matrices(methods: Sequence[Found], tasks: Sequence[str]) -> Markup:
    """The accuracy matrix of every method as a heat map: a row after each task, a column for each task's test set."""
    return side_by_side([heat_map(each, tasks) for each in methods if not each.is_joint], len(tasks))


def side_by_side(maps: Sequence[Markup], n_tasks: int) -> Markup:
    """Heat maps in two columns, or below each other where they have many tasks."""
    return element("div", *maps, class_="many" if n_tasks <= NARROW_TASKS else "many wide")


def heat_map(method: Found, tasks: Sequence[str]) -> Markup:
    """One matrix, in percent; the task that was learned last is bold."""
    titles = tasks
    head = [element("th", task, scope="col") for task in tasks]
    if not all(map(_has_room, tasks)):
        titles = [f"{place + 1}: {task}" for place, task in enumerate(tasks)]
        head = [element("th", str(place + 1), scope="col", title=task) for place, task in enumerate(tasks)]
    rows = []
    for place, (title, row) in enumerate(zip(titles, method.accuracy, strict=True)):
        cells = [_cell(value, place == column) for column, value in enumerate(row)]
        rows.append(element("tr", element("th", title, scope="row"), *cells))
    heads = element("tr", element("th", "after", scope="col"), *head)
    caption = element("caption", f"{method.name}: accuracy in % on each task")
    room = f"min-width: {HEAD_REM + CELL_REM * len(tasks)}rem"
    table = element("table", caption, element("thead", heads), element("tbody", *rows), class_="heat", style=room)
    return element("div", table, class_="scroll")


def _has_room(task: str) -> bool:
    """Whether a name can be read at the head of a narrow column; where one cannot, all columns are numbers."""
    return len(task) <= NAME and all(len(word) <= WORD for word in task.split())


def _cell(value: float | None, is_own: bool) -> Markup:
    if value is None:
        return element("td", percent(value), class_="none")
    kind = f"{'high ' if value > HIGH_SHARE else ''}{'own' if is_own else ''}".strip()
    return element("td", percent(value), class_=kind, style=f"--share: {100 * value:.0f}")


def learning(methods: Sequence[Found], tasks: Sequence[str]) -> Markup:
    """How the accuracy of each task went while the stream was learned, one chart for each method."""
    names = (f"task {place + 1}" for place in range(len(tasks)))
    shown_names = (task if task == name else f"{name}: {task}" for name, task in zip(names, tasks, strict=True))
    legend = [
        element("li", element("i", class_=f"s{place % N_COLOURS}"), name) for place, name in enumerate(shown_names)
    ]
    charts = [
        element("figure", element("h3", each.name), learning_chart(each.name, each.runs[0], tasks)) for each in methods
    ]
    help_text = f"{CHART_HELP} Shown is seed {methods[0].runs[0].seed}."
    return joined(
        element("p", help_text, class_="quiet"),
        element("ul", *legend, class_="legend"),
        element("div", *charts, class_="many"),
    )


def learning_chart(title: str, run: Run, tasks: Sequence[str]) -> Markup:
    """A run's curves over steps, or over tasks where nothing was measured within them."""
    if not run.curve:
        points = [(place + 1.0, row) for place, row in enumerate(run.accuracy)]
        bands = [Band(task, place, place + 1.0) for place, task in enumerate(tasks)]
        return curves(title, _series(points, bands, run.baseline, tasks), bands, "task")
    bands = []
    for place, task in enumerate(tasks):
        steps = [point.step for point in run.curve if point.place == place]
        if steps:
            bands.append(Band(task, bands[-1].last if bands else 0.0, float(max(steps))))
    if len(bands) < len(tasks):  # joint training has one phase
        bands = [Band("all tasks", 0.0, bands[-1].last)]
    points = [(float(point.step), point.accuracy) for point in run.curve]
    return curves(title, _series(points, bands, run.baseline, tasks), bands)


def _series(
    points: Sequence[tuple[float, Row]], bands: Sequence[Band], baseline: Row, tasks: Sequence[str]
) -> list[Series]:
    """A line for each task, from what it was at initialisation where the network had its outputs from the start."""
    series = []
    for place, task in enumerate(tasks):
        own = [(step, value) for step, row in points if (value := row[place]) is not None]
        start = baseline[place]
        if start is not None and own and own[0] == (points[0][0], own[0][1]):
            own = [(0.0, start), *own]
        series.append(Series(task, own, bands[place].first if len(bands) == len(tasks) else 0.0))
    return series


def _settings(document: Mapping[str, Any]) -> Markup:
    rows = []
    for part in ("data", "settings", "machine"):
        for key, value in document[part].items():
            text = value if isinstance(value, str) else json.dumps(value)
            rows.extend([element("dt", key.replace("_", " ")), element("dd", text)])
    return joined(element("pre", document["command"]), element("dl", *rows, class_="settings"))
