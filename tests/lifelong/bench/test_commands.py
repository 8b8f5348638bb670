"""`lifelong bench …` as a shell and a browser see it: documents, pages, pictures, and refusals."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from playwright.sync_api import sync_playwright

pytestmark = pytest.mark.real
PROTOCOL = (
    "--epochs",
    "3",
    "--learner",
    "{batch_size: 32, learning_rate: 0.005}",
    "--network",
    "{kind: mlp, hidden: [50]}",
)
QUICK = ("--data", "digits", *PROTOCOL)
READ_TABLES = """tables => tables.map(
    table => [...table.tBodies[0].rows].map(row => [...row.cells].slice(1).map(cell => cell.innerText))
)"""
SVG = "{http://www.w3.org/2000/svg}"


def bench(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lifelong", "bench", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """A comparison of two strategies, as its document and its page."""
    path = tmp_path_factory.mktemp("report") / "new" / "report.html"
    strategies = (
        "--strategy",
        "replay+ewc",
        "--strategy",
        "[{kind: replay, capacity: 50}]",
        "--strategy",
        "cumulative",
    )
    done = bench("stream", *QUICK, *strategies, "--seeds", "2", "--out", path, "--json")
    assert done.returncode == 0, done.stderr
    assert "note: 5 of 5 tasks take fewer than 50 steps, the shortest 27: " in done.stderr
    return json.loads(done.stdout), path


def test_the_document_holds_every_run_and_its_measures(report: tuple[dict[str, Any], Path]) -> None:
    document, _ = report
    assert [each["name"] for each in document["methods"]] == [
        "fine-tuning",
        "replay + ewc",
        "replay (capacity 50)",
        "cumulative",
        "joint",
    ]
    assert document["tasks"] == ["0, 1", "2, 3", "4, 5", "6, 7", "8, 9"]
    assert document["data"]["test_rows"] == 360
    for method in document["methods"]:
        averages = [np.mean(run["R"][-1]) for run in method["runs"]]
        assert [run["seed"] for run in method["runs"]] == [0, 1]
        assert method["runs"][0]["curve"] != method["runs"][1]["curve"]
        assert method["mean"]["average_accuracy"] == pytest.approx(np.mean(averages))
        assert method["std"]["average_accuracy"] == pytest.approx(np.std(averages, ddof=1))


def test_what_is_known_of_forgetting_is_found_again(report: tuple[dict[str, Any], Path]) -> None:
    found = {each["name"]: each["mean"] for each in report[0]["methods"]}
    assert found["fine-tuning"]["average_accuracy"] < 0.25
    assert found["fine-tuning"]["backward_transfer"] < -0.6
    assert found["replay + ewc"]["average_accuracy"] > found["fine-tuning"]["average_accuracy"] + 0.4
    assert found["joint"]["average_accuracy"] > 0.85


def test_the_lowest_accuracy_within_tasks_is_not_above_that_at_their_ends(report: tuple[dict[str, Any], Path]) -> None:
    for run in report[0]["methods"][1]["runs"]:
        assert run["measures"]["minimum_accuracy"] <= np.mean(run["R"][-1][:-1])
        assert run["measures"]["stability_gap"] > 0


def test_intransigence_is_measured_against_the_model_that_knows_the_tasks_so_far(
    report: tuple[dict[str, Any], Path],
) -> None:
    by_name = {each["name"]: each["runs"][1] for each in report[0]["methods"]}
    reference, run = (np.diag(np.array(by_name[name]["R"], float)) for name in ("cumulative", "fine-tuning"))
    assert by_name["fine-tuning"]["measures"]["intransigence"] == pytest.approx(np.mean(reference - run))


def test_within_each_task_accuracies_are_measured_some_ten_times(report: tuple[dict[str, Any], Path]) -> None:
    run = report[0]["methods"][1]["runs"][0]
    for place in range(5):
        points = [point for point in run["curve"] if point["place"] == place]
        assert 8 <= len(points) <= 20
        assert points[-1]["accuracy"] == run["R"][place]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_shows_the_document_and_asks_nobody(report: tuple[dict[str, Any], Path], scheme: Any) -> None:
    document, path = report
    complaints: list[str] = []
    asked: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(color_scheme=scheme)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        tables = page.locator("table.heat").evaluate_all(READ_TABLES)
        embedded = json.loads(page.locator("#document").inner_text())
        said = page.locator("body").inner_text()
        charts = page.get_by_role("img").count()
        box = page.locator("svg.chart").first.bounding_box()
        overflow = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
        browser.close()
    assert complaints == []
    assert {url for url in asked if not url.startswith(("file:", "data:"))} == set()
    assert embedded == document
    assert f"Note: {document['notes'][0]}." in said
    own = [each for each in document["methods"] if not each["is_joint"]]
    assert tables == [[["–" if v is None else f"{100 * v:.1f}" for v in row] for row in each["R"]] for each in own]
    assert charts == 3 + len(document["methods"])
    assert box is not None
    assert box["height"] > 50
    assert not overflow


def test_a_users_own_file_is_learned_as_a_stream_of_its_labels(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    centres = np.repeat(np.eye(4) * 5, 30, axis=0)
    np.savez(
        tmp_path / "own.npz", instances=centres + random.normal(size=centres.shape), labels=np.repeat(list("abcd"), 30)
    )
    arguments = (
        "--scenario",
        "task",
        "--epochs",
        "20",
        "--learner",
        "{batch_size: 8}",
        "--no-bounds",
        "--measure-every",
        "0",
    )
    done = bench(
        "stream", "--data", tmp_path / "own.npz", *arguments, "--network", "{kind: mlp, hidden: [20]}", "--json"
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["tasks"] == ["a, b", "c, d"]
    (only,) = document["methods"]
    assert only["mean"]["average_accuracy"] > 0.9
    assert only["runs"][0]["curve"] == []


def test_the_same_command_finds_the_same_numbers() -> None:
    arguments = ("stream", *QUICK, "--tasks", "2", "--no-bounds", "--strategy", "replay", "--json")
    one, other = (json.loads(bench(*arguments).stdout)["methods"][0]["runs"][0] for _ in range(2))
    assert {**one, "seconds": 0} == {**other, "seconds": 0}


def test_orders_are_learned_and_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "orders.html"
    done = bench("order", *QUICK, "--tasks", "3", "--classes-per-task", "2", "--random", "1", "--out", path, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    by_name = {name: each for each in document["orders"] for name in each["found"]["name"].split(" = ")}
    assert by_name["given"]["tasks"] == ["0, 1", "2, 3", "4, 5"]
    assert by_name["reversed"]["tasks"] == ["4, 5", "2, 3", "0, 1"]
    assert by_name["given"]["found"]["R"] != by_name["reversed"]["found"]["R"]
    assert len(set(document["difficulty"])) == 3
    easiest = int(np.argmax(document["difficulty"]))
    assert by_name["easy first"]["order"][0] == easiest
    averages = [each["found"]["mean"]["average_accuracy"] for each in document["orders"]]
    assert document["average_accuracy"]["lowest"] == min(averages)
    assert document["average_accuracy"]["std_over_orders"] == pytest.approx(np.std(averages, ddof=1))
    assert np.allclose(np.diag(document["similarity"]), 1.0, atol=1e-5)
    assert path.read_text(encoding="utf-8").count('<table class="heat"') == len(document["orders"])


def test_the_picture_of_two_tasks_tells_the_story(tmp_path: Path) -> None:
    path = tmp_path / "two.svg"
    done = bench(
        "two-tasks", "--data", "digits", "--epochs", "5", "--learner", "{batch_size: 32}", "--out", path, "--json"
    )
    assert done.returncode == 0, done.stderr
    ends = {each["name"]: each["R"][-1] for each in json.loads(done.stdout)["methods"]}
    assert ends["fine-tuning"][0] < 0.1
    assert ends["fine-tuning"][1] > 0.9
    assert min(*ends["replay + ewc"], *ends["joint"]) > 0.85
    image = ElementTree.parse(path).getroot()
    shown = ["".join(text.itertext()) for text in image.findall(f"{SVG}text") if text.get("class") == "ends"]
    assert shown == [f"task 1: {100 * one:.0f} %task 2: {100 * two:.0f} %" for one, two in ends.values()]
    assert not [part for part in image.iter() if any("http" in value for value in part.attrib.values())]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("stream", "--data", "nowhere.csv"), 69, "neither a file nor one of mnist, digits, clinc150"),
        (("stream", "--data", "digits", "--strategy", "ewk"), 78, "did you mean: ewc"),
        (("stream", "--data", "digits", "--classes-per-task", "3"), 78, "can be shared out 1, 2, 5, 10 a task"),
        (("stream", "--data", "digits", "--network", "text"), 78, "network.kind text reads a string"),
        (("stream", "--data", "digits", "--out", "/proc/no/report.html"), 65, "--out"),
        (("stream", "--scenario", "instance"), 2, "scenario"),
        (("order", "--data", "digits", "--tasks", "2"), 78, "at least three tasks"),
    ],
)
def test_what_cannot_be_done_is_one_line_before_any_work(arguments: tuple[str, ...], status: int, said: str) -> None:
    done = bench(*arguments)
    assert done.returncode == status
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert "learning" not in done.stderr
