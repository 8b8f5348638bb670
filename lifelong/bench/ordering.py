"""`lifelong bench order`: the same tasks in many orders, and how much their order matters."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.table import Table

from lifelong.bench.comparison import Options, check_writable, write
from lifelong.bench.experiment import Experiment, progressing
from lifelong.bench.markup import Markup, element, joined
from lifelong.bench.methods import parse_method
from lifelong.bench.orders import Order, Tasks, examine
from lifelong.bench.report import BAR_LIMITS, heat_map, overview, page, shown, side_by_side
from lifelong.bench.results import MEASURES, Found, average, found, spread
from lifelong.bench.study import Method
from lifelong.output import emit
from lifelong.tables import percent
from trainer.task_orders import PROBE_STEPS


class Ordered(NamedTuple):
    """An order, its tasks' titles, and what came of it."""

    order: Order
    titles: list[str]
    found: Found


def compare_orders(options: Options, strategy: str, n_random: int, out: Path | None, as_json: bool) -> None:
    """Learns the tasks in every order and shows what became of it: a table or JSON, and a page if asked for."""
    method = parse_method(strategy)
    experiment = options.experiment()
    experiment.check(method)
    check_writable(out)
    experiment.say_notes()
    tasks = examine(experiment)
    learned = learn(experiment, tasks, tasks.orders(n_random), method)
    document = _document(experiment, tasks, learned, method)
    if out is not None:
        write(out, _page(learned, document))
    emit(document, as_json, _table(learned, method.name), _said(document), *([f"report: {out}"] if out else []))


def learn(experiment: Experiment, tasks: Tasks, orders: Sequence[Order], method: Method) -> list[Ordered]:
    """One strategy, every order, every seed."""
    learned = []
    with progressing("learning", len(orders) * experiment.seeds) as advance:
        for order in orders:
            parts, runs = tasks.parts(order), []
            for seed in range(experiment.seeds):
                runs.append(experiment.run_one(method, seed, parts=parts))
                advance(f"{order.name}, seed {seed}")
            named = Method(order.name, method.strategies)
            learned.append(Ordered(order, experiment.plan.titles(experiment.source, parts), found(named, runs)))
    return learned


def _document(experiment: Experiment, tasks: Tasks, learned: Sequence[Ordered], method: Method) -> dict[str, Any]:
    means = [each.found.mean["average_accuracy"] for each in learned]
    known = [value for value in means if value is not None]
    return {
        **experiment.document(),
        "strategy": method.name,
        "difficulty": tasks.difficulty,
        "similarity": tasks.similarity,
        "average_accuracy": {
            "lowest": min(known),
            "highest": max(known),
            "std_over_orders": spread(means),
            "std_over_seeds": average([each.found.std["average_accuracy"] for each in learned]),
        },
        "orders": [{"order": each.order.tasks, "tasks": each.titles, "found": each.found} for each in learned],
    }


def _table(learned: Sequence[Ordered], strategy: str) -> Table:
    chosen = [each for each in MEASURES if each.key in BAR_LIMITS]
    table = Table(f"{strategy}, in %")
    for each in chosen:
        table.add_column(each.title, justify="right")
    table.add_column("order")
    for order, titles, one in sorted(learned, key=_accuracy, reverse=True):
        table.add_row(order.name, *(shown(one, each) for each in chosen), " → ".join(titles))
    return table


def _accuracy(ordered: Ordered) -> float:
    return ordered.found.mean["average_accuracy"] or 0.0


def _said(document: Mapping[str, Any]) -> str:
    """How far orders are apart, beside how far seeds are."""
    found_ = document["average_accuracy"]
    said = f"Average accuracy lies between {percent(found_['lowest'])} and {percent(found_['highest'])} %"
    said += f", standard deviation over orders {percent(found_['std_over_orders'])} points"
    if document["settings"]["seeds"] > 1:
        said += f", over seeds of the same order {percent(found_['std_over_seeds'])}"
    return f"{said}."


def _page(learned: Sequence[Ordered], document: Mapping[str, Any]) -> str:
    best_first = sorted(learned, key=_accuracy, reverse=True)
    maps = side_by_side([heat_map(each.found, each.titles) for each in best_first], len(document["tasks"]))
    sections = [
        ("Orders, the best first", overview([each.found for each in best_first])),
        ("What they are", _orders(best_first)),
        ("The tasks", _tasks(document)),
        ("Accuracy on each task (column) after each task (row)", maps),
    ]
    title = f"Orders of {document['data']['name']}, {document['settings']['scenario']}-incremental"
    return page(title, f"{document['strategy']}. {_said(document)}", sections, document)


def _orders(learned: Sequence[Ordered]) -> Markup:
    items = (element("li", element("b", each.order.name), f": {' → '.join(each.titles)}") for each in learned)
    return element("ul", *items)


def _tasks(document: Mapping[str, Any]) -> Markup:
    """How difficult each task is, and how similar each pair."""
    names = document["tasks"]
    head = element("tr", *(element("th", name, scope="col") for name in ("task", "alone", *names)))
    rows = []
    for name, alone, cosines in zip(names, document["difficulty"], document["similarity"], strict=True):
        cells = (element("td", f"{cosine:+.2f}") for cosine in cosines)
        rows.append(element("tr", element("th", name, scope="row"), element("td", percent(alone)), *cells))
    table = element("table", element("thead", head), element("tbody", *rows), class_="numbers")
    note = (
        f"alone: training accuracy in % after {PROBE_STEPS} steps of this task alone. Others: cosine between the mean "
        "features of two tasks in the untrained network, less the mean over all tasks."
    )
    return joined(element("div", table, class_="scroll"), element("p", note, class_="quiet"))
