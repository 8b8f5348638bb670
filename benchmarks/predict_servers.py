"""The servers that `benchmarks/predict.py` compares; each answers the same requests with the same network.

Run as `python benchmarks/predict_servers.py KIND PORT DIRECTORY`; it serves until it is terminated.
"""

import asyncio
import logging
import os
import secrets
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from contracts.inputs import parse_input
from contracts.labels import Column
from contracts.status import hub_name
from contracts.versions import Artifact, Decision, EventRange, Lineage, ModelDocument, ProbeReport, pin
from networks.settings import MlpSpec, parse_network
from service.environment import environment
from service.settings import HostedModel, ServingSettings

MODEL = "mnist"
PATH = f"/v1/models/{MODEL}/predict"
INPUT = {"kind": "tensor", "shape": [784]}


def artifact() -> Artifact:
    """A version with the perceptron 784-400-400-10, untrained: its speed is that of a trained one."""
    from networks.build import build

    columns = [Column(str(digit)) for digit in range(10)]
    network = {"kind": "mlp", "hidden": [400, 400]}
    model = ModelDocument(model=MODEL, version=1, input=INPUT, labels={}, columns=columns, network=network, seed=0)
    probes = ProbeReport(tasks=[], rows=[], accuracy=[], decision=Decision(verdict="promote", reasons=[]))
    weights = build(parse_network(network), parse_input(INPUT), columns, 0).weights()
    lineage = Lineage(
        version=1,
        parent=None,
        created_at="",
        round=0,
        events=EventRange(first_sequence=1, last_sequence=1, count=0, sha256=""),
        processed_through=0,
        strategies=[],
        seed=0,
        threads=1,
        code_version="",
        sha256=pin(weights, model, probes),
    )
    return Artifact(weights, model, lineage, probes)


def bare(port: int, directory: Path) -> None:
    """Our own predict code on uvicorn alone."""
    import torch
    import uvicorn

    from service.hosting import Host, Parts
    from service.hub import Hub
    from service.routes import build
    from service.shortcut import Shortcut

    torch.set_num_threads(1)
    hub = Hub(MODEL)
    asyncio.run(hub.announce(1, artifact().files()))
    settings = ServingSettings()
    host = Host(hosted(directory), settings, Parts(hub, AbsentTrainer()))
    app = Shortcut(build({MODEL: host}, settings), host.fast_routes())
    uvicorn.run(app, port=port, log_level="warning", access_log=False)


class AbsentTrainer:
    """A trainer that is never asked."""

    async def close_task(self, _task: str) -> bytes:
        """Never called."""
        raise NotImplementedError

    async def rollback(self, _version: int | None) -> bytes:
        """Never called."""
        raise NotImplementedError


def ours(port: int, directory: Path) -> None:
    """The service as `lifelong up` deploys it, one replica."""
    (directory / "haproxy").mkdir()
    os.environ.update(environment(directory / "haproxy"))
    import ray

    from service.app import start
    from service.hub import Hub

    _init_ray(directory)
    actor: Any = ray.remote(Hub)
    hub = actor.options(name=hub_name(MODEL), num_cpus=0).remote(MODEL)
    ray.get(hub.announce.remote(1, artifact().files()))
    start([hosted(directory)], ServingSettings(), "127.0.0.1", port)
    _serve_until_terminated()


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
    _serve_until_terminated()


def fastapi(port: int, directory: Path) -> None:  # noqa: ARG001  # every server is started alike
    """FastAPI on uvicorn, as its documentation begins."""
    import uvicorn

    uvicorn.run(_framework_app(), port=port, log_level="warning", access_log=False)


def hosted(directory: Path) -> HostedModel:
    """The model as a replica hosts it."""
    network = MlpSpec(hidden=[400, 400])
    return HostedModel(name=MODEL, input=parse_input(INPUT), network=network, directory=directory / MODEL)


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

    @app.post(PATH)
    async def predict(request: Request) -> dict[str, Any]:
        labels, probabilities, _ = predictor.predict(np.asarray(request.instances, np.float32), None)
        pairs = zip(labels, probabilities.tolist(), strict=True)
        predictions = [{"prediction_id": secrets.token_hex(8), "label": one, "probability": p} for one, p in pairs]
        return {"model": MODEL, "version": 1, "predictions": predictions}

    return app


def _init_ray(directory: Path) -> None:
    import ray

    quiet: dict[str, Any] = {"include_dashboard": False, "logging_level": logging.ERROR}
    ray.init(address="local", namespace="lifelong", _temp_dir=str(directory / "ray"), **quiet)


def _serve_until_terminated() -> None:
    import ray
    from ray import serve

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    while not stop.wait(0.1):
        pass
    leave: Callable[[], None] = serve.shutdown
    leave()
    ray.shutdown()


SERVERS: dict[str, Callable[[int, Path], None]] = {
    "ours": ours,
    "bare": bare,
    "documented": documented,
    "fastapi": fastapi,
}

if __name__ == "__main__":
    SERVERS[sys.argv[1]](int(sys.argv[2]), Path(sys.argv[3]))
