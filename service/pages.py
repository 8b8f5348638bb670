"""The pages for people: the console at `/` and the reference at `/docs`; all their files are our own."""

from hashlib import sha256
from importlib.resources import files
from typing import NamedTuple

from fastapi import APIRouter, Request
from fastapi.responses import Response

from service.errors import RequestFault

TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
HEADERS = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    # Kept, but asked for again each time: after an update no page runs with modules of two versions.
    "cache-control": "no-cache",
}


class Page(NamedTuple):
    """One file as it is answered."""

    content: bytes
    media_type: str
    etag: str

    def answer(self, request: Request) -> Response:
        """The file, or 304 where the browser has this very content."""
        headers = {**HEADERS, "etag": self.etag}
        if self.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(self.content, headers=headers, media_type=self.media_type)


def add_pages(app: APIRouter) -> None:
    """Adds the pages; they find everything by relative addresses, so any prefix before them works."""
    pages = _read()

    @app.get("/", include_in_schema=False)
    async def console(request: Request) -> Response:
        return pages["console.html"].answer(request)

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        return pages["docs.html"].answer(request)

    @app.get("/static/{name}", include_in_schema=False)
    async def static(name: str, request: Request) -> Response:
        if name not in pages:
            raise RequestFault("unknown_route", "there is no such file")
        return pages[name].answer(request)


def _read() -> dict[str, Page]:
    """Every file of `static` whose type is known, by its name."""
    found = {}
    for file in (files("service") / "static").iterdir():
        kind = TYPES.get(file.name.rpartition(".")[2])
        if kind is not None and file.is_file():
            content = file.read_bytes()
            found[file.name] = Page(content, f"{kind}; charset=utf-8", f'"{sha256(content).hexdigest()[:32]}"')
    return found
