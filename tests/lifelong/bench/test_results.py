"""What a run's document says, against numbers worked out by hand; orders of tasks; charts and escaped markup."""

from xml.etree import ElementTree

import pytest

from lifelong.bench.charts import BAR_WIDTH, DOT, Band, Bar, Series, bars, curves
from lifelong.bench.markup import element
from lifelong.bench.orders import Tasks
from lifelong.bench.report import best, heat_map, intransigence_bound, numbers, overview, page
from lifelong.bench.results import MEASURES, Found, found, run_of
from lifelong.bench.study import Method, Outcome, Point

pytestmark = pytest.mark.unit
OUTCOME = Outcome(
    tasks=["task-1", "task-2"],
    accuracy=[[1.0, None], [0.75, 0.5]],
    baseline=[0.5, 0.25],
    curve=[Point(0, 2, [0.75, None]), Point(0, 4, [1.0, None]), Point(1, 6, [0.25, 0.0]), Point(1, 8, [0.75, 0.5])],
    rows=100,
    seconds=2.0,
)


def learned(name: str = "replay", strategies: tuple[dict[str, str], ...] = ({"kind": "replay"},)) -> Found:
    method = Method(name, strategies)
    runs = [run_of(OUTCOME, seed, is_joint=False, joint=[1.0, 1.0]) for seed in range(2)]
    return found(method, runs)


def test_every_measure_of_a_run_by_hand() -> None:
    assert run_of(OUTCOME, 0, is_joint=False, joint=[1.0, 0.75]).measures == {
        "average_accuracy": 0.625,
        "backward_transfer": -0.25,
        "forgetting": 0.25,
        "forward_transfer": None,
        "intransigence": 0.125,
        "minimum_accuracy": 0.25,
        "worst_case_accuracy": 0.375,
        "stability_gap": 0.5,
        "learning_curve_area": pytest.approx(((0.5 + 0.75 + 1.0) / 3 + (0.0 + 0.5) / 2) / 2),
    }


def test_of_a_joint_run_only_its_accuracy_is_told() -> None:
    measures = run_of(OUTCOME, 0, is_joint=True, joint=[]).measures
    assert {key for key, value in measures.items() if value is not None} == {"average_accuracy"}


def test_means_and_spread_over_seeds() -> None:
    other = Outcome(OUTCOME.tasks, [[1.0, None], [0.25, 0.5]], OUTCOME.baseline, [], 100, 2.0)
    runs = [run_of(each, seed, is_joint=False, joint=[]) for seed, each in enumerate((OUTCOME, other))]
    both = found(Method("replay"), runs)
    assert both.accuracy == [[1.0, None], [0.5, 0.5]]
    assert both.mean["average_accuracy"] == 0.5
    assert both.std["average_accuracy"] == pytest.approx(0.25 / 2**0.5)
    assert found(Method("replay"), runs[:1]).std["average_accuracy"] == 0.0


def test_orders_that_are_the_same_are_one() -> None:
    alike = [[1.0] * 3] * 3
    orders = Tasks([[0, 1], [2, 3], [4, 5]], [0.7, 0.8, 0.9], alike).orders(n_random=2)
    assert len({tuple(order.tasks) for order in orders}) == len(orders)
    by_name = {name: order.tasks for order in orders for name in order.name.split(" = ")}
    assert by_name["given"] == by_name["hard first"] == [0, 1, 2]
    assert by_name["reversed"] == by_name["easy first"] == [2, 1, 0]
    assert {"random 1", "random 2", "similar next", "dissimilar next"} < set(by_name)


def test_classes_follow_their_tasks() -> None:
    tasks = Tasks([[0, 1], [2, 3]], [0.7, 0.8], [[1.0, 0.0], [0.0, 1.0]])
    assert [[2, 3], [0, 1]] in [tasks.parts(order) for order in tasks.orders(0)]


def test_markup_escapes_what_users_name() -> None:
    assert str(element("td", "<b>", title='"&')) == '<td title="&quot;&amp;">&lt;b&gt;</td>'


def test_charts_are_well_formed_and_say_what_they_show() -> None:
    lines = curves("a < b", [Series("one", [(0.0, 0.5), (4.0, 1.0)])], [Band("one", 0.0, 4.0)])
    image = ElementTree.fromstring(str(lines))
    assert image.findtext("title") == "a < b: accuracy of each task over steps"
    assert image.findtext("desc") == "one: 100.0 % at the end"
    assert image.find("polyline") is not None
    rows = [Bar("worse", -0.5, "-50.0", [-0.5]), Bar("none", None, "–", [])]
    image = ElementTree.fromstring(str(bars("transfer", rows, (0.0, 0.0))))
    assert len(image.findall("rect")) == 1
    assert {text.text for text in image.findall("text")} == {"worse", "-50.0", "none", "–"}


def test_bands_have_titles_only_where_all_of_them_fit() -> None:
    def labels(*titles: str) -> list[str | None]:
        bands = [Band(title, float(place), place + 1.0) for place, title in enumerate(titles)]
        image = ElementTree.fromstring(str(curves("a", [], bands)))
        return [text.text for text in image.findall("text")][: len(titles)]

    assert labels("home", "work") == ["home", "work"]
    assert labels("home", "work" * 20) == ["1", "2"]


