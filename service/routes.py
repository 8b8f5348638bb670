"""Every route but the fast ones: status, matrix, versions, task close, rollback, news, metrics, health, pages."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.responses import Response

from contracts import spans
from contracts.events import TASK_PATTERN
from service import openapi
from service.access import ANY_TOKEN, Access, Entrances
from service.asking import add_asking, json_answer
from service.decoding import check_keys, decoded
from service.erasing import add_erasing
from service.errors import PartUnavailable, RequestFault
from service.faults import handle_faults
from service.hosting import Host
from service.limits import BodyReader
from service.pages import add_pages
from service.protocol import add_protocol
from service.relaying import relayed
from service.settings import ServingSettings
from service.shelf import version_number
from service.stream import Streams
from service.telemetry import Exposition

SETTLE_SECONDS = 10.0
"""How long a replica that starts waits for its champion before it takes requests, which it then answers with 503."""
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LARGEST_VERSION = 2**63 - 1
"""What the trainer's database can hold; a larger number there would end the trainer."""


class RollbackRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a rollback; without a version, the one before the champion."""

    version: Annotated[int, msgspec.Meta(ge=1, le=LARGEST_VERSION)] | None = None


_ROLLBACK = msgspec.json.Decoder(RollbackRequest)
_SMALL_BODY = BodyReader(64 << 10)
_TASK = re.compile(TASK_PATTERN)


class Routes:
    """The handlers of one replica's framework routes, over the models it hosts."""

    def __init__(self, hosts: Mapping[str, Host], settings: ServingSettings, access: Access) -> None:
        self._hosts = hosts
        self._access = access
        self._streams = Streams(settings.max_streams)

    async def host(self, model: str) -> Host:
        """The named model.

        Raises:
            RequestFault: `unknown_model`.
        """
        host = self._hosts.get(model)
        if host is None:
            raise RequestFault("unknown_model", "no model of this name is served here")
        return host

    async def models(self) -> Response:
        """The status of every model."""
        statuses = await asyncio.gather(*(host.hub.status() for host in self._hosts.values()))
        return json_answer(msgspec.json.encode({"models": [msgspec.Raw(status) for status in statuses]}))

    async def metrics(self) -> Response:
        """All series in Prometheus's text format; a model whose hub is away is left out."""
        answers = await asyncio.gather(*(host.hub.metrics() for host in self._hosts.values()), return_exceptions=True)
        faults = [answer for answer in answers if isinstance(answer, BaseException)]
        for fault in faults:
            if not isinstance(fault, PartUnavailable) or len(faults) == len(answers):
                raise fault
        families = [answer for answer in answers if not isinstance(answer, BaseException)]
        return Response(Exposition(families).text(), media_type=METRICS_TYPE)

    async def stream(self, model: str, request: Request) -> Response:
        """Server-sent events; a client that reconnects goes on after the last one it had."""
        admit = partial(self._access.check, request.scope["headers"], ANY_TOKEN)
        return self._streams.open((await self.host(model)).hub, request.headers.get("last-event-id"), admit)


def build(hosts: Mapping[str, Host], settings: ServingSettings, access: Access) -> FastAPI:
    """The framework application; its lifespan runs the champions' followers."""
    app = FastAPI(
        title="lifelong",
        description="A model service that learns from its users and does not forget.",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan(hosts),
    )
    routes, entrances = Routes(hosts, settings, access), Entrances(access)
    _add_common(entrances.reading, routes, app)
    _add_status(entrances.reading, routes)
    _add_versions(entrances.reading, routes)
    _add_operating(entrances.operating, routes)
    add_asking(entrances, hosts, routes.host)
    add_erasing(entrances, routes.host)
    add_protocol(entrances, hosts, routes.host)
    add_pages(entrances.public)
    entrances.open(app)
    handle_faults(app)
    return app


