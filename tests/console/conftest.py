"""One real service for the package, one real browser a module, a page of its own for each test."""

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.console.console import PATIENCE_MS, Console
from tests.console.service import MODELS, Service, running, teach_all, written

expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="package")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that has learned the ten digits, in five tasks, and a little of other models."""
    directory = tmp_path_factory.mktemp("console")
    configurations = [written(directory, name, settings) for name, settings in MODELS.items()]
    with running(directory, configurations) as service:
        teach_all(service)
        yield service


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; no longer than a module, because its event loop would be in the way of other tests'."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser, service: Service) -> Iterator[Callable[..., Console]]:
    """Opens pages with the given context options; after the test none may have complained."""
    opened: list[Console] = []

    def visit(**options: Any) -> Console:
        opened.append(Console(browser, service.address, **options))
        return opened[-1]

    yield visit
    for console in opened:
        console.close()


@pytest.fixture
def console(visit: Callable[..., Console]) -> Console:
    """A wide, light page that shows the digits."""
    return visit().open()
