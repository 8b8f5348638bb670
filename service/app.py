"""The Ray Serve application: one ingress deployment that hosts every model. Only this and `service.remote` know Ray."""

import logging
import time
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import httpx
from ray import serve
from ray.serve.config import HTTPOptions
from ray.serve.schema import LoggingConfig

from service import logs, shortcut
from service.access import Access
from service.errors import PartUnavailable
from service.hosting import Host, Parts
from service.remote import RemoteHub, RemoteTrainer
from service.routes import build
from service.settings import HostedModel, ServingSettings
from service.shortcut import Shortcut

APPLICATION = "lifelong"
STOP_SECONDS = 5.0
START_SECONDS = 60.0
HEALTH_SECONDS = 1.0
"""How often Serve asks each replica whether it lives: so long a dead one goes unnoticed."""
HEALTH_PATIENCE_SECONDS = 10.0
"""A replica that does not answer Serve for so long, three times in a row, is replaced; a dead one is at once."""
POLL_SECONDS = 0.05


def start(models: Sequence[HostedModel], settings: ServingSettings, host: str, port: int) -> None:
    """Deploys the application in the connected cluster; returns once it answers at `host`.

    The hub of every model must exist. Raises:
        PartUnavailable: `not_ready`, when nothing answers after a minute.
    """
    if logs.are_json():
        _hand_on(logging.getLogger("ray.serve"))
    serve.start(
        http_options=HTTPOptions(host=host, port=port),
        logging_config=LoggingConfig(log_level=logs.LEVEL, enable_access_log=False, encoding=logs.encoding()),
    )
    serve.run(application(models, settings), name=APPLICATION, route_prefix="/")
    address = "127.0.0.1" if host == "0.0.0.0" else host
    _wait_until_live(f"http://{address}:{port}/v2/health/live")


def application(models: Sequence[HostedModel], settings: ServingSettings) -> serve.Application:
    """What Serve deploys; the hub of every model must exist by the time that requests come."""
    form: dict[str, Any] = {"logging_config": {"encoding": "JSON"}} if logs.are_json() else {}
    deployment = serve.deployment(
        name="replica",
        num_replicas=settings.num_replicas,
        max_ongoing_requests=settings.max_in_flight + settings.max_streams,
        ray_actor_options={"num_cpus": settings.cpus_per_replica},
        graceful_shutdown_timeout_s=STOP_SECONDS,
        health_check_period_s=HEALTH_SECONDS,
        health_check_timeout_s=HEALTH_PATIENCE_SECONDS,
        **form,
    )(serve.ingress()(Replica))
    return deployment.bind(list(models), settings)


class Replica:
    """The ingress deployment: builds the replica's application in its own process."""

    def __init__(self, models: Sequence[HostedModel], settings: ServingSettings) -> None:
        import torch

        # Replicas and trainer share the machine's cores, and one row is too little work to divide.
        torch.set_num_threads(1)
        access = Access.of(settings)
        parts = {model.name: Parts(RemoteHub(model.name), RemoteTrainer(model.name)) for model in models}
        hosts = [Host(model, settings, parts[model.name], access) for model in models]
        self._app = build({host.name: host for host in hosts}, settings, access)
        for host in hosts:
            shortcut.FAST_ROUTES.update(host.fast_routes())

    def __serve_build_asgi_app__(self) -> Shortcut:
        """Where Serve gets the application from."""
        return Shortcut(self._app, shortcut.FAST_ROUTES)


def _hand_on(logger: logging.Logger) -> None:
    """Leaves the lines to the handlers of the logger above: Serve's own, in this process, writes text only."""
    logger.handlers.clear()
    logger.propagate = True


def _wait_until_live(url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            if httpx.get(url, trust_env=False, timeout=5.0).status_code == HTTPStatus.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(POLL_SECONDS)
    raise PartUnavailable("not_ready", f"the service did not answer within {START_SECONDS:.0f} s")
