"""The pages for people: the console at `/` and the reference at `/docs`; all their files are our own."""

from importlib.resources import files

from fastapi import FastAPI
from fastapi.responses import Response

from service.errors import RequestFault

TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
HEADERS = {"content-security-policy": "default-src 'self'; frame-ancestors 'none'", "x-content-type-options": "nosniff"}
PAGES = ("console.html", "console.js", "docs.html", "docs.js", "icon.svg", "style.css")


def add_pages(app: FastAPI) -> None:
    """Adds the pages; they find everything by relative addresses, so any prefix before them works."""
    contents = {name: (files("service") / "static" / name).read_bytes() for name in PAGES}

    def page(name: str) -> Response:
        kind = TYPES[name.rpartition(".")[2]]
        return Response(contents[name], headers=HEADERS, media_type=f"{kind}; charset=utf-8")

    @app.get("/", include_in_schema=False)
    async def console() -> Response:
        return page("console.html")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return page("docs.html")

    @app.get("/static/{name}", include_in_schema=False)
    async def static(name: str) -> Response:
        if name not in contents:
            raise RequestFault("unknown_route", "there is no such file")
        return page(name)
