"""`lifelong serve` and `lifelong train`: the two halves of `up` as separate programs on a Ray cluster.

Both need the same state directory, on a volume that both can reach; with Kafka and an MLflow server the log and the
versions lie there instead.
"""

import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

from lifelong.cluster import joined_cluster
from lifelong.output import stderr
from lifelong.settings import Settings
from lifelong.up import READY_SECONDS, STOP_SECONDS, Place
from service.environment import Ports, environment

HAPROXY_PORTS = (9101, 8404)
"""Ray's own defaults: the cluster's nodes started with them."""


def run_service(models: Sequence[Settings], place: Place, cluster: str) -> None:
    """Runs hubs and the Serve application until Ctrl-C or SIGTERM."""
    os.environ.update(environment(Path("/tmp/lifelong-haproxy"), Ports(place.port, *HAPROXY_PORTS)))
