"""A Ray cluster of our own on this machine, with nothing that another run could meet."""

import contextlib
import logging
import os
import secrets
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

from contracts.status import NAMESPACE
from lifelong.errors import ClusterLost, ServiceUnreachable
from lifelong.instance import LOGS, MARK_VARIABLE, Instance
from service import logs

OBJECT_STORE_BYTES = 128 << 20
"""For weights, and for the rows that several workers learn; Ray's own default would take a third of the memory."""
ESSENTIAL = {"raylet", "gcs_server"}


@contextlib.contextmanager
def local_cluster(instance: Instance, environment: dict[str, str]) -> Iterator[list[psutil.Process]]:
    """Starts Ray below this process and ends it, with everything it started; yields what it cannot live without.

    Raises:
        ClusterLost: Ray did not come up.
    """
    os.environ.update(environment)
    os.environ.update(_own(instance))
    import ray

    try:
        _begin(instance)
        _stop_by_signal()
        yield [process for process in psutil.Process().children() if process.name() in ESSENTIAL]
    finally:
        with _uninterrupted():
            ray.shutdown()
            instance.reap()


@contextlib.contextmanager
def joined_cluster(address: str, environment: dict[str, str]) -> Iterator[list[psutil.Process]]:
    """Joins a cluster that runs already, and leaves it; its processes for this program get the environment too.

    Yields what it cannot live without: the raylet of this node, which ends when the head of the cluster is lost.

    Raises:
        ServiceUnreachable: there is no such cluster.
    """
    os.environ.update(environment)
    import ray

    try:
        _join(address, environment)
        _stop_by_signal()
        yield _own_raylet()
    finally:
        with _uninterrupted():
            ray.shutdown()


def _begin(instance: Instance) -> None:
    import ray

    try:
        ray.init(
            address="local",
            namespace=NAMESPACE,
            include_dashboard=False,
            num_cpus=max(2, os.cpu_count() or 1),
            object_store_memory=OBJECT_STORE_BYTES,
            logging_level=logging.WARNING,
            log_to_driver=False,
            _temp_dir=str(instance.sessions),
            **_logging(),
        )
    except Exception as error:  # Ray gives a node 30 seconds and then raises a bare Exception
        detail = f"Ray did not start; its logs are in {instance.state / LOGS}; if the machine is busy, try again"
        raise ClusterLost("start_failed", detail) from error


def _join(address: str, environment: dict[str, str]) -> None:
    import ray

    options: dict[str, Any] = {"runtime_env": {"env_vars": environment}, "log_to_driver": False, **_logging()}
    try:
        ray.init(address=address, namespace=NAMESPACE, logging_level=logging.WARNING, **options)
    except ConnectionError:
        raise ServiceUnreachable("no_cluster", f"no Ray cluster answers at {address}") from None


def _logging() -> dict[str, Any]:
    """The form of the lines of this program and of every process that Ray starts for it."""
    import ray

    if logs.encoding() == "TEXT":
        return {}
    return {"logging_config": ray.LoggingConfig("JSON", logs.LEVEL, additional_log_standard_attrs=["name"])}


def _own_raylet() -> list[psutil.Process]:
    import ray

    node = ray.get_runtime_context().get_node_id()
    named = [process for process in psutil.process_iter(["name", "cmdline"]) if process.info["name"] == "raylet"]
    return [process for process in named if any(node in word for word in process.info["cmdline"] or [])]


def is_warning(record: logging.LogRecord) -> bool:
    """A filter for the logger of Ray Serve, which sets its own level back whenever it starts."""
    return record.levelno >= logging.WARNING


def require_alive(essential: Sequence[psutil.Process]) -> None:
    """Returns while all of these processes run.

    Raises:
        ClusterLost: one of them ended; nothing can be mended from here, a new start resumes.
    """
    for process in essential:
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            raise ClusterLost("cluster_lost", "a part of Ray ended unexpectedly; start again to resume")


def _own(instance: Instance) -> dict[str, str]:
    """What keeps this cluster to itself: a token of its own, the mark of the instance, no calls home."""
    token = instance.temporary / "token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    paths = [str(Path.cwd()), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        MARK_VARIABLE: instance.mark,
        "PYTHONPATH": os.pathsep.join(paths),  # a user's own module is imported from where the command was started
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",  # Ray would put replicas behind everything else on the machine
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # `device: auto` must see the GPU without reserving one
    }


def _stop_by_signal() -> None:
    """SIGTERM ends a run as Ctrl-C does; Ray has put a handler of its own in its place."""
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """A second Ctrl-C must not leave processes behind; what runs here takes seconds."""
    kept = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
