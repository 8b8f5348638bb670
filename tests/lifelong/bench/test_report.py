"""The page in a browser, narrow and wide: no name lies over another cell, and measures stay where numbers scroll."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

from lifelong.bench.report import matrices, numbers, page
from lifelong.bench.results import Found, Row, found, run_of
from lifelong.bench.study import Method, Outcome

pytestmark = pytest.mark.real
TASKS = ["credit card blocked, date", "delivery late, opening hours", "refund, with a really quite long label name"]
SPILT = """heads => heads.filter(head => {
    const words = document.createRange();
    words.selectNodeContents(head);
    const own = head.getBoundingClientRect(), said = words.getBoundingClientRect();
    return said.right > own.right + 1 || said.left < own.left - 1;
}).map(head => head.innerText)"""


def learned(name: str) -> Found:
    accuracy: list[Row] = [[1.0, None, None], [0.5, 1.0, None], [0.25, 0.5, 1.0]]
    outcome = Outcome(TASKS, accuracy, [None] * 3, [], 100, 2.0)
    return found(Method(name, [{"kind": "replay"}]), [run_of(outcome, 0, is_joint=False, joint=[1.0] * 3)])


@pytest.fixture(params=[390, 1400])
def shown(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Page]:
    """The page's tables, of methods with long names."""
    methods = [learned(f"replay (capacity {size}, selection class_balanced)") for size in (50, 100, 200, 400)]
    sections = [("Matrices", matrices(methods, TASKS)), ("Numbers", numbers(methods))]
    document = {"command": "lifelong", "data": {}, "settings": {}, "machine": {}, "notes": []}
    path = tmp_path / "report.html"
    path.write_text(page("title", "lead", sections, document), encoding="utf-8")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": request.param, "height": 900})
        opened.goto(path.as_uri())
        yield opened
        browser.close()


def test_no_name_is_printed_over_another_cell(shown: Page) -> None:
    assert shown.locator("th").evaluate_all(SPILT) == []
    assert shown.evaluate("document.documentElement.scrollWidth") == shown.evaluate("window.innerWidth")


def test_the_names_of_measures_stay_where_numbers_scroll(shown: Page) -> None:
    heads = shown.locator(".numbers tbody th")
    before = heads.first.bounding_box()
    shown.locator(".scroll:has(.numbers)").evaluate("box => box.scrollLeft = 200")
    assert heads.first.bounding_box() == before
