"""What is remembered, where every event is, and what changes the service: closing a task, rolling back."""

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.console.console import Console, refuse
from tests.console.service import Service

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]


def test_the_matrix_shows_the_measured_numbers(console: Console, service: Service) -> None:
    matrix = service.get("/v1/models/digits/matrix")
    rows = console.page.locator("#matrix tbody tr")
    expect(rows).to_have_count(len(matrix["tasks"]) + 1)
    cells = rows.nth(3).locator("td").all_inner_texts()
    shown = [float(text) for text in cells[:3]]
    assert shown == pytest.approx([100 * value for value in matrix["R"][2][:3]], abs=0.06)
    assert rows.nth(3).locator("td.is-own").inner_text() == cells[2]


def test_its_history_by_version_and_the_lines_over_time(console: Console, service: Service) -> None:
    page = console.page
    page.get_by_text("by version").click()
    newest = service.get("/v1/models/digits/versions?max_results=1")["versions"][0]
    expect(page.locator("#matrix tbody th").first).to_contain_text(f"version {newest['version']}")
    tasks = len(newest["probes"]["tasks"])
    expect(page.locator("#chart .line")).to_have_count(tasks + 1)
    expect(page.get_by_role("img", name="Accuracy by version")).to_be_visible()


def test_the_ledger_visibly_adds_up(console: Console) -> None:
    expect(console.page.locator("#ledger .sum")).to_contain_text("Nothing was lost")
    numbers = [int(text.replace(",", "")) for text in console.page.locator("#ledger .term .number").all_inner_texts()]
    assert numbers[0] == sum(numbers[1:]) > 1000
    summands = re.findall(r"\d[\d,]*", console.page.locator("#ledger .sum").inner_text())
    assert int(summands[-1].replace(",", "")) == numbers[0]


def test_a_ledger_that_does_not_add_up_is_said_so(console: Console) -> None:
    def lose_one(route: Any) -> None:
        answer = route.fetch()
        document = answer.json()
        document["ledger"]["trained"] -= 1
        route.fulfill(response=answer, json=document)

    console.page.route("**/v1/models/digits", lose_one)
    expect(console.page.locator("#ledger .is-bad")).to_contain_text("but")


def test_a_task_is_closed_through_the_dialog_and_measured(console: Console, service: Service) -> None:
    page = console.page
    label = console.example(2)
    page.get_by_text("Name a task").click()
    page.locator("#teach-task").fill("corrections")
    console.confirm_until_learned(label)
    page.get_by_role("button", name="Close task corrections").click()
    expect(page.get_by_role("dialog")).to_contain_text("Close task “corrections”?")
    page.get_by_role("button", name="Close the task").click()
    expect(page.locator("#news")).to_contain_text("Task corrections ended as asked")
    expect(page.locator("#confirm")).to_be_hidden()
    states = {task["task"]: task["state"] for task in service.get("/v1/models/digits")["tasks"]}
    assert states["corrections"] == "closed"


def test_a_task_of_which_nothing_is_learned_cannot_be_closed(console: Console) -> None:
    def unlearn(route: Any) -> None:
        answer = route.fetch()
        document = answer.json()
        document["tasks"][0] |= {"trained": 0, "state": "open"}
        route.fulfill(response=answer, json=document)

    console.page.route("**/v1/models/digits", unlearn)
    row = console.page.locator("#tasks tbody tr").first
    expect(row).to_contain_text("nothing learned yet")
    assert row.get_by_role("button").count() == 0


def test_old_versions_are_folded_but_never_the_one_served(console: Console, service: Service) -> None:
    page = console.page
    newest = service.get("/v1/models/digits/versions?max_results=1")["versions"][0]

    def add_newer(route: Any) -> None:
        answer = route.fetch()
        versions = answer.json()["versions"]
        more = [newest | {"version": newest["version"] + place, "aliases": []} for place in range(20, 0, -1)]
        route.fulfill(response=answer, json={"versions": more + versions, "next_page_token": None})

    page.route("**/versions?*", add_newer)
    page.reload()
    items = page.locator("#versions > li")
    expect(items).to_have_count(9)
    expect(items.last).to_contain_text("served now")
    unfold = page.locator("#all-versions")
    total = int(unfold.inner_text().removeprefix("Show all "))
    unfold.click()
    expect(items).to_have_count(total)
    expect(unfold).to_have_attribute("aria-expanded", "true")
    page.get_by_role("button", name="Show the newest 8").click()
    expect(items).to_have_count(9)


