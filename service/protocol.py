"""The routes of the Open Inference Protocol, version 2: health, metadata, readiness, the repository's index, infer."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from importlib.metadata import version as installed
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends
from fastapi.responses import Response

from contracts.errors import LifelongError
from contracts.inputs import ImageInput, InputSpec, StoryInput, TabularInput, TensorInput, TextInput
from service import openapi
from service.access import Entrances
from service.asking import Delegated, json_answer
from service.errors import RequestFault
from service.hosting import Host
from service.shelf import version_number
from service.tensors import OUTPUTS

EXTENSIONS = ["binary_tensor_data", "model_repository"]
PLATFORM = "pytorch"


def add_protocol(entrances: Entrances, hosts: Mapping[str, Host], find: Callable[[str], Awaitable[Host]]) -> None:
    """Adds the routes; `find` gives the host that a path names, or raises `unknown_model`."""
    _add_health(entrances.public, hosts)
    _add_server(entrances.reading, hosts)
    _add_models(entrances.reading, find)
    _add_infer(entrances.predicting, find)


def _add_health(router: APIRouter, hosts: Mapping[str, Host]) -> None:
    @router.get("/v2/health/live", responses=openapi.answers(200, "live", openapi.DOCUMENT))
    async def live() -> Response:
        """Live as long as it answers."""
        return json_answer(b'{"live":true}')

    @router.get("/v2/health/ready", responses=openapi.answers(200, "ready", openapi.DOCUMENT, 503))
    async def ready() -> Response:
        """Ready once every model's champion is loaded, or known not to exist yet."""
        waiting = [name for name, host in hosts.items() if not host.champion.settled.is_set()]
        if waiting:
            raise RequestFault("starting", f"{len(waiting)} models do not know their champion yet")
        return json_answer(b'{"live":true,"ready":true}')


def _add_server(router: APIRouter, hosts: Mapping[str, Host]) -> None:
    @router.get("/v2", responses=openapi.answers(200, "the server", openapi.DOCUMENT))
    async def server() -> Response:
        """Name, version and protocol extensions."""
        document = {"name": "lifelong", "version": installed("lifelong"), "extensions": EXTENSIONS}
        return json_answer(msgspec.json.encode(document))

    @router.post("/v2/repository/index", responses=openapi.answers(200, "the index", openapi.INDEX, 503))
    async def index() -> Response:
        """Every version that can be inferred with, of every model."""
        entries = await asyncio.gather(*(_entries(host) for host in hosts.values()))
        return json_answer(msgspec.json.encode([entry for of_model in entries for entry in of_model]))


def _add_models(router: APIRouter, find: Callable[[str], Awaitable[Host]]) -> None:
    hosted = Annotated[Host, Depends(find)]
    ok = openapi.answers(200, "the document", openapi.DOCUMENT, 404, 409, 503)

    @router.get("/v2/models/{model}", responses=ok)
    async def metadata(host: hosted) -> Response:
        """Versions, input and output tensors."""
        return json_answer(msgspec.json.encode(_metadata(host, await _versions(host))))

    @router.get("/v2/models/{model}/ready", responses=ok)
    async def ready(host: hosted) -> Response:
        """Ready once a version is served."""
        host.champion.require()
        return json_answer(msgspec.json.encode({"name": host.name, "ready": True}))

    @router.get("/v2/models/{model}/versions/{version}", responses=ok)
    async def metadata_of(host: hosted, version: str) -> Response:
        """The same of one registered version."""
        return json_answer(msgspec.json.encode(_metadata(host, [await _known(host, version)])))

    @router.get("/v2/models/{model}/versions/{version}/ready", responses=ok)
    async def ready_of(host: hosted, version: str) -> Response:
        """Whether a version can be inferred with; one that is not served is loaded when it is asked."""
        await _known(host, version)
        return json_answer(msgspec.json.encode({"name": host.name, "ready": True}))


def _add_infer(router: APIRouter, find: Callable[[str], Awaitable[Host]]) -> None:
    hosted = Annotated[Host, Depends(find)]
    inferred: dict[str, Any] = {
        "openapi_extra": openapi.body(openapi.INFER),
        "responses": openapi.answers(200, "tensors", openapi.INFERRED, *openapi.REFUSALS),
    }

    @router.post("/v2/models/{model}/infer", **inferred)
    async def infer(host: hosted) -> Response:
        """Labels, probabilities, prediction ids and scores as tensors, by the champion."""
        return Delegated(host.infer)

    @router.post("/v2/models/{model}/versions/{version}/infer", **inferred)
    async def infer_by(host: hosted, version: str) -> Response:  # noqa: ARG001  the fast route reads it
        """The same by any registered version."""
        return Delegated(host.infer)


async def _versions(host: Host) -> list[int]:
    """The registered versions, unless the registry is away, and the champion, which may not be registered yet."""
    serving, registered = host.champion.serving, list[int]()
    with suppress(LifelongError):
        registered = await host.hub.registered()
    return sorted({*registered, *([serving.version] if serving else [])})


async def _known(host: Host, version: str) -> int:
    number = version_number(version)
    if number not in await _versions(host):
        raise RequestFault("unknown_version", "the model has no version of this number")
    return number


async def _entries(host: Host) -> list[dict[str, str]]:
    versions = await _versions(host)
    if not versions:
        return [{"name": host.name, "version": "", "state": "UNAVAILABLE", "reason": "no version was promoted yet"}]
    return [{"name": host.name, "version": str(version), "state": "READY", "reason": ""} for version in versions]


def _metadata(host: Host, versions: list[int]) -> dict[str, Any]:
    shapes = {"scores": [-1, -1]}
    return {
        "name": host.name,
        "versions": [str(version) for version in versions],
        "platform": PLATFORM,
        "inputs": _inputs(host.input),
        "outputs": [
            {"name": name, "datatype": kind, "shape": shapes.get(name, [-1])} for name, kind in OUTPUTS.items()
        ],
    }


def _inputs(spec: InputSpec) -> list[dict[str, Any]]:
    match spec:
        case TensorInput():
            return [{"name": "input", "datatype": "FP32", "shape": [-1, *spec.shape]}]
        case ImageInput():
            return [{"name": "input", "datatype": "UINT8", "shape": [-1, *spec.shape]}]
        case TextInput() | StoryInput():
            return [{"name": "input", "datatype": "BYTES", "shape": [-1]}]
        case TabularInput():
            kinds = {name: "BYTES" if isinstance(kind, list) else "FP64" for name, kind in spec.columns.items()}
            return [{"name": name, "datatype": kind, "shape": [-1]} for name, kind in kinds.items()]
