"""One model learned and served by several machines, of which one is lost in the middle of it."""

import json
import threading
from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import apsw
import pytest

from lifelong.client import Client
from lifelong.data import small_digits
from lifelong.errors import RequestRefused
from service.documents import StatusDocument
from service.environment import free_port
from tests.answering import awaited
from tests.driver import Driver, driven
from tests.lifelong.test_whole_loop import events

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]
SERVED_SECONDS = 300.0
POLL_SECONDS = 0.05
DIGITS = small_digits()
CONFIG: dict[str, Any] = {
    "model": "digits",
    "input": {"kind": "image", "shape": [8, 8]},
    "learner": {"workers": 2, "num_gpus": 1, "min_steps": 200},
    "service": {"num_replicas": 2, "cpus_per_replica": 1},
    "promotion": {"min_interval_seconds": 0.2},
}


class Cluster(Driver):
    """A cluster of a head and two nodes with a GPU each, as far as Ray knows."""

    def __init__(self, directory: Path) -> None:
        config, port = directory / "digits.yaml", free_port()
        config.write_text(json.dumps(CONFIG))
        super().__init__("tests.lifelong.machines", directory, port, directory, config)
        self.client = Client(f"http://127.0.0.1:{port}", "digits")
        self._record = directory / "state" / "digits" / "trainer" / "state.db"

    def wait(self, is_so: Callable[[StatusDocument], bool]) -> StatusDocument:
        """The first status of which this is so."""

        def look() -> StatusDocument | None:
            status = self.client.status()
            return status if is_so(status) else None

        return awaited(look, SERVED_SECONDS, self.client.status)

    def begun(self) -> set[int]:
        """The rounds that a trainer has begun: each is recorded just before."""
        record = apsw.Connection(str(self._record), flags=apsw.SQLITE_OPEN_READONLY)
        steps = record.execute("SELECT number, document FROM steps").fetchall()
        record.close()
        return {number for number, document in steps if json.loads(document)["type"] == "round"}

    def interrupted(self) -> set[int]:
        """The rounds up to the champion's of which the trainer that began them never told that they are learned."""
        champion = self.client.version(self.client.status().version)
        news = takewhile(lambda news: news.data.get("version") != champion.version, self.client.news(since=0))
        told = {each.data["round"] for each in news if each.event == "round"}
        return {number for number in self.begun() if number <= champion.lineage.round} - told

    def close(self) -> None:
        """Ends it."""
        self.client.close()
        super().close()


class Asking:
    """Asks for what was taught, again and again while the block lasts, and counts what was answered and refused.

    What the replica of a lost node took along the client asks again: a loss explains that and nothing else.
    """

    def __init__(self, address: str) -> None:
        self.answered = 0
        self.refused: list[str] = []
        self._address = address
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._is_over.set()
        self._thread.join()

    def _ask(self) -> None:
        with Client(self._address, "digits") as client:
            while not self._is_over.wait(POLL_SECONDS):
                try:
                    client.predict(DIGITS.train_images[:1].tolist())
                    self.answered += 1
                except RequestRefused as refusal:
                    self.refused.append(refusal.code)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with driven(Cluster) as cluster:
        yield cluster


def test_learning_goes_on_without_a_machine_and_takes_in_the_next(cluster: Cluster) -> None:
    cluster.wait(lambda status: status.workers == 2)
    client, places = cluster.client, cluster.tell("places")
    assert {*places["TrainerActor"], *places["PeerActor"]} == set(places["ServeReplica"])
    assert not {*places["HubActor"]} & {*places["ServeReplica"]}
    client.feedback(events(DIGITS, [0, 1], "low"))
    client.wait_served(120, SERVED_SECONDS)
    assert client.status().workers == 2

    with Asking(client.address) as asking:
        lost = lose_in_mid_round(cluster, places["PeerActor"][0])
        answered = asking.answered
        status = cluster.wait(lambda status: status.served_through >= 240 and status.ledger.received == 240)
        assert asking.answered > answered
        assert (status.workers, sorted(status.labels)) == (1, ["0", "1", "2", "3"])
        assert status.ledger.balances
        assert (status.ledger.received, status.ledger.pending, status.ledger.quarantined) == (240, 0, 0)
        cluster.wait(lambda status: status.replicas.serving == 2)

        added = cluster.tell("add")
        cluster.wait(lambda status: status.workers == 2)
    assert asking.refused == []
    now = cluster.tell("places")
    assert {*now["TrainerActor"], *now["PeerActor"]} == {*places["TrainerActor"], added}
    assert now["HubActor"] == places["HubActor"]
    client.feedback(events(DIGITS, [4, 5], "more"))
    status = cluster.wait(lambda status: status.served_through >= 360 and status.ledger.received == 360)
    assert status.ledger.balances
    workers = [version.lineage.workers for version in client.versions().versions if version.lineage.parent]
    assert workers[0] == workers[-1] == 2
    assert 1 in workers
    assert cluster.interrupted() == lost

    packed = cluster.tell("pack")
    assert cluster.tell("places")["TrainerActor"].count(packed) == 2


def lose_in_mid_round(cluster: Cluster, node: str) -> set[int]:
    """Loses a node once a round on new events has begun, and feeds the rest of them; the round."""
    before, high = cluster.begun(), events(DIGITS, [2, 3], "high")
    cluster.client.feedback(high[:40])
    begun = awaited(lambda: cluster.begun() - before, SERVED_SECONDS, cluster.client.status)
    cluster.tell("lose", node)
    for first in range(40, len(high), 10):
        cluster.client.feedback(high[first : first + 10])
    return begun
