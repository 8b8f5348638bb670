"""Who may call which route: every route states what it needs, and one check holds all of them to it."""

import re
from collections.abc import Iterable

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.openapi.models import HTTPBearer as BearerModel
from fastapi.security.base import SecurityBase

from service import openapi
from service.errors import RequestFault
from service.settings import ServingSettings
from service.tokens import Role, Tokens

Need = frozenset[Role] | None
ANYONE: Need = None
"""Health, and the pages' own files, which hold nothing of a model."""
ANY_TOKEN: Need = frozenset(Role)
"""What tells how a model does: status, matrix, versions, news, metrics."""
BEARER = b"bearer "
FETCH_SITE, FOREIGN = b"sec-fetch-site", (b"cross-site", b"same-site")
"""How a browser says that another site's page makes a request: it could make one to this very machine."""
HERE = re.compile(rb"(localhost|127(\.\d+){3}|\[::1\])(:\d+)?", re.IGNORECASE)
"""This machine, as pages and clients on it name it; another name may be made to mean it, by whoever owns that name."""
SCHEMES = (b"http://", b"https://")
CHALLENGE = (b"www-authenticate", b"Bearer")


def needs(role: Role) -> Need:
    """What lets tokens of this role in; `admin` may do everything."""
    return frozenset({role, Role.ADMIN})


class Access:
    """Lets requests in by the roles of their token; without tokens, which only a loopback address allows, all."""

    def __init__(self, tokens: Tokens | None) -> None:
        self._tokens = tokens

    @classmethod
    def of(cls, settings: ServingSettings) -> "Access":
        """As configured.

        Raises:
            InvalidConfiguration: `bad_token_file`.
        """
        return cls(None if settings.tokens is None else Tokens(settings.tokens))

    @property
    def is_open(self) -> bool:
        """Whether nobody needs a token."""
        return self._tokens is None

    def check(self, headers: Iterable[tuple[bytes, bytes]], need: Need) -> None:
        """Returns if the request may go on.

        Raises:
            RequestFault: `unauthenticated`, no token or an unknown one; `forbidden`, one without the role;
                `cross_site`; `unknown_host`.
        """
        if need is None:
            return
        if self._tokens is None:
            _check_local(headers, need)
            return
        given = [value for name, value in headers if name == b"authorization"]
        if len(given) != 1 or given[0][: len(BEARER)].lower() != BEARER:
            raise RequestFault("unauthenticated", "the request must have one bearer token", [CHALLENGE])
        roles = self._tokens.roles(given[0][len(BEARER) :].strip())
        if roles is None:
            raise RequestFault("unauthenticated", "the bearer token is not known", [CHALLENGE])
        if not roles & need:
            named = "any role" if need == ANY_TOKEN else " or ".join(sorted(need))
            raise RequestFault("forbidden", f"the token must have the role {named}", [CHALLENGE])

    def refusals(self, need: Need) -> tuple[int, ...]:
        """The statuses that `check` may refuse with."""
        if need is None:
            return ()
        if not self.is_open:
            return (401, 403)
        return (421,) if need == ANY_TOKEN else (403, 421)

    def needing(self, need: Need) -> "Needing":
        """The dependency that a framework route states its need by."""
        return Needing(self, need) if self.is_open or need is None else NeedingToken(self, need)


def _check_local(headers: Iterable[tuple[bytes, bytes]], need: Need) -> None:
    """Refuses what a page that does not come from this machine makes a browser ask a service without tokens."""
    for name, value in headers:
        if name == b"host":
            if HERE.fullmatch(value) is None:
                raise RequestFault(
                    "unknown_host", "without tokens, a service must be named localhost or by a loopback address"
                )
        elif need != ANY_TOKEN and _is_foreign(name, value):
            raise RequestFault("cross_site", "without tokens, pages of other sites may ask for nothing")


def _is_foreign(name: bytes, value: bytes) -> bool:
    """Whether a header says that another site's page makes the request."""
    if name == b"origin":
        scheme, mark, origin = value.partition(b"://")
        return scheme + mark not in SCHEMES or HERE.fullmatch(origin) is None
    return name == FETCH_SITE and value in FOREIGN


class Needing:
    """Checks a framework route's requests before anything else looks at them."""

    def __init__(self, access: Access, need: Need) -> None:
        self._access = access
        self._need = need

    async def __call__(self, request: Request) -> None:
        """Raises as `Access.check`."""
        self._access.check(request.scope["headers"], self._need)


class NeedingToken(Needing, SecurityBase):
    """The same where a token is needed, which the OpenAPI document then says."""

    model = BearerModel()
    scheme_name = "bearer"


class Entrances:
    """One router for each need, so that there is no route that does not state its own."""

    def __init__(self, access: Access) -> None:
        self.public = _router(access, ANYONE)
        self.reading = _router(access, ANY_TOKEN)
        self.predicting = _router(access, needs(Role.PREDICT))
        self.feeding = _router(access, needs(Role.FEEDBACK))
        self.operating = _router(access, needs(Role.OPERATE))
        self.administering = _router(access, needs(Role.ADMIN))

    def open(self, app: FastAPI) -> None:
        """Adds the routes to an application."""
        asked = (self.predicting, self.feeding, self.operating, self.administering)
        for router in (self.public, self.reading, *asked):
            app.include_router(router)


def _router(access: Access, need: Need) -> APIRouter:
    refusals = openapi.problems(*access.refusals(need))
    return APIRouter(dependencies=[Depends(access.needing(need))], responses=refusals)
