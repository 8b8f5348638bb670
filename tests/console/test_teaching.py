"""A person corrects, and sees what becomes of it; also by keyboard alone, and before there is any version."""

import random
import re
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.console.console import MOST_LESSONS, PROBE, Console
from tests.console.service import Service

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]
HAND = random.Random(7)
CHAMPION = re.compile(r"version (\d+) is the champion")


def test_before_the_first_version_the_page_says_so_and_teaching_makes_it(console: Console) -> None:
    console.open("empty")
    page = console.page
    expect(page.locator("#headline")).to_contain_text("Send feedback first")
    expect(page.locator("#matrix")).to_contain_text("Nothing is measured yet")
    expect(page.locator("#ledger")).to_contain_text("No event has come yet")
    assert console.violations() == []
    console.draw((0.3, 0.5), (0.7, 0.5))
    expect(page.locator("#untrained")).to_be_visible()
    console.picture("console-empty")
    page.get_by_label("A new label").fill("dash")
    page.get_by_role("button", name="Teach", exact=True).click()
    console.wait_settled()
    assert console.answer() == "dash"
    expect(page.locator("#headline")).to_contain_text("is served")
    expect(page.locator("#chips button")).to_have_text(["dash"])


def test_a_new_class_is_taught_and_then_recognised(console: Console, service: Service) -> None:
    page = console.page
    known = service.get("/v1/models/digits")["labels"]
    assert "triangle" not in known
    _triangle(console)
    for _ in range(MOST_LESSONS):
        console.answer()
        page.get_by_label("A new label").fill("triangle")
        page.get_by_role("button", name="Teach", exact=True).click()
        console.wait_settled()
        _triangle(console)  # another one: no two are drawn alike
        if console.answer() == "triangle":
            break
    else:
        raise AssertionError(f"{MOST_LESSONS} lessons were not enough")
    steps = console.trail.locator("li strong").all_inner_texts()
    assert steps[:6] == ["Accepted", "In a task", "Learned", "Judged", "Promoted", "Served"]
    expect(console.trail).to_contain_text("on disk at position")
    console.picture("console-teaching", of=".try")
    assert "triangle" in service.get("/v1/models/digits")["labels"]
    assert {console.example(digit) for digit in (0, 7)} <= set(known)


def test_one_click_confirms_and_the_trail_names_the_version_that_learned_it(console: Console, service: Service) -> None:
    page = console.page
    label = console.example(1)
    ledger = service.get("/v1/models/digits")["ledger"]
    page.get_by_role("button", name=f"{label}, the answer is right").click()
    expect(console.trail.locator("li").first).to_contain_text("on disk at position")
    outcome = console.wait_settled()
    after = service.get("/v1/models/digits")
    assert after["ledger"]["received"] == ledger["received"] + 1
    position = int(console.trail.locator("li").first.inner_text().split("position ")[1].replace(",", ""))
    if outcome == PROBE:
        assert after["ledger"]["probe"] == ledger["probe"] + 1
    else:
        expect(console.trail).to_contain_text(CHAMPION)
        told = CHAMPION.search(console.trail.inner_text())
        assert told
        version = service.get(f"/v1/models/digits/versions/{told[1]}")
        assert version["lineage"]["processed_through"] >= position
    expect(page.locator("#news")).to_contain_text("received in all")


def test_a_refusal_of_the_gate_is_shown_with_its_reasons(console: Console) -> None:
    """The answers of the service are altered as if the gate had refused what comes next."""
    page = console.page
    served = page.request.get(f"{console.address}/v1/models/digits").json()["served_through"]

    def hold_status(route: Any) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json=answer.json() | {"served_through": served})

    def refuse_newer(route: Any) -> None:
        answer = route.fetch()
        document = answer.json()
        for version in document["versions"]:
            if version["lineage"]["processed_through"] > served:
                version["probes"]["decision"] |= {"verdict": "refuse", "reasons": ["0-and-1 falls too far"]}
        route.fulfill(response=answer, json=document)

    page.route("**/v1/models/digits", hold_status)
    page.route("**/v1/models/digits/versions*", refuse_newer)
    assert console.confirm_until_learned(console.example(1)) == "refused by the gate"
    expect(console.trail).to_contain_text("the gate refuses it: 0-and-1 falls too far; what was served stays")


def test_everything_can_be_done_by_keyboard(console: Console) -> None:
    page = console.page
    _tab_to(console, "canvas")
    place = page.evaluate("window.scrollY")
    for key in ["ArrowUp"] * 5 + ["Space"] + ["ArrowDown"] * 10 + ["Space"]:
        page.keyboard.press(key)
    label = console.answer()
    assert page.evaluate("window.scrollY") == place, "the arrows moved the page"
    pixels = console.seen()
    assert sum(any(pixels[row : row + 8]) for row in range(0, 64, 8)) == 8, "no line was drawn"
    while page.evaluate("document.activeElement.className") != "chip is-answer":
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement !== document.body"), "the answer's chip was not met"
    page.keyboard.press("Enter")
    expect(console.trail.locator("summary")).to_contain_text(f"It is {label}")
    console.wait_settled()
    _leaves_the_page(console)


def _triangle(console: Console) -> None:
    wobble = [HAND.uniform(-0.06, 0.06) for _ in range(6)]
    top, left = (0.5 + wobble[0], 0.15 + wobble[1]), (0.15 + wobble[2], 0.8 + wobble[3])
    right = (0.85 + wobble[4], 0.8 + wobble[5])
    console.clear()
    console.draw(top, left, right, top)


def _tab_to(console: Console, element_id: str) -> None:
    for _ in range(60):
        if console.page.evaluate("document.activeElement.id") == element_id:
            return
        console.page.keyboard.press("Tab")
    raise AssertionError(f"#{element_id} is not reached by Tab")


def _leaves_the_page(console: Console) -> None:
    """No keyboard trap: Tab reaches the last link and goes on."""
    for _ in range(200):
        console.page.keyboard.press("Tab")
        if console.page.evaluate("Boolean(document.activeElement.closest('footer'))"):
            return
    raise AssertionError("the end of the page is not reached by Tab")
