"""The Ray Serve application: one ingress deployment that hosts every model. Nothing else in this package knows Ray."""

import asyncio
import time
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, cast

import httpx
import ray
from prometheus_client.core import Metric
from ray import serve
from ray.actor import ActorHandle
from ray.exceptions import RayActorError
from ray.serve.config import HTTPOptions
from ray.serve.schema import LoggingConfig

from contracts.status import NAMESPACE, hub_name, trainer_name
from service import shortcut
from service.counts import Increments
from service.environment import Ports
from service.errors import PartUnavailable
from service.hosting import Host, Parts
from service.hub import Update
from service.routes import build
from service.settings import HostedModel, ServingSettings
from service.shortcut import Shortcut

APPLICATION = "lifelong"
HUB_SECONDS = 5.0
TRAINER_SECONDS = 600.0
"""Closing a task waits for all of its feedback to be learned."""
STOP_SECONDS = 5.0
START_SECONDS = 60.0
POLL_SECONDS = 0.05


def start(models: Sequence[HostedModel], settings: ServingSettings, host: str, ports: Ports) -> None:
    """Deploys the application in the connected cluster; returns once it answers at `host`.

    The hub of every model must exist. Raises:
        PartUnavailable: `not_ready`, when nothing answers after a minute.
    """
    serve.start(
        http_options=HTTPOptions(host=host, port=ports.http),
        logging_config=LoggingConfig(log_level="WARNING", enable_access_log=False),
    )
    deployment = serve.deployment(
        name="replica",
        num_replicas=settings.num_replicas,
        max_ongoing_requests=settings.max_in_flight + settings.max_streams,
        ray_actor_options={"num_cpus": settings.cpus_per_replica},
        graceful_shutdown_timeout_s=STOP_SECONDS,
    )(serve.ingress()(Replica))
    serve.run(deployment.bind(list(models), settings), name=APPLICATION, route_prefix="/")
    address = "127.0.0.1" if host == "0.0.0.0" else host
    _wait_until_live(f"http://{address}:{ports.http}/v2/health/live")


class Replica:
    """The ingress deployment: builds the replica's application in its own process."""

    def __init__(self, models: Sequence[HostedModel], settings: ServingSettings) -> None:
        import torch

        # Replicas and trainer share the machine's cores, and one row is too little work to divide.
        torch.set_num_threads(1)
        hosts = [Host(model, settings, Parts(RemoteHub(model.name), RemoteTrainer(model.name))) for model in models]
        self._app = build({host.name: host for host in hosts}, settings)
        for host in hosts:
            shortcut.FAST_ROUTES.update(host.fast_routes())

    def __serve_build_asgi_app__(self) -> Shortcut:
        """Where Serve gets the application from."""
        return Shortcut(self._app, shortcut.FAST_ROUTES)


class RemoteActor:
    """Calls a named actor, found when it is first needed and again after it died."""

    def __init__(self, name: str, part: str, seconds: float) -> None:
        self._name = name
        self._part = part
        self._seconds = seconds
        self._handle: ActorHandle[Any] | None = None

    async def call(self, method: str, *arguments: Any) -> Any:
        """The method's result.

        Raises:
            PartUnavailable: `hub_unavailable` or `trainer_unavailable`: there is no such actor, or no answer in time.
        """
        try:
            handle = self._handle = self._handle or await asyncio.to_thread(_find, self._name)
            return await asyncio.wait_for(getattr(handle, method).remote(*arguments), self._seconds)
        except (RayActorError, LookupError, TimeoutError) as error:
            self._handle = None
            detail = f"the {self._part} does not answer now; it is restarted by itself"
            raise PartUnavailable(f"{self._part}_unavailable", detail) from error


class RemoteHub:
    """An `AskedHub` in another process; see `Hub` for what each call does."""

    def __init__(self, model: str) -> None:
        self._actor = RemoteActor(hub_name(model), "hub", HUB_SECONDS)

    async def follow(self, replica: str, serving: int, known: int) -> Update:
        """See `Hub.follow`."""
        return cast("Update", await self._actor.call("follow", replica, serving, known))

    async def leave(self, replica: str) -> None:
        """See `Hub.leave`."""
        await self._actor.call("leave", replica)

    async def refuse(self, replica: str, generation: int, error: str, detail: str) -> None:
        """See `Hub.refuse`."""
        await self._actor.call("refuse", replica, generation, error, detail)

    async def count(self, increments: Increments) -> None:
        """See `Hub.count`."""
        await self._actor.call("count", increments)

    async def status(self) -> bytes:
        """See `Hub.status`."""
        return cast("bytes", await self._actor.call("status"))

    async def matrix(self) -> bytes:
        """See `Hub.matrix`."""
        return cast("bytes", await self._actor.call("matrix"))

    async def versions(self, max_results: int, before: int | None) -> bytes:
        """See `Hub.versions`."""
        return cast("bytes", await self._actor.call("versions", max_results, before))

    async def version(self, version: int) -> bytes | None:
        """See `Hub.version`."""
        return cast("bytes | None", await self._actor.call("version", version))

    async def news(self, since: int | None) -> tuple[int, list[bytes]]:
        """See `Hub.news`."""
        return cast("tuple[int, list[bytes]]", await self._actor.call("news", since))

    async def metrics(self) -> list[Metric]:
        """See `Hub.metrics`."""
        return cast("list[Metric]", await self._actor.call("metrics"))


class RemoteTrainer:
    """An `AskedTrainer` in another process."""

    def __init__(self, model: str) -> None:
        self._actor = RemoteActor(trainer_name(model), "trainer", TRAINER_SECONDS)

    async def close_task(self, task: str) -> bytes:
        """See `AskedTrainer.close_task`."""
        return cast("bytes", await self._actor.call("close_task", task))

    async def rollback(self, version: int | None) -> bytes:
        """See `AskedTrainer.rollback`."""
        return cast("bytes", await self._actor.call("rollback", version))


def _find(name: str) -> ActorHandle[Any]:
    try:
        return ray.get_actor(name, namespace=NAMESPACE)
    except ValueError as error:
        raise LookupError(name) from error


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
