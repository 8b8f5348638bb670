"""What the page shows when something is not as it should be: no network, refusals, a silent trainer."""

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.console.console import Console, refuse

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]


def test_a_cut_network_is_said_and_the_page_comes_back_by_itself(console: Console) -> None:
    page = console.page
    console.context.set_offline(True)
    expect(page.locator("#notices")).to_contain_text("Offline. This is what was known at")
    expect(page.locator("#live")).to_contain_text("offline, as of")
    page.get_by_role("button", name="Example 7").click()
    expect(page.locator("#answer")).to_contain_text("cannot be reached")
    assert console.violations() == []
    console.picture("console-offline")
    console.context.set_offline(False)
    expect(page.locator("#live")).to_have_text("live")
    expect(page.locator("#notices")).to_be_empty()
    page.get_by_role("button", name="Try again").click()
    assert console.answer()


def test_what_happens_meanwhile_is_told_after_the_break(console: Console) -> None:
    page = console.page
    label = console.example(0)
    page.get_by_role("button", name=f"{label}, the answer is right").click()
    console.wait_settled()
    before = page.locator("#news li").count()
    assert before
    with page.expect_request("**/stream") as asked:
        console.context.set_offline(True)
        console.context.set_offline(False)
    assert int(asked.value.headers["last-event-id"]) > 0
    expect(page.locator("#live")).to_have_text("live")


def test_a_busy_service_is_asked_again_and_a_failing_one_on_demand(console: Console) -> None:
    busy = (503, "starting", "this replica does not know its champion yet")
    refuse(console, "**/predict", busy, busy, (500, "internal_error", "its log says where"))
    page = console.page
    page.get_by_role("button", name="Example 0").click()
    expect(page.locator("#answer")).to_contain_text("The service is starting")
    expect(page.locator("#answer")).to_contain_text("Trying again in")
    expect(page.locator("#answer")).to_contain_text("its log says where")
    assert console.violations() == []
    console.picture("console-refused", of=".try")
    page.get_by_role("button", name="Try again").click()
    assert console.answer()


def test_a_refused_correction_says_why_and_is_not_shown_as_accepted(console: Console) -> None:
    refuse(console, "**/feedback", (403, "forbidden", "the role feedback is needed"))
    label = console.example(5)
    console.page.get_by_role("button", name=f"{label}, the answer is right").click()
    expect(console.page.locator("#teach-fault")).to_contain_text("This token may not do that")
    expect(console.page.locator("#teach-fault")).to_contain_text("the role feedback is needed")
    assert console.page.locator("#trails details").count() == 0


def test_a_correction_is_sent_again_under_one_id(console: Console) -> None:
    sent: list[Any] = []
    console.page.on(
        "request", lambda request: sent.append(request.post_data_json) if "/feedback" in request.url else None
    )
    refuse(console, "**/feedback", (503, "log_unavailable", "the log cannot be written"))
    label = console.example(5)
    console.page.get_by_role("button", name=f"{label}, the answer is right").click()
    console.wait_settled()
    assert len(sent) == 2
    assert sent[0]["events"][0]["event_id"] == sent[1]["events"][0]["event_id"]


def test_a_silent_trainer_is_said(console: Console) -> None:
    def silence(route: Any) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json=answer.json() | {"trainer": "silent"})

    console.page.route("**/v1/models/digits", silence)
    expect(console.page.locator("#notices")).to_contain_text("The trainer is silent. Predictions go on.")
    expect(console.page.locator("#parts")).to_contain_text("silent")


def test_a_service_that_is_not_there_yet_is_waited_for(console: Console) -> None:
    refuse(console, "**/v1/models", (503, "starting", "models do not know their champion yet"))
    console.page.reload()
    expect(console.page.locator("#notices")).to_contain_text("The service is starting")
    expect(console.page.locator("#live")).to_have_text("live")
    expect(console.page.locator("#notices")).to_be_empty()
