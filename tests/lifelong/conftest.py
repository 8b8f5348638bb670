"""A scripted service that the client's tests ask."""

from collections.abc import Iterator

import pytest

from tests.lifelong.scripted import Script, serving


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def address(script: Script) -> Iterator[str]:
    with serving(script) as address:
        yield address
