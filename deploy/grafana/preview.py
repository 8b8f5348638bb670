"""Draws a dashboard from the answers to its queries, for the docs: what Grafana would show, without a Grafana."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

Document = Mapping[str, Any]
Answers = Callable[[str, bool], list[dict[str, Any]]]
"""The series of a query, each with its labels and `[time, value]` pairs; instant or over time."""
COLUMNS, ROW_INCHES, WIDTH_INCHES, DPI = 24, 0.36, 15.0, 80
MARGIN, HEADING = 0.006, 0.5
"""A panel's distance from the next, as a share of the page; how much of a row its title takes, in rows."""
COLOURS = {"green": "#56a64b", "light-green": "#96d98d", "yellow": "#f2cc0c", "orange": "#ff9830", "red": "#e02f44"}
INK, FAINT, PAPER = "#24292e", "#8e8e8e", "#f4f5f5"
MOST_NAMES = 12


class Page(NamedTuple):
    """A dashboard on its way to a picture."""

    figure: Figure
    rows: int
    answers: Answers
    began: float


def draw(dashboard: Document, answers: Answers, began: float, path: Path) -> None:
    """Writes a PNG of all panels; times count in seconds from `began`."""
    panels = [panel for row in dashboard["panels"] for panel in (row, *row.get("panels", ()))]
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    figure = Figure(figsize=(WIDTH_INCHES, rows * ROW_INCHES), dpi=DPI, facecolor=PAPER)
    page = Page(figure, rows, answers, began)
    marks = [(mark["iconColor"], _moments(page, mark["expr"])) for mark in dashboard["annotations"]["list"]]
    for panel in panels:
        _panel(page, panel, marks)
    FigureCanvasAgg(figure)
    figure.savefig(path, facecolor=PAPER)


def _moments(page: Page, expression: str) -> set[float]:
    """When something happened: the values of its query are milliseconds."""
    return {value / 1000 - page.began for _, values in _series(page, expression, False) for _, value in values}


def _panel(page: Page, panel: Document, marks: list[tuple[str, set[float]]]) -> None:
    if panel["type"] == "row":
        place = panel["gridPos"]
        page.figure.text(MARGIN, 1 - (place["y"] + 0.7) / page.rows, panel["title"], color=INK, weight="bold", size=11)
        return
    axes = _axes(page, panel["gridPos"], 0.08 if panel["type"] == "table" else 0.045)
    axes.set_title(panel["title"], loc="left", size=9, color=INK)
    match panel["type"]:
        case "stat":
            _number(page, panel, axes)
        case "table":
            _matrix(page, panel, axes)
        case _:
            _lines(page, panel, axes)
            for colour, moments in marks:
                for moment in moments:
                    axes.axvline(moment, color=COLOURS[colour], linewidth=0.8, linestyle="--", alpha=0.7)


def _axes(page: Page, place: Mapping[str, int], left: float) -> Axes:
    """Room for a panel: a small one fills it, others need some for the labels at the left and below."""
    is_small = place["h"] < 6
    left, right = (MARGIN, MARGIN) if is_small else (left, 0.012)
    below, above = (0.1, 0.9) if is_small else (0.9, 1.0)
    x, width = place["x"] / COLUMNS + left, place["w"] / COLUMNS - left - right
    bottom = 1 - (place["y"] + place["h"] - below) / page.rows
    return page.figure.add_axes((x, bottom, width, (place["h"] - below - above) / page.rows), facecolor="white")


def _number(page: Page, panel: Document, axes: Axes) -> None:
    (target,) = panel["targets"]
    name, values = max(_series(page, target["expr"], False, target["legendFormat"]), key=lambda series: series[1][-1])
    is_name = panel["options"].get("textMode") == "name"
    text = name if is_name else _written(values[-1][1], panel["fieldConfig"]["defaults"]["unit"])
    axes.set_xticks([])
    axes.set_yticks([])
    axes.text(0.5, 0.5, text, ha="center", va="center", size=20, color=_colour(panel, values[-1][1]), weight="bold")
    for spine in axes.spines.values():
        spine.set_visible(False)


def _lines(page: Page, panel: Document, axes: Axes) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    is_bars = defaults["custom"].get("drawStyle") == "bars"
    stacked: Counter[float] = Counter()
    for target in panel["targets"]:
        for name, values in _series(page, target["expr"], False, target["legendFormat"]):
            times = [time - page.began for time, _ in values]
            numbers = [value for _, value in values]
            if is_bars:
                below = [stacked[time] for time in times]
                stacked.update(dict(zip(times, numbers, strict=True)))
                axes.bar(times, numbers, bottom=below, width=1.0, alpha=0.7, label=name)
            else:
                axes.plot(times, numbers, linewidth=1.2, label=name, drawstyle="steps-post")
    if defaults.get("max") == 1:
        axes.set_ylim(-0.03, 1.05)
    axes.tick_params(labelsize=7, colors=FAINT)
    axes.xaxis.set_major_formatter(lambda seconds, _: f"{seconds:.0f} s")
    axes.yaxis.set_major_formatter(lambda value, _: _written(value, defaults["unit"]))
    axes.grid(visible=True, linewidth=0.3)
    axes.set_xlim(left=0)
    handles, names = axes.get_legend_handles_labels()
    axes.legend(handles[:MOST_NAMES], names[:MOST_NAMES], fontsize=6, frameon=False, loc="upper left", ncols=2)


def _matrix(page: Page, panel: Document, axes: Axes) -> None:
    """The cells as `groupingToMatrix` arranges them: both labels in the order of their text."""
    options = panel["transformations"][0]["options"]
    (target,) = panel["targets"]
    asked = page.answers(target["expr"], True)
    cells = {
        (series["metric"][options["rowField"]], series["metric"][options["columnField"]]): float(series["value"][1])
        for series in asked
    }
    rows, columns = (sorted({cell[place] for cell in cells}) for place in (0, 1))
    colours = [
        [to_rgba(_colour(panel, cells[r, c])) if (r, c) in cells else to_rgba("white") for c in columns] for r in rows
    ]
    axes.imshow(colours, aspect="auto")
    for (row, column), value in cells.items():
        text = _written(value, panel["fieldConfig"]["defaults"]["unit"])
        axes.text(columns.index(column), rows.index(row), text, ha="center", va="center", size=10, color=INK)
    axes.set_xticks(range(len(columns)), columns, size=8)
    axes.set_yticks(range(len(rows)), rows, size=8)


def _series(
    page: Page, expression: str, is_instant: bool, legend: str = ""
) -> Iterator[tuple[str, list[tuple[float, float]]]]:
    """The answers to a query, named by its legend."""
    for series in page.answers(expression, is_instant):
        name = legend
        for label, value in series["metric"].items():
            name = name.replace(f"{{{{{label}}}}}", value)
        yield name, [(time, float(value)) for time, value in series["values"]]


def _colour(panel: Document, value: float) -> str:
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    reached = [step["color"] for step in steps if step["value"] is None or value >= step["value"]]
    return COLOURS[reached[-1]]


def _written(value: float, unit: str) -> str:
    match unit:
        case "percentunit":
            return f"{value:.1%}"
        case "s":
            return f"{value * 1000:.3g} ms" if abs(value) < 1 else f"{value:.3g} s"
        case "reqps" | "eps" | "cps":
            return f"{value:.3g}/s"
    return f"{value:.4g}"
