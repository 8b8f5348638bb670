"""What a swap costs where many replicas follow one hub: a version's files for each of them, or once for each node.

    python -m benchmarks.followers [--replicas 8] [--swaps 20] [--json]

A Ray cluster of a head and two nodes on this machine; half of the replicas are on each node. They only follow: nothing
is loaded. Both ways take turns.
"""

import asyncio
import logging
import os
import secrets
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Annotated, Any, NamedTuple

import psutil
import typer
from rich.table import Table

from benchmarks.serving.version import artifact
from contracts.status import NAMESPACE, hub_name
from lifelong.output import emit


class Swap(NamedTuple):
    """Milliseconds from the announcement until every replica had the files, and of the hub's processor time."""

    until_all: float
    hub: float


class Follower:
    """A replica that does nothing but follow."""

    def __init__(self, model: str, name: str) -> None:
        from service.followers import NO_CHAMPION, UNKNOWN
        from service.remote import RemoteHub

        self._hub, self._name = RemoteHub(model), name
        self._serving, self._known = NO_CHAMPION, UNKNOWN

    async def follow(self) -> float:
        """When the files of the next version were there, by the machine's clock."""
        from service.errors import PartUnavailable

        while True:
            try:
                update = await self._hub.follow(self._name, self._serving, self._known)
            except PartUnavailable:
                await asyncio.sleep(0.1)
                continue
            self._known = max(self._known, update.generation)
            if update.files is not None:
                return time.monotonic()


class Side:
    """A hub and its followers."""

    def __init__(self, model: str, hub: type, replicas: int, nodes: list[str]) -> None:
        import ray
        from ray._private.state import actors
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._ray: Any = ray
        actor: Any = ray.remote(hub)
        follower: Any = ray.remote(Follower)
        self._hub: Any = actor.options(name=hub_name(model), namespace=NAMESPACE, num_cpus=0).remote(model)
        self._followers: list[Any] = []
        for number in range(replicas):
            place = NodeAffinitySchedulingStrategy(nodes[number % len(nodes)], soft=False)
            started: Any = follower.options(num_cpus=1, scheduling_strategy=place)
            self._followers.append(started.remote(model, f"replica-{number}"))
        ray.get(self._hub.registered.remote())
        (found,) = (each for each in actors().values() if each["Name"] == hub_name(model))
        self._process = psutil.Process(found["Pid"])

    def swap(self, number: int, files: dict[str, bytes]) -> Swap:
        """Announces a version once every follower waits for one."""
        waiting = [follower.follow.remote() for follower in self._followers]
        time.sleep(0.5)
        used = sum(self._process.cpu_times()[:2])
        announced = time.monotonic()
        self._ray.get(self._hub.announce.remote(number, files))
        had = self._ray.get(waiting)
        return Swap(1000 * (max(had) - announced), 1000 * (sum(self._process.cpu_times()[:2]) - used))


def measure(replicas: int, swaps: int) -> dict[str, Swap]:
    """The medians of both ways."""
    import ray
    from ray.cluster_utils import Cluster

    from service.hub import Hub
    from service.remote import HubActor

    cluster = Cluster()
    cluster.add_node(num_cpus=0, include_dashboard=False)
    nodes = [cluster.add_node(num_cpus=replicas).node_id for _ in range(2)]
    ray.init(address=cluster.address, namespace=NAMESPACE, logging_level=logging.ERROR, log_to_driver=False)
    try:
        sides = {
            "each replica": Side("each", Hub, replicas, nodes),
            "each node": Side("once", HubActor, replicas, nodes),
        }
        found: dict[str, list[Swap]] = {name: [] for name in sides}
        for number in range(1, swaps + 2):
            files = artifact(number).files()
            for name, side in sides.items():
                found[name].append(side.swap(number, files))
    finally:
        ray.shutdown()
        cluster.shutdown()  # type: ignore[no-untyped-call]
    return {name: Swap(*map(median, zip(*each[1:], strict=True))) for name, each in found.items()}


def main(replicas: int = 8, swaps: int = 20, as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """Prints the table or its document."""
    with tempfile.TemporaryDirectory(prefix="ll-", dir="/tmp") as directory:
        os.environ.update(_own(Path(directory)))
        measured = measure(replicas, swaps)
    table = Table(title=f"{replicas} replicas on 2 nodes, {len(artifact().weights):,} bytes of weights")
    for heading in ("files go to", "ms until all have them", "ms of the hub's processor"):
        table.add_column(heading, justify="left" if heading == "files go to" else "right")
    for name, swap in measured.items():
        table.add_row(name, f"{swap.until_all:.0f}", f"{swap.hub:.0f}")
    emit({name: swap._asdict() for name, swap in measured.items()}, as_json, table)


def _own(directory: Path) -> dict[str, str]:
    """A cluster that nobody else meets."""
    token = directory / "token"
    token.write_text(secrets.token_hex(32))
    (directory / "ray").mkdir()
    own = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token), "RAY_TMPDIR": str(directory)}
    return own | {"RAY_USAGE_STATS_ENABLED": "0"}


if __name__ == "__main__":
    typer.run(main)
