"""Our servers, and frameworks that our environment has: `python -m benchmarks.serving.own KIND PORT DIRECTORY`.

Each answers the same requests with the same network until it is terminated.
"""

import asyncio
import logging
import os
import secrets
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.serving.version import artifact, hosted
from benchmarks.serving.wire import MODEL, PREDICT
from contracts.status import hub_name
from service.environment import environment
from service.settings import ServingSettings


class AbsentTrainer:
    """A trainer that is never asked."""

    async def close_task(self, _task: str) -> bytes:
        """Never called."""
        raise NotImplementedError

    async def rollback(self, _version: int | None) -> bytes:
        """Never called."""
        raise NotImplementedError

    async def erase(self, _subject: str) -> bytes:
        """Never called."""
        raise NotImplementedError


def bare(port: int, directory: Path) -> None:
    """Our own predict code on uvicorn alone."""
    import torch
    import uvicorn

    from service.access import Access
    from service.hosting import Host, Parts
    from service.hub import Hub
    from service.routes import build
    from service.shortcut import Shortcut

    torch.set_num_threads(1)
    hub = Hub(MODEL)
    asyncio.run(hub.announce(1, artifact().files()))
    settings = ServingSettings()
    access = Access.of(settings)
    host = Host(hosted(directory), settings, Parts(hub, AbsentTrainer()), access)
    app = Shortcut(build({MODEL: host}, settings, access), host.fast_routes())
    uvicorn.run(app, port=port, log_level="warning", access_log=False)


@contextmanager
def deployed(port: int, directory: Path, replicas: int = 1) -> Iterator[Any]:
    """The service as `lifelong up` deploys it, without a trainer; yields the handle of its hub.

    It runs below this process, which must not have imported Ray before.
    """
    (directory / "haproxy").mkdir()
    os.environ.update(environment(directory / "haproxy"))
    import ray

    from service.app import start
    from service.hub import Hub

    _init_ray(directory)
    try:
        actor: Any = ray.remote(Hub)
        hub = actor.options(name=hub_name(MODEL), num_cpus=0).remote(MODEL)
        ray.get(hub.announce.remote(1, artifact().files()))
        start([hosted(directory)], ServingSettings(num_replicas=replicas), "127.0.0.1", port)
        yield hub
    finally:
        _leave_ray()


def ours(port: int, directory: Path) -> None:
    """The whole service with one replica."""
    with deployed(port, directory):
        _wait_until_terminated()


def two_replicas(port: int, directory: Path) -> None:
    """The whole service with two."""
    with deployed(port, directory, 2):
        _wait_until_terminated()


def documented(port: int, directory: Path) -> None:
    """Ray Serve as its documentation begins: FastAPI ingress, Python proxy, no flags.

    Its processes get the priority of all others: Ray's own default would place them behind a busy machine's work.
    """
    os.environ.update({"RAY_worker_niceness": "0"})
    from ray import serve
    from ray.serve.config import HTTPOptions

    _init_ray(directory)
    serve.start(http_options=HTTPOptions(host="127.0.0.1", port=port))
    deployment = serve.deployment(name="documented")(serve.ingress(_framework_app)(type("Documented", (), {})))
    serve.run(deployment.bind(), route_prefix="/")
    _wait_until_terminated()
    _leave_ray()


def fastapi(port: int, directory: Path) -> None:  # noqa: ARG001  # every server is started alike
    """FastAPI on uvicorn, as its documentation begins."""
    import uvicorn

    uvicorn.run(_framework_app(), port=port, log_level="warning", access_log=False)


def _framework_app() -> Any:
    import torch
    from fastapi import FastAPI
    from pydantic import BaseModel

    from networks.build import from_document
    from networks.predictor import Predictor

    class Request(BaseModel):
        instances: list[list[float]]

    torch.set_num_threads(1)
    version = artifact()
    predictor = Predictor(from_document(version.model, version.weights), version.model)
    app = FastAPI()

    @app.post(PREDICT)
    async def predict(request: Request) -> dict[str, Any]:
        labels, probabilities, _ = predictor.predict(np.asarray(request.instances, np.float32), None)
        pairs = zip(labels, probabilities.tolist(), strict=True)
        predictions = [{"prediction_id": secrets.token_hex(8), "label": one, "probability": p} for one, p in pairs]
        return {"model": MODEL, "version": 1, "predictions": predictions}

    return app


def _init_ray(directory: Path) -> None:
    import ray

    quiet: dict[str, Any] = {"include_dashboard": False, "logging_level": logging.ERROR, "log_to_driver": False}
    ray.init(address="local", namespace="lifelong", _temp_dir=str(directory / "ray"), **quiet)


def _leave_ray() -> None:
    import ray
    from ray import serve

    leave: Callable[[], None] = serve.shutdown
    leave()
    ray.shutdown()


def _wait_until_terminated() -> None:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    while not stop.wait(0.1):
        pass


SERVERS: dict[str, Callable[[int, Path], None]] = {
    "ours": ours,
    "two-replicas": two_replicas,
    "bare": bare,
    "documented": documented,
    "fastapi": fastapi,
}

if __name__ == "__main__":
    SERVERS[sys.argv[1]](int(sys.argv[2]), Path(sys.argv[3]))
