"""`lifelong up`: hub, trainer and Serve application of every model in one process tree, from start to stop."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from lifelong.client import wait_ready
from lifelong.cluster import is_warning, local_cluster, require_alive
from lifelong.errors import ClusterLost
from lifelong.instance import LOGS, Instance, claim, require_free
from lifelong.output import emit, working
from lifelong.ownership import require_own
from lifelong.settings import Settings, require_buildable
from lifelong.tokens import require_guarded
from service import logs
from service.environment import environment
from service.errors import PartUnavailable

READY_SECONDS = 180.0
WATCH_SECONDS = 1.0
POLL_SECONDS = 0.1


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
    logs: Path
    essential: list[psutil.Process]

    def announce(self, as_json: bool) -> None:
        """Says on stdout where the service is and how to stop it."""
        document = {
            "address": self.place.address,
            "models": self.models,
            "seconds": round(self.started_seconds, 1),
            "state": str(self.place.state),
            "logs": str(self.logs),
        }
        where = f"{', '.join(self.models)}: {self.place.address}  (page /, interface /docs, metrics /metrics)"
        kept = f"state is kept in {self.place.state}, logs lie in {self.logs}"
        ready = f"ready after {self.started_seconds:.0f} s; {kept}; Ctrl-C stops"
        emit(document, as_json or logs.are_json(), where, ready)

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
        InvalidConfiguration: a strategy or a network cannot be built, the state was written for another model, or
            others could reach the service without a token.
        CorruptState, StateDirectoryBusy, PortTaken, ServiceUnreachable: as their names say.
    """
    begun = time.monotonic()
    require_guarded(models[0].service, place.host)
    for settings in models:
        require_buildable(settings)
    with claim(place.state) as instance:
        require_free(place.port)
        for settings in models:
            require_own(settings, place.state)
        with contextlib.ExitStack() as stack:
            names = [settings.model for settings in models]
            with working("starting Ray") as say:
                essential = stack.enter_context(local_cluster(instance, _environment(instance)))
                say(f"starting the service and the training of {', '.join(names)}")
                stack.enter_context(_started(models, place, essential))
            yield Service(place, names, time.monotonic() - begun, instance.logs, essential)
            with working("stopping: answers are finished and a checkpoint is saved"):
                stack.close()


def _environment(instance: Instance) -> dict[str, str]:
    directory = instance.temporary / "h"
    directory.mkdir(mode=0o700)
    return environment(directory)


@contextlib.contextmanager
def _started(models: Sequence[Settings], place: Place, essential: Sequence[psutil.Process]) -> Iterator[None]:
    """All parts of every model; at the end replicas finish what they have accepted."""
    import ray

    logging.getLogger("ray.serve").addFilter(is_warning)
    try:
        hubs, trainers = _start(models, place)
    except (ray.exceptions.RayError, PartUnavailable, RuntimeError) as error:
        # Ray puts the traceback of the part that failed into the text; what it raised comes last.
        reason = (str(error).strip() or type(error).__name__).splitlines()[-1]
        detail = f"the service did not start: {reason}; the logs of its parts are in {place.state / LOGS}"
        raise ClusterLost("start_failed", detail) from error
    wait_ready(place.address, READY_SECONDS)
    yield
    while_alive(essential, partial(_stop, trainers))
    hubs.clear()


def _start(models: Sequence[Settings], place: Place) -> tuple[list[Any], list[Any]]:
    """Hubs and trainers, which live for as long as these handles do; starts the parts of every model side by side."""
    from lifelong.actors import hosted, require_started, start_hub, start_trainer
    from service.app import start

    hubs = [start_hub(settings, place.state) for settings in models]
    trainers = [start_trainer(settings, place.state) for settings in models]
    try:
        start([hosted(settings, place.state) for settings in models], models[0].service, place.host, place.port)
    finally:  # where both halves fail, the trainer's reason is the clearer one
        for settings, trainer in zip(models, trainers, strict=True):
            require_started(settings, trainer)
    return hubs, trainers


def _stop(trainers: Sequence[Any]) -> None:
    from ray import serve

    from lifelong.actors import stop
    from service.app import APPLICATION

    serve.delete(APPLICATION)
    stop(trainers)


def while_alive(essential: Sequence[psutil.Process], action: Callable[[], None]) -> None:
    """Runs the action, but leaves it alone when Ray ends meanwhile: a signal to the whole process group ends both."""
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    with contextlib.suppress(ClusterLost):
        while thread.is_alive():
            require_alive(essential)
            thread.join(POLL_SECONDS)
