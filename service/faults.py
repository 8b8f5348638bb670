"""What the framework answers when a route raises: always a problem document, never its own forms."""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from contracts.errors import LifelongError
from service.errors import Answer, ClientGone, RequestFault, internal_error, problem

CODES = {404: "unknown_route", 405: "method_not_allowed"}
DETAILS = {404: "there is no such path", 405: "the path does not answer this method"}


def handle_faults(app: FastAPI) -> None:
    """Registers the handlers; an error that nobody foresaw is logged by the server and answered without its text."""
    app.exception_handler(LifelongError)(_named)
    app.exception_handler(HTTPException)(_routing)
    app.exception_handler(RequestValidationError)(_parameters)
    app.exception_handler(ClientGone)(_nobody)
    app.exception_handler(Exception)(_unforeseen)


async def _named(_: Request, error: LifelongError) -> Response:
    return _response(problem(error))


async def _routing(_: Request, error: HTTPException) -> Response:
    code = CODES.get(error.status_code, "malformed_json")
    detail = DETAILS.get(error.status_code, "the request cannot be read")
    headers = [(name.lower().encode(), value.encode()) for name, value in (error.headers or {}).items()]
    return _response(problem(RequestFault(code, detail, headers)))


async def _parameters(_: Request, error: RequestValidationError) -> Response:
    places = sorted({".".join(str(part) for part in fault["loc"][:2]) for fault in error.errors()})
    return _response(problem(RequestFault("invalid_request", f"not a valid value: {', '.join(places)}")))


async def _nobody(_: Request, __: ClientGone) -> Response:
    return Response(status_code=400)  # which nobody reads


async def _unforeseen(_: Request, __: Exception) -> Response:
    return _response(internal_error())


def _response(answer: Answer) -> Response:
    headers = {name.decode(): value.decode() for name, value in answer.headers}
    return Response(answer.body, answer.status, headers, answer.content_type.decode())