def test_nobody_goes_back_to_a_withdrawn_version(console: Console, service: Service) -> None:
    page = console.page
    newest = service.get("/v1/models/digits/versions?max_results=1")["versions"][0]

    def withdraw(route: Any) -> None:
        answer = route.fetch()
        gone = newest | {"version": newest["version"] + 1, "aliases": [], "withdrawn": "e1"}
        route.fulfill(response=answer, json={"versions": [gone, *answer.json()["versions"]], "next_page_token": None})

    page.route("**/versions?*", withdraw)
    page.reload()
    first = page.locator("#versions > li").first
    expect(first.locator(".badge")).to_have_text("withdrawn")
    expect(first.get_by_role("button")).to_have_count(0)


def test_a_version_explains_itself(console: Console, service: Service) -> None:
    item = console.page.locator("#versions > li").first
    record = service.get("/v1/models/digits/versions?max_results=1")["versions"][0]
    item.locator("summary").click()
    for reason in record["probes"]["decision"]["reasons"]:
        expect(item.locator(".reasons")).to_contain_text(reason)
    expect(item.locator(".facts")).to_contain_text(f"version {record['lineage']['parent']}")
    expect(item.locator(".facts")).to_contain_text("replay (capacity 2000)")
    expect(item.locator(".facts")).to_contain_text(record["lineage"]["sha256"]["weights.safetensors"][:16])


def test_rollback_is_confirmed_and_serves_the_older_version(console: Console, service: Service) -> None:
    page = console.page
    now = service.get("/v1/models/digits")["version"]
    # The second: the first would be served by a rollback that names no version, too.
    button = page.get_by_role("button", name=re.compile("Roll back to version")).nth(1)
    target = int(button.get_attribute("aria-label").rpartition(" ")[2])  # type: ignore[union-attr]
    button.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(f"Serve version {target} again?")
    console.picture("console-rollback", of="#confirm")
    dialog.get_by_role("button", name="Cancel").click()
    assert service.get("/v1/models/digits")["version"] == now
    button.click()
    dialog.get_by_role("button", name=f"Roll back to version {target}").click()
    expect(page.locator("#headline")).to_contain_text(f"Version {target} is served")
    expect(page.locator("#news")).to_contain_text(f"Rolled back to version {target}, learner and all")
    assert service.get("/v1/models/digits")["version"] == target


def test_a_refused_rollback_says_why_in_the_dialog(console: Console) -> None:
    refuse(console, "**/rollback", (409, "version_not_kept", "the checkpoint of version 2 is not kept"))
    page = console.page
    page.get_by_role("button", name=re.compile("Roll back to version")).last.click()
    page.locator("#confirm-go").click()
    expect(page.locator("#confirm-fault")).to_contain_text("the checkpoint of version 2 is not kept")
    assert console.violations() == []
    page.keyboard.press("Escape")
    expect(page.locator("#confirm")).to_be_hidden()


@pytest.mark.parametrize(("button", "path"), [("Roll back to version", "**/rollback"), ("Close task", "**/close")])
def test_an_order_that_a_replica_took_along_is_not_given_again(console: Console, button: str, path: str) -> None:
    def open_a_task(route: Any) -> None:
        answer = route.fetch()
        document = answer.json()
        document["tasks"][0]["state"] = "open"
        route.fulfill(response=answer, json=document)

    page = console.page
    page.route("**/v1/models/digits", open_a_task)
    refuse(console, path, *[(503, "replica_lost", "whether it did what was asked is not known")] * 4)
    page.get_by_role("button", name=re.compile(button)).first.click()
    page.locator("#confirm-go").click()
    expect(page.locator("#confirm-fault")).to_contain_text("whether it did what was asked is not known")
    assert len([url for url in console.asked if url.endswith(path.removeprefix("**"))]) == 1
