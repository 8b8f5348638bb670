"""`lifelong bench two-tasks`: what forgetting is, in one picture of three ways to learn two tasks."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from contracts.errors import InvalidConfiguration
from lifelong.bench.comparison import Options, check_writable, write
from lifelong.bench.markup import Markup, element
from lifelong.bench.methods import methods
from lifelong.bench.printed import Comparison
from lifelong.bench.report import learning_chart, style
from lifelong.bench.results import Found
from lifelong.output import emit

PANEL_WIDTH, PANEL_HEIGHT, GAP, HEAD = 330.0, 172.5, 14.0, 58.0
HEADINGS = {"fine-tuning": "one after the other", "joint": "both at once"}


def picture(options: Options, strategy: str, out: Path, as_json: bool) -> None:
    """Learns two tasks one after the other without and with a strategy, and both at once, and draws how they go.

    Raises:
        InvalidConfiguration: the plan does not have two tasks.
    """
    chosen = methods([strategy], with_bounds=True)
    experiment = options.experiment()
    if len(experiment.titles) != 2:
        raise InvalidConfiguration("invalid_setting", "--classes-per-task: the picture is of two tasks")
    check_writable(out)
    experiment.say_notes()
    # All outputs are there from the start, so that the line of the second task starts with the first.
    experiment = replace(experiment, protocol=replace(experiment.protocol, all_columns=True))
    learned = experiment.run(chosen)
    titles = [f"task {place + 1} ({title})" for place, title in enumerate(experiment.titles)]
    write(out, drawn(learned, titles))
    document = {**experiment.document(), "methods": learned}
    emit(document, as_json, Comparison(learned, "after both tasks, in %"), f"picture: {out}")


def drawn(learned: Sequence[Found], tasks: Sequence[str]) -> str:
    """An SVG file that needs nothing else: a panel for each method, side by side."""
    width, height = len(learned) * (PANEL_WIDTH + GAP) + GAP, HEAD + PANEL_HEIGHT + GAP
    panels = [part for place, each in enumerate(learned) for part in _panel(each, place, tasks)]
    image = element(
        "svg",
        element("title", "Two tasks, learned in three ways"),
        element("style", Markup(style("charts.css"))),
        element("rect", width=width, height=height, rx=6, class_="paper"),
        *panels,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width:.0f} {height:.0f}",
        role="img",
    )
    return f"{image}\n"


def _panel(method: Found, place: int, tasks: Sequence[str]) -> list[Markup]:
    """A heading, the accuracies at the end in the lines' colours, and the curves."""
    left = GAP + place * (PANEL_WIDTH + GAP)
    heading = HEADINGS.get(method.name, "one after the other")
    ends = [
        element("tspan", f"task {number + 1}: {100 * (value or 0.0):.0f} %", class_=f"s{number}", dx=14 * number)
        for number, value in enumerate(method.runs[0].accuracy[-1])
    ]
    chart = learning_chart(method.name, method.runs[0], tasks)
    placed = element("svg", chart, x=left, y=HEAD, width=PANEL_WIDTH, height=PANEL_HEIGHT)
    named = element("tspan", f"  {heading}", class_="soft")
    return [
        element("text", method.name, named, x=left, y=24, class_="heading"),
        element("text", *ends, x=left, y=44, class_="ends"),
        placed,
    ]
