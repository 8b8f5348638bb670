"""What must be in the environment before Ray is imported; so this module does not import it."""

import os
from pathlib import Path
from typing import NamedTuple

from service import shortcut

CONFIG_FILE = "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC"


class Ports(NamedTuple):
    """The fixed ports of one service on a machine: requests, and two of HAProxy's own."""

    http: int
    haproxy_metrics: int
    haproxy_stats: int


def environment(directory: Path, ports: Ports) -> dict[str, str]:
    """The variables that must be set before Ray is imported, for the fast path through HAProxy.

    `directory` is this service's own and short, for HAProxy's files: the path of a socket has at most 107 characters.
    """
    return {
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": f"{shortcut.__name__}.{shortcut.middlewares.__name__}",
        CONFIG_FILE: str(directory / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(directory / "admin.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(directory / "metrics.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(directory),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(directory / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(ports.haproxy_metrics),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(ports.haproxy_stats),
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
        "RAY_SERVE_HAPROXY_NBTHREAD": str(max(1, min(4, (os.cpu_count() or 1) // 4))),
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "30",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
    }
