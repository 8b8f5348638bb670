"""How the files of the pages are answered."""

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

from tests.service.inprocess import InProcessService, call

pytestmark = pytest.mark.unit


@pytest.fixture
def service(tmp_path: Path) -> Iterator[InProcessService]:
    with InProcessService(tmp_path) as running:
        yield running


def test_every_file_of_the_package_is_served_with_its_type(service: InProcessService) -> None:
    names = [file.name for file in (files("service") / "static").iterdir()]
    assert {"console.html", "console.js", "style.css", "icon.svg"} <= set(names)
    types = {"html": "text/html", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
    for name in names:
        reply = service.get(f"/static/{name}")
        assert reply.status == 200, name
        assert reply.headers["content-type"] == f"{types[name.rpartition('.')[2]]}; charset=utf-8"
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert "unsafe" not in reply.headers["content-security-policy"]


def test_a_file_that_the_browser_has_is_not_sent_again(service: InProcessService) -> None:
    etag = service.get("/").headers["etag"]
    again = service.run(call(service.app, "GET", "/", [b""], [(b"if-none-match", etag.encode())]))
    assert (again.status, again.body) == (304, b"")
    changed = service.run(call(service.app, "GET", "/", [b""], [(b"if-none-match", b'"another"')]))
    assert changed.status == 200
    assert changed.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("name", ["missing.js", "..%2fpages.py", "__pycache__"])
def test_nothing_else_is_served(service: InProcessService, name: str) -> None:
    reply = service.get(f"/static/{name}")
    assert (reply.status, reply.document["error"]) == (404, "unknown_route")
