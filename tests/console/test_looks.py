"""Light and dark, narrow and wide: nothing is cut, and axe-core finds nothing."""

from collections.abc import Callable

import msgspec
import pytest
from playwright.sync_api import expect

from contracts.status import Matrix
from tests.console.console import NARROW, WIDE, Console
from tests.console.service import Service

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_the_page_is_whole_and_accessible(visit: Callable[..., Console], scheme: str, width: int) -> None:
    console = visit(viewport={"width": width, "height": 900}, color_scheme=scheme).open()
    page = console.page
    page.get_by_label("Show why").check()
    console.example(3)
    expect(page.locator("#seen-why")).to_be_visible()
    page.get_by_role("button", name="3, the answer is right").or_(
        page.get_by_role("button", name="It is 3")
    ).first.click()
    console.wait_settled()
    assert console.overflow() <= 0
    assert console.violations() == []
    console.picture(f"console-{scheme}-{width}")
    page.get_by_text("by version").click()
    page.locator("#versions summary").first.click()
    assert console.overflow() <= 0
    assert console.violations() == []


def test_a_matrix_without_rows_has_no_scrollbar(console: Console) -> None:
    page = console.page
    page.route("**/v1/models/digits/matrix", lambda route: route.fulfill(json=msgspec.to_builtins(Matrix())))
    expect(page.locator("#matrix")).to_contain_text("Nothing is measured yet")
    hidden = page.get_by_role("region", name="Accuracy matrix").evaluate("box => box.scrollWidth - box.clientWidth")
    assert hidden == 0


def test_dark_is_dark_and_light_is_light(visit: Callable[..., Console]) -> None:
    grounds = {
        scheme: visit(color_scheme=scheme)
        .open()
        .page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        for scheme in ("light", "dark")
    }
    lightness = {
        scheme: sum(int(part) for part in ground.strip("rgb()").split(",")) / 765 for scheme, ground in grounds.items()
    }
    assert lightness["dark"] < 0.2
    assert lightness["light"] > 0.8


def test_nothing_moves_for_those_who_want_no_motion(visit: Callable[..., Console]) -> None:
    page = visit(reduced_motion="reduce").open().page
    assert page.evaluate("document.getAnimations().length") == 0


def test_landmarks_and_headings_lead_through_the_page(console: Console) -> None:
    page = console.page
    for landmark in ("banner", "main", "contentinfo"):
        assert page.get_by_role(landmark).count() == 1  # type: ignore[arg-type]
    assert page.get_by_role("heading", level=1).count() == 1
    headings = page.get_by_role("heading", level=2).all_inner_texts()
    for expected in ("What it remembers", "Versions", "What happens", "Where every event is"):
        assert expected in headings


@pytest.mark.parametrize(("scheme", "width"), [("light", WIDE), ("dark", NARROW)])
def test_the_reference_shows_every_operation(
    visit: Callable[..., Console], service: Service, scheme: str, width: int
) -> None:
    console = visit(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = console.page
    page.goto(f"{console.address}/docs")
    paths = service.get("/openapi.json")["paths"]
    operations = page.locator("#operations > section")
    expect(operations).to_have_count(sum(len(methods) for methods in paths.values()))
    predict = operations.filter(has=page.locator("h2", has_text="/v1/models/{model}/predict"))
    expect(predict.get_by_role("region", name="Body of post")).to_contain_text("instances required")
    predict.get_by_role("button", name="Copy as curl").click()
    assert page.evaluate("navigator.clipboard.readText()").startswith(
        f"curl {console.address}/v1/models/{{model}}/predict"
    )
    assert console.overflow() <= 0
    assert console.violations() == []
    console.picture(f"reference-{scheme}-{width}", of="#post-v1-models-model-feedback")
