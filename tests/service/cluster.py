"""A real Serve application with its hub and a scripted trainer, driven line by line.

Run as `python -m tests.service.cluster PORT DIRECTORY`; `tests.driver` says how it is driven.
"""

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from contracts.inputs import parse_input
from contracts.status import NAMESPACE, News, hub_name, trainer_name
from networks.settings import parse_network
from service.environment import environment
from service.settings import HostedModel, ServingSettings
from tests.driver import obey
from tests.service.versions import NETWORK, TENSOR, artifact, status

MODEL = "pets"
N_REPLICAS = 2


class Trainer:
    """A trainer that answers every operation with what it was asked."""

    def close_task(self, task: str) -> bytes:
        """Refuses unknown tasks as the real one does."""
        if task == "unheard":
            return b'{"error":"unknown_task","detail":"no event ever named this task"}'
        return msgspec.json.encode({"closed": task})

    def rollback(self, version: int | None) -> bytes:
        """Answers with the version."""
        return msgspec.json.encode({"version": version})


class Cluster:
    """The commands."""

    def __init__(self, port: int, directory: Path) -> None:
        (directory / "haproxy").mkdir()
        os.environ.update(environment(directory / "haproxy"))
        import ray

        from service.app import start
        from service.remote import HubActor

        own = str(directory / "ray")
        quiet: dict[str, Any] = {"include_dashboard": False, "logging_level": logging.ERROR}
        ray.init(address="local", namespace=NAMESPACE, _temp_dir=own, **quiet)
        hub: Any = ray.remote(HubActor)
        trainer: Any = ray.remote(Trainer)
        self._ray: Any = ray
        self.hub = hub.options(name=hub_name(MODEL), num_cpus=0, max_restarts=-1).remote(MODEL)
        self.trainer = trainer.options(name=trainer_name(MODEL), num_cpus=0, max_restarts=-1).remote()
        self._ray.get(self.hub.report.remote(msgspec.json.encode(status(version=0, generation=0))))
        network = parse_network(NETWORK)
        model = HostedModel(name=MODEL, input=parse_input(TENSOR), network=network, directory=directory / MODEL)
        start([model], ServingSettings(num_replicas=N_REPLICAS), "127.0.0.1", port)

    def announce(self, version: int, generation: int, weights: str | None = None) -> None:
        """Makes a version the champion; its position in the log is ten times its number."""
        content = None if weights is None else bytes.fromhex(weights)
        files = artifact(version, processed_through=10 * version, weights=content).files()
        self._ray.get(self.hub.announce.remote(generation, files))

    def narrate(self, version: int) -> None:
        """Tells streams of a promotion."""
        news = News(event="promotion", time=1.0, data={"version": version})
        self._ray.get(self.hub.narrate.remote([msgspec.json.encode(news)]))

    def stop(self) -> None:
        """Ends the application and its own cluster."""
        from ray import serve

        leave: Callable[[], None] = serve.shutdown
        leave()
        self._ray.shutdown()


if __name__ == "__main__":
    obey(lambda: Cluster(int(sys.argv[1]), Path(sys.argv[2])))
