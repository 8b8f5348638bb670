"""Charts as SVG: learning curves over steps, and bars with every run as a dot. Colours come from the page's style."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from lifelong.bench.markup import Markup, element

N_COLOURS = 10
"""How many series can be told apart; `report.css` has as many."""
LEFT, TOP, BOTTOM, RIGHT = 38.0, 22.0, 30.0, 10.0
BAR_WIDTH, BAR_STEP, DOT = 310.0, 42.0, 3.0
LETTER = 6.2
"""Pixels that a letter of a band's title takes, about."""
BAR_LETTER = 7.2
"""Pixels that a letter of a bar's name or number takes, at most about."""


class Series(NamedTuple):
    """One task's line: points (step, accuracy in 0…1) in order, and from which step on the task has been learned."""

    title: str
    points: Sequence[tuple[float, float]]
    since: float = 0.0


class Band(NamedTuple):
    """The steps in which a task was learned."""

    title: str
    first: float
    last: float


class Bar(NamedTuple):
    """A method's mean, what is written behind it, and its runs."""

    title: str
    mean: float | None
    text: str
    runs: Sequence[float]


@dataclass(frozen=True)
class Frame:
    """Where a chart's numbers lie: steps 0…`steps` from left to right, accuracies 0…1 from bottom to top."""

    steps: float
    width: float = 440.0
    height: float = 230.0

    def x(self, step: float) -> float:
        """Pixels from the left."""
        return LEFT + (self.width - LEFT - RIGHT) * step / max(self.steps, 1e-9)

    def y(self, accuracy: float) -> float:
        """Pixels from the top."""
        return self.height - BOTTOM - (self.height - TOP - BOTTOM) * accuracy


def curves(title: str, series: Sequence[Series], bands: Sequence[Band], unit: str = "step") -> Markup:
    """Accuracy of every task while the stream is learned; a task's line is thin until its turn comes."""
    frame = Frame(max((band.last for band in bands), default=1.0))
    lines = [line for place, each in enumerate(series) for line in _lines(frame, each, place)]
    said = "; ".join(f"{each.title}: {100 * each.points[-1][1]:.1f} % at the end" for each in series if each.points)
    return element(
        "svg",
        element("title", f"{title}: accuracy of each task over {unit}s"),
        element("desc", said),
        *_bands(frame, bands),
        *_accuracy_axis(frame),
        *_step_axis(frame, unit),
        *lines,
        viewBox=f"0 0 {frame.width:.0f} {frame.height:.0f}",
        role="img",
        class_="chart",
    )


def _lines(frame: Frame, series: Series, place: int) -> list[Markup]:
    """The line before the task's turn, the line since, and a dot at its end."""
    colour = f"s{place % N_COLOURS}"
    before = [point for point in series.points if point[0] <= series.since]
    since = [point for point in series.points if point[0] >= series.since]
    drawn = [
        element("polyline", element("title", series.title), points=_path(frame, points), class_=f"{kind} {colour}")
        for kind, points in (("line early", before), ("line", since))
        if len(points) > 1
    ]
    if series.points:
        step, accuracy = series.points[-1]
        drawn.append(element("circle", cx=frame.x(step), cy=frame.y(accuracy), r=2.6, class_=f"end {colour}"))
    return drawn


def _path(frame: Frame, points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{frame.x(step):.1f},{frame.y(accuracy):.1f}" for step, accuracy in points)


def _bands(frame: Frame, bands: Sequence[Band]) -> list[Markup]:
    """Every second task on a shade, with titles above them if all have room, else with numbers where these have."""
    widths = [frame.x(band.last) - frame.x(band.first) for band in bands]
    has_room = all(len(band.title) * LETTER < width for band, width in zip(bands, widths, strict=True))
    drawn = []
    for place, (band, width) in enumerate(zip(bands, widths, strict=True)):
        left, shade = frame.x(band.first), "band odd" if place % 2 else "band"
        height = frame.height - TOP - BOTTOM
        drawn.append(element("rect", x=left, y=TOP, width=width, height=height, class_=shade))
        label = band.title if has_room else str(place + 1)
        if width > len(label) * LETTER:
            drawn.append(element("text", label, x=left + width / 2, y=TOP - 7, class_="tick middle"))
    return drawn


def _accuracy_axis(frame: Frame) -> list[Markup]:
    drawn = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = frame.y(share)
        drawn.append(element("line", x1=LEFT, x2=frame.width - RIGHT, y1=y, y2=y, class_="grid"))
        drawn.append(element("text", f"{100 * share:.0f}", x=LEFT - 6, y=y + 3.5, class_="tick end"))
    return [*drawn, element("text", "%", x=LEFT - 6, y=TOP - 7, class_="tick end")]


def _step_axis(frame: Frame, unit: str) -> list[Markup]:
    y = frame.height - BOTTOM + 14
    last = f"{frame.steps:,.0f} {unit}s"
    return [
        element("text", "0", x=LEFT, y=y, class_="tick middle"),
        element("text", last, x=frame.width - RIGHT, y=y, class_="tick end"),
    ]


def bars(title: str, rows: Sequence[Bar], limits: tuple[float, float]) -> Markup:
    """A bar from zero to each mean, its name and its number above it, and a dot for each run.

    `limits` is the least that the axis shows; values beyond it widen it.
    """
    values = [*limits, *(value for row in rows for value in (*row.runs, row.mean) if value is not None)]
    low, high = min(values), max(values)

    def x(value: float) -> float:
        return DOT + (BAR_WIDTH - 2 * DOT) * (value - low) / max(high - low, 1e-9)

    drawn = [part for place, row in enumerate(rows) for part in _bar(row, place, x)]
    box = f"0 0 {BAR_WIDTH:.0f} {BAR_STEP * len(rows):.0f}"
    return element("svg", element("title", title), *drawn, viewBox=box, role="img", class_="chart")


def _bar(row: Bar, place: int, x: Callable[[float], float]) -> list[Markup]:
    top = BAR_STEP * place
    drawn = [
        element("text", *_fitting(row), x=0, y=top + 13, class_="name"),
        element("text", row.text, x=BAR_WIDTH, y=top + 13, class_="value end"),
    ]
    drawn.append(element("line", x1=x(0.0), x2=x(0.0), y1=top + 18, y2=top + 34, class_="zero"))
    if row.mean is None:
        return drawn
    start, stop = sorted((x(0.0), x(row.mean)))
    box = {"x": start, "y": top + 20, "width": max(stop - start, 1.0), "height": 12.0}
    dots = (element("circle", cx=x(run), cy=top + 26, r=DOT, class_="run") for run in row.runs)
    return [*drawn, element("rect", class_=f"bar s{place % N_COLOURS}", **box), *dots]


def _fitting(row: Bar) -> list[Markup | str]:
    """A bar's name, cut where it would meet its number; the whole name is then its title."""
    room = int(BAR_WIDTH / BAR_LETTER) - len(row.text) - 1
    if len(row.title) <= room:
        return [row.title]
    return [element("title", row.title), f"{row.title[: room - 1]}…"]
