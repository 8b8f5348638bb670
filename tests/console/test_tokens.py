"""A service that asks for tokens, used in the browser: without one, with one, and with one of too few roles."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from lifelong import tokens
from service.tokens import Role
from tests.console.console import Console
from tests.console.service import ALL_LEARNED, IMAGE, Service, running, written

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]
ROLES = {"reader": [Role.PREDICT], "teacher": [Role.PREDICT, Role.FEEDBACK], "guest": [Role.PREDICT]}
WRONG = "ll_nobody-was-given-this-one"


@pytest.fixture(scope="module")
def configurations(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A model that no test teaches, which the page shows first, and one that a test does."""
    directory = tmp_path_factory.mktemp("guarded")
    serving = {"tokens": str(directory / "tokens.json")}
    settings = {"input": IMAGE, "probes": ALL_LEARNED, "service": serving}
    return [written(directory, name, settings) for name in ("guarded", "taught")]


@pytest.fixture(scope="module")
def secrets(configurations: list[Path]) -> dict[str, str]:
    """The tokens that the service starts with, by their names."""
    return {name: tokens.add(configurations[0], name, roles) for name, roles in ROLES.items()}


@pytest.fixture(scope="module")
def service(configurations: list[Path], secrets: dict[str, str]) -> Iterator[Service]:
    """A service with a token file, in the place of the package's open one."""
    assert secrets
    with running(configurations[0].parent, configurations) as service:
        yield service


@pytest.fixture
def console(visit: Callable[..., Console]) -> Console:
    """The page as it stands when it has asked for a token."""
    console = visit()
    console.page.goto(f"{console.address}/")
    expect(console.page.get_by_role("dialog")).to_contain_text("This service asks for a token")
    return console


def test_without_a_token_nothing_is_shown_and_the_page_says_what_it_waits_for(console: Console) -> None:
    page = console.page
    expect(page.locator("#live")).to_have_text("waiting for a token")
    assert console.violations() == []
    console.picture("console-token", of="#token-dialog")
    page.get_by_role("button", name="Not now").click()
    expect(page.locator("#notices")).to_contain_text("A token is needed")
    expect(page.locator("#live")).to_have_text("waiting for a token")
    assert page.locator("#model option").count() == 0
    assert console.violations() == []
    page.get_by_role("button", name="Give a token").click()
    give(console, WRONG)
    expect(page.get_by_role("dialog")).to_contain_text("was not accepted")


def test_a_token_is_kept_for_the_tab_and_sent_in_the_header_alone(console: Console, secrets: dict[str, str]) -> None:
    page = console.page
    give(console, secrets["reader"])
    expect(page.locator("#live")).to_have_text("live")
    assert page.evaluate("[sessionStorage.length, localStorage.length, document.cookie]") == [1, 0, ""]
    console.draw((0.2, 0.5), (0.8, 0.5))
    expect(page.locator("#untrained")).to_be_visible()
    page.locator("#teach-tools button").click()
    command = page.evaluate("navigator.clipboard.readText()")
    assert "$LIFELONG_TOKEN" in command
    assert secrets["reader"] not in command
    assert not [url for url in console.asked if secrets["reader"] in url]
    page.get_by_role("button", name="Forget token").click()
    expect(page.get_by_role("dialog")).to_be_visible()


def test_a_role_that_is_lacking_is_named(console: Console, secrets: dict[str, str]) -> None:
    give(console, secrets["reader"])
    teach(console, "dash")
    expect(console.page.locator("#teach-fault")).to_contain_text("This token may not do that")
    expect(console.page.locator("#teach-fault")).to_contain_text("feedback")
    assert console.page.locator("#trails details").count() == 0


def test_a_token_with_the_role_teaches_but_only_an_operator_closes_a_task(
    console: Console, secrets: dict[str, str]
) -> None:
    page = console.page
    give(console, secrets["teacher"])
    page.locator("#model").select_option("taught")
    teach(console, "dash")
    assert console.wait_settled().startswith("served after")
    assert console.answer() == "dash"
    page.get_by_role("button", name="Close task").click()
    page.get_by_role("button", name="Close the task").click()
    expect(page.locator("#confirm-fault")).to_contain_text("This token may not do that")
    expect(page.locator("#confirm-fault")).to_contain_text("operate")


def test_a_revoked_token_is_asked_for_again(
    console: Console, configurations: list[Path], secrets: dict[str, str]
) -> None:
    give(console, secrets["guest"])
    expect(console.page.locator("#live")).to_have_text("live")
    tokens.revoke(configurations[0], "guest")
    expect(console.page.get_by_role("dialog")).to_contain_text("was not accepted")
    expect(console.page.locator("#live")).to_have_text("waiting for a token")


def test_the_reference_asks_for_a_token_too(console: Console, secrets: dict[str, str]) -> None:
    page = console.page
    page.goto(f"{console.address}/docs")
    give(console, secrets["reader"])
    expect(page.locator("#post-v1-models-model-feedback")).to_be_visible()


def give(console: Console, secret: str) -> None:
    """Gives a token in the dialog."""
    console.page.get_by_label("Bearer token").fill(secret)
    console.page.get_by_role("button", name="Use the token").click()


def teach(console: Console, label: str) -> None:
    """Draws a line and says what it is."""
    console.draw((0.2, 0.5), (0.8, 0.5))
    console.page.get_by_label("A new label").fill(label)
    console.page.get_by_role("button", name="Teach", exact=True).click()
