"""Several machines, simulated on one: a Ray cluster with a service and a trainer, driven line by line.

Run as `python -m tests.lifelong.machines PORT DIRECTORY CONFIG`; `tests.driver` says how it is driven.
"""

import contextlib
import logging
import os
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from contracts.status import NAMESPACE
from lifelong.settings import load_settings
from service.environment import environment
from tests.driver import obey

TRIES = 5
GPU_NODE = {"num_cpus": 2, "num_gpus": 1}
"""What Ray is told of a node; there need be no GPU for that."""


class Machines:
    """The commands."""

    def __init__(self, port: int, directory: Path, config: Path) -> None:
        os.environ.update(_environment(directory))
        import ray
        from ray.cluster_utils import Cluster

        from lifelong.actors import hosted, require_started, start_hub, start_trainer
        from service.app import start

        self._ray: Any = ray
        self._cluster = Cluster()
        self._start(num_cpus=0, include_dashboard=False)
        ray.init(address=self._cluster.address, namespace=NAMESPACE, logging_level=logging.ERROR, log_to_driver=False)
        self._nodes: dict[str, Any] = {}
        for _ in range(2):
            self.add()
        self._settings, self._state = settings, state = load_settings(config), directory / "state"
        self._hub = start_hub(settings, state)
        start([hosted(settings, state)], settings.service, "127.0.0.1", port)
        self._trainers = [start_trainer(settings, state)]
        require_started(settings, self._trainers[0])

    def add(self) -> str:
        """Adds a node with a GPU; its id."""
        node = self._start(**GPU_NODE)
        self._nodes[node.node_id] = node
        return str(node.node_id)

    def _start(self, **node: Any) -> Any:
        """A node that runs; on a busy machine Ray gives up on some, and raises a bare Exception."""
        for _ in range(TRIES):
            with contextlib.suppress(Exception):
                return self._cluster.add_node(**node)
        raise TimeoutError

    def lose(self, node: str) -> None:
        """Kills a node and all that runs on it."""
        self._cluster.remove_node(self._nodes.pop(node), allow_graceful=False)

    def pack(self) -> str:
        """Adds a node with a GPU, and the trainers of two more models that want a half of one each; the node's id."""
        from lifelong.actors import require_started, start_trainer

        node = self.add()
        learner = self._settings.learner.model_copy(update={"workers": 1, "num_gpus": 0.5})
        for name in ("letters", "signs"):
            settings = self._settings.model_copy(update={"model": name, "learner": learner})
            self._trainers.append(start_trainer(settings, self._state))
            require_started(settings, self._trainers[-1])
        return node

    def places(self) -> dict[str, list[str]]:
        """The nodes on which live actors are, by the names of their classes."""
        from ray._private.state import actors

        found: dict[str, list[str]] = {}
        for actor in actors().values():
            if actor["State"] == "ALIVE":
                name = actor["ActorClassName"].partition(":")[0]
                found.setdefault(name, []).append(actor["Address"]["NodeID"])
        return found

    def stop(self) -> None:
        """Ends everything."""
        from ray import serve

        from lifelong.actors import stop

        stop(self._trainers)
        leave: Callable[[], None] = serve.shutdown
        leave()
        self._ray.shutdown()
        self._cluster.shutdown()


def _environment(directory: Path) -> dict[str, str]:
    for name in ("h", "ray"):
        (directory / name).mkdir()
    token = directory / "token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    own = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token), "RAY_USAGE_STATS_ENABLED": "0"}
    own["RAY_TMPDIR"] = str(directory)  # below it, too, the file by which others would find this cluster
    patience = {"RAY_health_check_period_ms": "500", "RAY_health_check_failure_threshold": "4"}
    return environment(directory / "h") | own | patience


if __name__ == "__main__":
    obey(lambda: Machines(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])))
