"""How a fact becomes an HTTP answer: problem documents (RFC 9457), and the one table from codes to statuses."""

from collections.abc import AsyncIterator, Sequence
from http import HTTPStatus
from typing import NamedTuple

import msgspec

from contracts.answers import Rejection
from contracts.errors import LifelongError

PROBLEM_TYPE = b"application/problem+json"
RETRY_AFTER_SECONDS = 1
STATUSES = {
    "malformed_json": 400,
    "malformed_csv": 400,
    "bad_header": 400,
    "unauthenticated": 401,
    "forbidden": 403,
    "cross_site": 403,
    "unknown_route": 404,
    "unknown_model": 404,
    "unknown_task": 404,
    "unknown_version": 404,
    "unknown_erasure": 404,
    "method_not_allowed": 405,
    "body_too_slow": 408,
    "untrained": 409,
    "id_conflict": 409,
    "version_not_kept": 409,
    "no_previous_version": 409,
    "task_already_closed": 409,
    "body_too_large": 413,
    "too_many_instances": 413,
    "too_many_events": 413,
    "unsupported_media_type": 415,
    "unsupported_encoding": 415,
    "unknown_host": 421,
    "overloaded": 429,
    "internal_error": 500,
    "starting": 503,
    "replica_lost": 503,
    "hub_unavailable": 503,
    "registry_unavailable": 503,
    "trainer_unavailable": 503,
    "trainer_busy": 503,
    "log_unavailable": 503,
    "state_unwritable": 503,
    "too_many_streams": 503,
}
"""Codes that are not listed say that the request's content is at fault: 422."""
SERVICE_FAULTS = tuple(
    code for code, status in STATUSES.items() if status >= 500 or status == HTTPStatus.TOO_MANY_REQUESTS
)
"""The service is to blame, also where a replica has too much to do; all other codes say what a client could change."""


class RequestFault(LifelongError):
    """A request that is not answered, and why; `headers` go with the refusal."""

    def __init__(self, code: str, detail: str, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        super().__init__(code, detail)
        self.headers = tuple(headers)


class PartUnavailable(LifelongError):
    """Another part of the service, the hub or the trainer, does not answer now; trying again soon may help."""


class ClientGone(Exception):
    """The client left before its request was whole; there is nobody to answer."""


class Problem(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A problem document.

    `error` is the stable code; `rejected` are the first faulty events of a feedback request, `more` counts the rest.
    """

    title: str
    status: int
    error: str
    detail: str
    rejected: list[Rejection] = []
    more: int = 0


class Answer(NamedTuple):
    """A whole HTTP answer; `outcome` is the word that metrics count it under, `version` the one that it came from."""

    status: int
    body: bytes
    content_type: bytes = b"application/json"
    headers: tuple[tuple[bytes, bytes], ...] = ()
    outcome: str = "ok"
    version: int | None = None


class Streamed(NamedTuple):
    """An answer with status 200 that is sent part by part, as its parts are made."""

    parts: AsyncIterator[bytes]
    content_type: bytes


def status_of(code: str) -> int:
    """The HTTP status that a code is answered with."""
    return STATUSES.get(code, HTTPStatus.UNPROCESSABLE_ENTITY)


def problem(error: LifelongError, rejected: Sequence[Rejection] = (), more: int = 0) -> Answer:
    """The problem document that says why a request was not answered; it never repeats any of the request."""
    status = status_of(error.code)
    document = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        error=error.code,
        detail=error.detail,
        rejected=list(rejected),
        more=more,
    )
    headers = tuple(getattr(error, "headers", ()))
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        headers = (*headers, (b"retry-after", b"%d" % RETRY_AFTER_SECONDS))
    return Answer(status, msgspec.json.encode(document), PROBLEM_TYPE, headers, error.code)


FAILED = LifelongError("internal_error", "the service failed on this request; its log says where")


def internal_error() -> Answer:
    """The answer to a request that met a fault of ours; the log has the rest."""
    return problem(FAILED)
