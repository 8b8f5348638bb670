"""One model learned and served by several machines, of which one is lost in the middle of it."""

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lifelong.client import Client
from lifelong.data import small_digits
from lifelong.errors import RequestRefused
from service.documents import StatusDocument
from service.environment import free_port
from tests.lifelong.test_whole_loop import events

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]
SERVED_SECONDS = 300.0
POLL_SECONDS = 0.2
DIGITS = small_digits()
CONFIG: dict[str, Any] = {
    "model": "digits",
    "input": {"kind": "image", "shape": [8, 8]},
    "learner": {"workers": 2, "num_gpus": 1, "min_steps": 200},
    "service": {"num_replicas": 2, "cpus_per_replica": 1},
    "promotion": {"min_interval_seconds": 0.2},
}


class Cluster:
    """A cluster of a head and two nodes with a GPU each, as far as Ray knows."""

    is_taught = False
    answers = 0

    def __init__(self, directory: Path) -> None:
        config, port = directory / "digits.yaml", free_port()
        config.write_text(json.dumps(CONFIG))
        command = [sys.executable, "-m", "tests.lifelong.machines", str(port), str(directory), str(config)]
        self._log = (directory / "log").open("wb")
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log)
        self.client = Client(f"http://127.0.0.1:{port}", "digits")

    def start(self) -> None:
        """Returns once everything runs."""
        assert self._answer() == "ready", Path(self._log.name).read_text()

    def tell(self, *command: str) -> Any:
        """What the command answers."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        self._process.stdin.flush()
        return self._answer()

    def wait(self, is_so: Callable[[StatusDocument], bool]) -> StatusDocument:
        """The first status of which this is so; meanwhile what was taught is asked for, and answers are counted.

        Where a hub is lost too, a replica that begins before the trainer is back has what the registry knows: less.
        """
        deadline = time.monotonic() + SERVED_SECONDS
        while time.monotonic() < deadline:
            if self.is_taught:
                with contextlib.suppress(RequestRefused):
                    self.client.predict(DIGITS.train_images[:1].tolist())
                    self.answers += 1
            if is_so(status := self.client.status()):
                return status
            time.sleep(POLL_SECONDS)
        raise TimeoutError

    def close(self) -> None:
        """Ends it."""
        self.client.close()
        self._process.communicate(timeout=120)
        self._log.close()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline() or "null")


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    directory = Path(tempfile.mkdtemp(prefix="ll-", dir="/tmp"))  # short: Ray and HAProxy put sockets below it
    cluster = Cluster(directory)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.close()
        shutil.rmtree(directory, ignore_errors=True)


def test_learning_goes_on_without_a_machine_and_takes_in_the_next(cluster: Cluster) -> None:
    cluster.wait(lambda status: status.workers == 2)
    client, places = cluster.client, cluster.tell("places")
    assert {*places["TrainerActor"], *places["PeerActor"]} == set(places["ServeReplica"])
    client.feedback(events(DIGITS, [0, 1], "low"))
    client.wait_served(120, SERVED_SECONDS)
    cluster.is_taught = True
    assert client.status().workers == 2

    high = events(DIGITS, [2, 3], "high")
    for first in range(0, len(high), 10):
        if first == 40:
            cluster.tell("lose", places["PeerActor"][0])
        client.feedback(high[first : first + 10])
    status = cluster.wait(lambda status: status.served_through >= 240 and status.ledger.received == 240)
    assert cluster.answers > 0
    assert (status.workers, sorted(status.labels)) == (1, ["0", "1", "2", "3"])
    assert status.ledger.balances
    assert (status.ledger.received, status.ledger.pending, status.ledger.quarantined) == (240, 0, 0)
    cluster.wait(lambda status: status.replicas.serving == 2)

    added = cluster.tell("add")
    cluster.wait(lambda status: status.workers == 2)
    now = cluster.tell("places")
    assert {*now["TrainerActor"], *now["PeerActor"]} == {*places["TrainerActor"], added}
    client.feedback(events(DIGITS, [4, 5], "more"))
    status = cluster.wait(lambda status: status.served_through >= 360 and status.ledger.received == 360)
    assert status.ledger.balances
    workers = [version.lineage.workers for version in client.versions().versions if version.lineage.parent]
    assert workers[0] == workers[-1] == 2
    assert 1 in workers

    packed = cluster.tell("pack")
    assert cluster.tell("places")["TrainerActor"].count(packed) == 2