def test_a_bar_is_as_long_as_its_value() -> None:
    rows = [Bar("half", 0.5, "", []), Bar("whole", 1.0, "", [])]
    half, whole = ElementTree.fromstring(str(bars("accuracy", rows, (0.0, 1.0)))).findall("rect")
    assert float(whole.attrib["width"]) == BAR_WIDTH - 2 * DOT
    assert 2 * float(half.attrib["width"]) == pytest.approx(float(whole.attrib["width"]), abs=0.2)


def test_a_page_shows_hostile_names_as_text() -> None:
    hostile = "</script><script>alert(1)</script>"
    document = {"command": hostile, "data": {"name": hostile}, "settings": {}, "machine": {}, "notes": [hostile]}
    text = page(hostile, hostile, [("matrix", heat_map(learned(hostile), [hostile, "b"]))], document)
    assert text.count("<script") == 1
    assert "<script>alert" not in text


def test_the_best_is_sought_between_the_bounds_and_in_the_right_direction() -> None:
    one, bound = learned("replay"), learned("fine-tuning", ())
    worse = Found(
        "ewc", [{"kind": "ewc"}], {}, False, [], [], {**one.mean, "forgetting": 0.5, "average_accuracy": 0.1}, {}
    )
    by_key = {each.key: each for each in MEASURES}
    assert best([bound, one], by_key["forgetting"]) == set()
    assert best([bound, worse, one], by_key["forgetting"]) == {"replay"}
    assert best([bound, worse, one], by_key["average_accuracy"]) == {"replay"}
    assert best([bound, worse, one], by_key["stability_gap"]) == set()


def test_all_that_are_shown_alike_are_the_best() -> None:
    one = learned("replay")
    alike = Found("ewc", [{"kind": "ewc"}], {}, False, [], [], {**one.mean, "average_accuracy": 0.62504}, {})
    assert best([one, alike], MEASURES[0]) == {"replay", "ewc"}


LONG = "refund, with a really quite long label name"


@pytest.mark.parametrize("name", [LONG, "electroencephalography", "credit card blocked, date"])
def test_names_that_columns_have_no_room_for_are_numbers_with_the_name_in_their_title(name: str) -> None:
    table = ElementTree.fromstring(str(heat_map(learned(), ["home", name]))).find("table")
    assert table is not None
    heads = table.findall("thead/tr/th")
    assert [(head.text, head.get("title")) for head in heads[1:]] == [("1", "home"), ("2", name)]
    assert [head.text for head in table.findall("tbody/tr/th")] == ["1: home", f"2: {name}"]


def test_short_names_head_the_columns_as_they_are() -> None:
    table = ElementTree.fromstring(str(heat_map(learned(), ["0, 1", "as it is"]))).find("table")
    assert table is not None
    assert [head.text for head in table.findall("thead/tr/th")] == ["after", "0, 1", "as it is"]
    assert [head.text for head in table.findall("tbody/tr/th")] == ["0, 1", "as it is"]


def test_bars_of_all_measures_have_one_scale() -> None:
    one = learned()
    mean = {**one.mean, "backward_transfer": 0.25, "forgetting": 0.0}
    better = Found("b", [], {}, False, [], [], mean, one.std)
    shown = ElementTree.fromstring(f"<div>{overview([one, better])}</div>")
    widths = [[float(bar.attrib["width"]) for bar in image.findall("rect")] for image in shown.iter("svg")]
    whole = (BAR_WIDTH - 2 * DOT) / 1.25
    assert widths == [
        pytest.approx([0.625 * whole] * 2, abs=0.1),
        pytest.approx([0.25 * whole] * 2, abs=0.1),
        [pytest.approx(0.25 * whole, abs=0.1), 1.0],
    ]
    assert "125 points" in "".join(shown.itertext())


def test_a_name_that_would_meet_its_number_is_cut_and_its_title_is_whole() -> None:
    name = "replay (capacity 50) + ewc (strength 5000, mode online, decay 0.9)"
    image = ElementTree.fromstring(str(bars("accuracy", [Bar(name, 0.5, "50.0 ± 1.0", [])], (0.0, 1.0))))
    label = image.findall("text")[0]
    assert label.findtext("title") == name
    assert "".join(label.itertext()).removeprefix(name).endswith("…")
    assert len("".join(label.itertext()).removeprefix(name)) < 40


def test_what_intransigence_is_measured_against_is_said() -> None:
    cumulative, joint = learned("cumulative", ()), Found("joint", [], {}, True, [], [], {}, {})
    assert "joint training" in intransigence_bound([learned(), joint])
    said = intransigence_bound([learned(), cumulative, joint])
    assert "cumulative training after each task" in said
    assert "its own against joint training" in said
    assert "its own" not in intransigence_bound([learned(), cumulative])
    assert intransigence_bound([learned()]) == ""
    assert "measured against cumulative" in str(numbers([learned(), cumulative]))
