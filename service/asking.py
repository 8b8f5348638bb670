"""The routes that answer instances and take feedback, as the OpenAPI document describes them.

Requests for a model that is served seldom get here: `service.shortcut` hands them to the same fast routes before.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.responses import Response

from contracts.inputs import InputSpec
from service import openapi, schemas
from service.access import Entrances
from service.hosting import Host
from service.limits import Application, Receive, Scope, Send


class Delegated(Response):
    """An answer that a fast route gives in the framework's stead."""

    def __init__(self, route: Application) -> None:
        super().__init__()
        self._route = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hands the request on."""
        await self._route(scope, receive, send)


def json_answer(body: bytes) -> Response:
    """A document that is encoded already."""
    return Response(body, media_type="application/json")


def add_asking(entrances: Entrances, hosts: Mapping[str, Host], find: Callable[[str], Awaitable[Host]]) -> None:
    """Adds the routes; `find` gives the host that a path names, or raises `unknown_model`."""
    specs = [host.input for host in hosts.values()]
    hosted = Annotated[Host, Depends(find)]

    @entrances.predicting.post(
        "/v1/models/{model}/predict",
        openapi_extra=schemas.predict(specs),
        responses=_predicted(),
    )
    async def predict(host: hosted) -> Response:
        """Labels with their probabilities, the ids to send feedback under, and the version that answered."""
        return Delegated(host.predict)

    @entrances.predicting.post(
        "/v1/models/{model}/explain",
        openapi_extra=schemas.explain(specs),
        responses=openapi.answers(200, "a number for each of the instance's", openapi.EXPLANATION, *openapi.REFUSALS),
    )
    async def explain(host: hosted) -> Response:
        """What each part of an instance adds to the logit of a label, by default the predicted one."""
        return Delegated(host.explain)

    _add_feedback(entrances.feeding, specs, hosted)


def _add_feedback(router: APIRouter, specs: Sequence[InputSpec], hosted: Any) -> None:
    @router.post(
        "/v1/models/{model}/feedback",
        status_code=202,
        openapi_extra=schemas.feedback(specs),
        responses=openapi.answers(202, "accepted events are on disk", openapi.RECEIPT, *openapi.REFUSALS),
    )
    async def feedback(host: hosted) -> Response:
        """Labelled events, each with its own instance or the id of a prediction."""
        return Delegated(host.feedback)


def _predicted() -> dict[int | str, dict[str, Any]]:
    """JSON, or for lines as many lines."""
    described = openapi.answers(200, "one prediction an instance", openapi.PREDICTIONS, *openapi.REFUSALS)
    described[200]["content"]["application/x-ndjson"] = {}
    return described