def _add_common(router: APIRouter, routes: Routes, app: FastAPI) -> None:
    router.get("/v1/models", responses=openapi.answers(200, "all models", openapi.DOCUMENT, 503))(routes.models)
    router.get("/v1/models/{model}/stream", responses=_event_stream())(routes.stream)
    router.get("/metrics", response_class=Response)(routes.metrics)

    @router.get("/openapi.json", include_in_schema=False)
    async def interface() -> Response:
        """The OpenAPI document."""
        return json_answer(msgspec.json.encode(app.openapi()))


def _add_status(router: APIRouter, routes: Routes) -> None:
    hosted = Annotated[Host, Depends(routes.host)]
    ok = openapi.answers(200, "the document", openapi.DOCUMENT, 404, 503)

    @router.get("/v1/models/{model}", responses=ok)
    async def status(host: hosted) -> Response:
        """Champion version, positions processed and served, labels, tasks, averages, ledger."""
        return json_answer(await host.hub.status())

    @router.get("/v1/models/{model}/matrix", responses=ok)
    async def matrix(host: hosted) -> Response:
        """The accuracy matrix R, its baseline and averages."""
        return json_answer(await host.hub.matrix())


def _add_versions(router: APIRouter, routes: Routes) -> None:
    hosted = Annotated[Host, Depends(routes.host)]
    ok = openapi.answers(200, "the document", openapi.DOCUMENT, 404, 422, 503)

    @router.get("/v1/models/{model}/versions", responses=ok)
    async def versions(
        host: hosted,
        max_results: Annotated[int, Query(ge=1, le=1000)] = 100,
        page_token: Annotated[int | None, Query(ge=1)] = None,
    ) -> Response:
        """Newest first, with lineage, probe results and decision: the last 200, refused ones too, and the aliased."""
        return json_answer(await host.hub.versions(max_results, page_token))

    @router.get("/v1/models/{model}/versions/{version}", responses=ok)
    async def version(host: hosted, version: str) -> Response:
        """One of the last 200 versions, refused ones counted, or an older one that has an alias still."""
        document = await host.hub.version(version_number(version))
        if document is None:
            raise RequestFault("unknown_version", "the model has no version of this number")
        return json_answer(document)


def _add_operating(router: APIRouter, routes: Routes) -> None:
    hosted = Annotated[Host, Depends(routes.host)]
    ok = openapi.answers(200, "done", openapi.DOCUMENT, 400, 404, 408, 409, 413, 415, 422, 503)

    @router.post("/v1/models/{model}/tasks/{task}/close", responses=ok)
    async def close(host: hosted, task: str) -> Response:
        """Ends a task; answers once it is learned, consolidated and measured."""
        if not _TASK.match(task):
            raise RequestFault("unknown_task", "the model has no task of this name")
        return relayed(await host.trainer.close_task(task))

    @router.post(
        "/v1/models/{model}/rollback", openapi_extra=openapi.body(openapi.ROLLBACK, is_required=False), responses=ok
    )
    async def rollback(host: hosted, request: Request) -> Response:
        """Serves an earlier version again and goes on learning from there."""
        return relayed(await host.trainer.rollback(await _wanted_version(request)))


async def _wanted_version(request: Request) -> int | None:
    body = await _SMALL_BODY(request.scope, request.receive)
    if not body:
        return None
    version = decoded(_ROLLBACK, body).version
    check_keys(body, RollbackRequest.__struct_fields__)
    return version


def _event_stream() -> dict[int | str, dict[str, Any]]:
    return {200: {"description": "server-sent events", "content": {"text/event-stream": {}}}}


def _lifespan(hosts: Mapping[str, Host]) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(host.champion.follow()) for host in hosts.values()]
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_SECONDS):
                await asyncio.gather(*(host.champion.settled.wait() for host in hosts.values()))
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for host in hosts.values():
            await host.champion.leave()
            host.close()
        await asyncio.to_thread(spans.flush)

    return lifespan
