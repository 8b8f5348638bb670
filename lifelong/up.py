"""`lifelong up`: hub, trainer and Serve application of every model in one process tree, from start to stop."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from lifelong.client import wait_ready
from lifelong.cluster import local_cluster, require_alive
from lifelong.instance import Instance, claim, free_port, require_free
from lifelong.output import emit, stderr
from lifelong.settings import Settings
from service.environment import Ports, environment
from trainer.strategy import load

READY_SECONDS = 180.0
STOP_SECONDS = 20.0
WATCH_SECONDS = 1.0


class Place(NamedTuple):
    """Where a service keeps its state and where it listens."""

    state: Path
    host: str
    port: int

    @property
    def address(self) -> str:
        """Where a client on this machine reaches it."""
        return f"http://{'127.0.0.1' if self.host == '0.0.0.0' else self.host}:{self.port}"


class Service(NamedTuple):
    """A service that answers; it does so until the context that it came from is left."""

    place: Place
    models: list[str]
    started_seconds: float
    essential: list[psutil.Process]

    def announce(self, as_json: bool) -> None:
        """Says on stdout where the service is and how to stop it."""
        document = {"address": self.place.address, "models": self.models, "seconds": round(self.started_seconds, 1)}
        where = f"{', '.join(self.models)}: {self.place.address}  (page /, interface /docs, metrics /metrics)"
        hint = f"ready after {self.started_seconds:.0f} s; Ctrl-C stops; state is kept in {self.place.state}"
        emit(document, as_json, where, hint)

    def wait(self) -> None:
        """Returns at Ctrl-C or SIGTERM.

        Raises:
            ClusterLost: a part that nothing restarts has ended.
        """
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                require_alive(self.essential)
                time.sleep(WATCH_SECONDS)


@contextlib.contextmanager
def running(models: Sequence[Settings], place: Place) -> Iterator[Service]:
    """Starts everything and yields once predictions and feedback are answered; leaves no process behind.

    Raises:
        InvalidConfiguration: a strategy or a network cannot be built, or the state was written for another model.
        StateDirectoryBusy, PortTaken, ServiceUnreachable: as their names say.
    """
    begun = time.monotonic()
    for settings in models:
        load(settings.strategies)
    with claim(place.state) as instance:
        require_free(place.port)
        ports = Ports(place.port, free_port(), free_port())
        with stderr().status("starting") as progress, local_cluster(instance, _environment(instance, ports)) as parts:
            trainers = _start(models, place, ports)
            progress.stop()
            yield Service(place, [settings.model for settings in models], time.monotonic() - begun, parts)
            _stop(trainers)


def _environment(instance: Instance, ports: Ports) -> dict[str, str]:
    directory = instance.temporary / "h"
    directory.mkdir(mode=0o700)
    return environment(directory, ports)


def _start(models: Sequence[Settings], place: Place, ports: Ports) -> list[Any]:
    """Starts the parts of every model side by side; returns the trainers once all are ready."""
    from lifelong import parts
    from service.app import start

    for settings in models:
        parts.start_hub(settings, place.state)
    trainers = [parts.start_trainer(settings, place.state) for settings in models]
    start([parts.hosted(settings, place.state) for settings in models], models[0].service, place.host, ports)
    for settings, trainer in zip(models, trainers, strict=True):
        parts.require_started(settings, trainer)
    wait_ready(place.address, READY_SECONDS)
    return trainers


def _stop(trainers: Sequence[Any]) -> None:
    """Lets replicas finish what they have accepted, and trainers end at a checkpoint; neither is needed for safety."""
    import ray
    from ray import serve

    from service.app import APPLICATION

    stopped = [trainer.stop.remote() for trainer in trainers]
    serve.delete(APPLICATION)
    ray.wait(stopped, num_returns=len(stopped), timeout=STOP_SECONDS)
