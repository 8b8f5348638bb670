"""Fixtures that several packages share."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.broker import Broker


def pytest_configure(config: pytest.Config) -> None:
    """Lets kafka-python 3.0.12 be imported: it reads its schemas by functions that Python 3.11 deprecates."""
    config.addinivalue_line("filterwarnings", "ignore:(open|read)_text is deprecated:DeprecationWarning")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Overlooks the sockets that kafka-python leaves to the garbage collector after each refused connection."""
    for item in items:
        if _uses_kafka(item):
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"))


@pytest.fixture(autouse=True)
def _collect_sockets(request: pytest.FixtureRequest) -> Iterator[None]:
    """Collects those sockets before a test that would count them as its own begins."""
    yield
    if _uses_kafka(request.node):
        gc.collect()


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A running broker for the whole session; whoever kills or stops it takes `own_broker` instead."""
    yield from _running(tmp_path_factory.mktemp("broker"))


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[Broker]:
    """A running broker for one test, free to be killed."""
    directory = tmp_path / "broker"
    directory.mkdir()
    yield from _running(directory)


def _running(directory: Path) -> Iterator[Broker]:
    broker = Broker(directory)
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


def _uses_kafka(item: pytest.Item) -> bool:
    names: list[str] = getattr(item, "fixturenames", [])
    return "broker" in names or "own_broker" in names
