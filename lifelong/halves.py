"""`lifelong serve` and `lifelong train`: the two halves of `up` as programs of their own on a Ray cluster.

Both need the same state directory, on a volume that both can reach; with Kafka and an MLflow server the log and the
versions lie there as well.
"""

import contextlib
import logging
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from contracts.status import NAMESPACE, hub_name
from lifelong.client import wait_ready
from lifelong.cluster import is_warning, joined_cluster
from lifelong.errors import ServiceUnreachable
from lifelong.output import stderr
from lifelong.settings import Settings
from lifelong.tokens import require_guarded
from lifelong.up import READY_SECONDS, Place
from service.environment import environment

HUB_SECONDS = 600.0
POLL_SECONDS = 1.0


def run_service(models: Sequence[Settings], place: Place, cluster: str) -> None:
    """Runs hubs and the Serve application until Ctrl-C or SIGTERM.

    Raises:
        InvalidConfiguration: others could reach the service without a token.
        ServiceUnreachable: the cluster cannot be joined, or nothing got ready in time.
    """
    require_guarded(models[0].service, place.host)
    with tempfile.TemporaryDirectory(prefix="ll-", dir="/tmp") as directory:
        variables = environment(Path(directory))
        with joined_cluster(cluster, variables), _serving(models, place):
            wait_ready(place.address, READY_SECONDS)
            stderr().print(f"serving at {place.address}; Ctrl-C stops")
            _wait()
            stderr().print("stopping")


def run_trainers(models: Sequence[Settings], state: Path, cluster: str, is_here: bool) -> None:
    """Runs the trainers until Ctrl-C or SIGTERM; waits for the service half first.

    `is_here` keeps them on the node that this program runs on.

    Raises:
        InvalidConfiguration: a trainer cannot be assembled.
        ServiceUnreachable: the cluster cannot be joined, or there is no service half.
    """
    from lifelong.actors import require_started, start_trainer, stop

    with joined_cluster(cluster, {}):
        for settings in models:
            _find_hub(settings.model)
        trainers = [start_trainer(settings, state, is_here) for settings in models]
        for settings, trainer in zip(models, trainers, strict=True):
            require_started(settings, trainer)
        stderr().print("training; Ctrl-C stops")
        _wait()
        stderr().print("stopping")
        stop(trainers)


@contextlib.contextmanager
def _serving(models: Sequence[Settings], place: Place) -> Iterator[None]:
    from ray import serve

    from lifelong.actors import hosted, start_hub
    from service.app import start

    logging.getLogger("ray.serve").addFilter(is_warning)
    hubs = [start_hub(settings, place.state) for settings in models]
    start([hosted(settings, place.state) for settings in models], models[0].service, place.host, place.port)
    try:
        yield
    finally:
        serve.shutdown()  # type: ignore[no-untyped-call]
        hubs.clear()


def _find_hub(model: str) -> Any:
    import ray

    deadline = time.monotonic() + HUB_SECONDS
    while time.monotonic() < deadline:
        try:
            return ray.get_actor(hub_name(model), namespace=NAMESPACE)
        except ValueError:
            time.sleep(POLL_SECONDS)
    raise ServiceUnreachable("no_service", f"{model}: `lifelong serve` does not run on this cluster")


def _wait() -> None:
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            time.sleep(POLL_SECONDS)
