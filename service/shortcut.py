"""Answers the fast routes before any framework, and before Ray Serve's own per-request work.

Serve applies the middlewares that `middlewares` names around its HTTP handler, in the replica's process; the replica
puts its fast routes into `FAST_ROUTES`. What Serve would have done for them `FastRoute` does: metrics, a limit of
requests in flight, problem documents. Draining needs nothing more: a replica that is to stop leaves HAProxy's list
first, then its HTTP server finishes the requests it has.
"""

from collections.abc import Mapping

from starlette.middleware import Middleware

from service.limits import Application, Receive, Scope, Send

FAST_ROUTES: dict[str, Application] = {}
"""By path, those of the one replica in this process; empty in Serve's own processes."""


class Shortcut:
    """ASGI middleware: a POST to a fast route is answered here, everything else by the application inside."""

    def __init__(self, app: Application, routes: Mapping[str, Application]) -> None:
        self._app = app
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Routes one connection."""
        if scope["type"] == "http" and scope["method"] == "POST":
            route = self._routes.get(scope["path"])
            if route is not None:
                await route(scope, receive, send)
                return
        await self._app(scope, receive, send)


def middlewares() -> list[Middleware]:
    """What Serve wraps its HTTP handler in; it finds this function by its import path."""
    return [Middleware(Shortcut, FAST_ROUTES)]
