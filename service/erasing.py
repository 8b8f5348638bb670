"""The routes that forget a subject and show what became of that."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any
from urllib.parse import unquote_to_bytes

import msgspec
from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import Response

from contracts.erasures import ErasureRequest
from contracts.names import PLAIN_NAME
from service import openapi
from service.access import Entrances
from service.asking import json_answer
from service.errors import RequestFault
from service.hosting import Host
from service.limits import Scope
from service.relaying import relayed

Subject = Annotated[str, Path(pattern=f"^{PLAIN_NAME}$", description="as events name it, percent-encoded")]


def add_erasing(entrances: Entrances, find: Callable[[str], Awaitable[Host]]) -> None:
    """Adds the routes; `find` gives the host that a path names, or raises `unknown_model`."""
    hosted = Annotated[Host, Depends(find)]
    _add_order(entrances.administering, hosted)
    _add_certificates(entrances.operating, hosted)


def _add_order(router: APIRouter, hosted: Any) -> None:
    @router.delete(
        "/v1/models/{model}/subjects/{subject:path}",
        status_code=202,
        responses=openapi.answers(202, "the request is on disk", openapi.DOCUMENT, 404, 422, 503),
    )
    async def forget(host: hosted, subject: Subject, request: Request) -> Response:
        """Forgets a subject: its events so far, and what was learned from them. Names the erasure that tells of it."""
        _check_whole(request.scope, subject)
        answer = relayed(await host.trainer.erase(subject))
        erasure = msgspec.json.decode(answer.body, type=ErasureRequest).erasure
        answer.status_code = 202
        answer.headers["location"] = f"/v1/models/{host.name}/erasures/{erasure}"
        return answer


def _check_whole(scope: Scope, subject: str) -> None:
    """What is not UTF-8, or ends with a line break, would have become another name, and another's data would go."""
    try:
        path = unquote_to_bytes(scope["raw_path"]).decode() if scope.get("raw_path") else scope["path"]
    except UnicodeDecodeError:
        raise RequestFault("invalid_request", "the path must be percent-encoded UTF-8") from None
    if not path.endswith(f"/subjects/{subject}"):
        raise RequestFault("invalid_request", "not a valid value: path.subject")


def _add_certificates(router: APIRouter, hosted: Any) -> None:
    ok = openapi.answers(200, "the document", openapi.DOCUMENT, 404, 503)

    @router.get("/v1/models/{model}/erasures", responses=ok)
    async def erasures(host: hosted) -> Response:
        """The last thousand erasures, newest first."""
        return json_answer(await host.hub.erasures())

    @router.get("/v1/models/{model}/erasures/{erasure}", responses=ok)
    async def erasure(host: hosted, erasure: str) -> Response:
        """One erasure; once it is `done`, its certificate."""
        document = await host.hub.erasure(erasure)
        if document is None:
            raise RequestFault("unknown_erasure", "the model has no erasure of this id")
        return json_answer(document)
