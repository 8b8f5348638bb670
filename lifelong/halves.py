"""`lifelong serve` and `lifelong train`: the two halves of `up` as programs of their own on a Ray cluster.

Both need the same state directory, on a volume that both can reach; with Kafka and an MLflow server the log and the
versions lie there as well.
"""

import contextlib
import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import psutil

from contracts.status import NAMESPACE, hub_name, trainer_name
from lifelong.client import wait_ready
from lifelong.cluster import is_warning, joined_cluster, require_alive
from lifelong.errors import ClusterLost, ServiceUnreachable
from lifelong.output import say
from lifelong.settings import Settings, require_buildable
from lifelong.tokens import require_guarded
from lifelong.up import READY_SECONDS, Place, while_alive
from service.environment import environment

TURN_SECONDS = 600.0
POLL_SECONDS = 1.0


def run_service(models: Sequence[Settings], place: Place, cluster: str) -> None:
    """Runs hubs and the Serve application until Ctrl-C or SIGTERM.

    Raises:
        InvalidConfiguration: a strategy or a network cannot be built, or others could reach the service unguarded.
        ServiceUnreachable: the cluster cannot be joined, or nothing got ready in time.
        ClusterLost: it was joined and ended.
    """
    require_guarded(models[0].service, place.host)
    for settings in models:
        require_buildable(settings)
    with tempfile.TemporaryDirectory(prefix="ll-", dir="/tmp") as directory:
        variables = environment(Path(directory))
        with joined_cluster(cluster, variables) as essential, _serving(models, place, essential):
            wait_ready(place.address, READY_SECONDS)
            say(f"serving at {place.address}; Ctrl-C stops")
            _wait(essential)
            say("stopping")


def run_trainers(models: Sequence[Settings], state: Path, cluster: str, is_here: bool) -> None:
    """Runs the trainers until Ctrl-C or SIGTERM; waits for the service half, and for the end of a trainer before it.

    `is_here` keeps them on the node that this program runs on.

    Raises:
        InvalidConfiguration: a strategy or a network cannot be built, or a trainer cannot be assembled.
        ServiceUnreachable: the cluster cannot be joined, there is no service half, or another trainer goes on.
        ClusterLost: it was joined and ended, or a trainer ended for good.
    """
    from lifelong.actors import require_started, start_trainer, stop

    for settings in models:
        require_buildable(settings)
    with joined_cluster(cluster, {}) as essential:
        for settings in models:
            _await_turn(settings.model)
        trainers = [start_trainer(settings, state, is_here) for settings in models]
        for settings, trainer in zip(models, trainers, strict=True):
            require_started(settings, trainer)
        say("training; Ctrl-C stops")
        _wait(essential, [settings.model for settings in models])
        say("stopping")
        while_alive(essential, partial(stop, trainers))


@contextlib.contextmanager
def _serving(models: Sequence[Settings], place: Place, essential: Sequence[psutil.Process]) -> Iterator[None]:
    from ray import serve

    from lifelong.actors import hosted, start_hub
    from service.app import start

    logging.getLogger("ray.serve").addFilter(is_warning)
    hubs = [start_hub(settings, place.state) for settings in models]
    start([hosted(settings, place.state) for settings in models], models[0].service, place.host, place.port)
    try:
        yield
    finally:
        while_alive(essential, serve.shutdown)
        hubs.clear()


def _await_turn(model: str) -> None:
    """Returns once the service half runs and no trainer of this model does; that a node was lost is noticed late."""
    _until(lambda: _runs(hub_name(model)), "no_service", f"{model}: `lifelong serve` does not run on this cluster")
    _until(lambda: not _runs(trainer_name(model)), "trainer_runs", f"{model}: a trainer runs on this cluster already")


def _until(is_so: Callable[[], bool], code: str, detail: str) -> None:
    deadline = time.monotonic() + TURN_SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            raise ServiceUnreachable(code, detail)
        time.sleep(POLL_SECONDS)


def _runs(actor: str) -> bool:
    import ray

    try:
        ray.get_actor(actor, namespace=NAMESPACE)
    except ValueError:
        return False
    return True


def _wait(essential: Sequence[psutil.Process], trained: Sequence[str] = ()) -> None:
    """Returns at Ctrl-C or SIGTERM; raises ClusterLost, also where a model's trainer will not be started again."""
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            require_alive(essential)
            for model in trained:
                _require_trainer(model)
            time.sleep(POLL_SECONDS)


def _require_trainer(model: str) -> None:
    from ray.exceptions import GetTimeoutError

    with contextlib.suppress(GetTimeoutError):  # the head is busy, or starts again
        if not _runs(trainer_name(model)):
            raise ClusterLost("trainer_lost", f"{model}: its trainer ended for good; start again to resume")
