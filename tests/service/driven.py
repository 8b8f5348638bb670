"""The driver process of a cluster, what it serves, and traffic on it."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import psutil

from service.environment import free_port
from tests.driver import Driver

PREDICT, FEEDBACK = "/v1/models/pets/predict", "/v1/models/pets/feedback"
BODY = {"instances": [[1, 2, 3, 4]]}
PATIENCE_SECONDS = 180.0


class Service(Driver):
    """The driver process of a cluster, and a client of what it serves."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self.versions = count(1)
        super().__init__("tests.service.cluster", directory, self.port, directory)
        self.http = self.client()

    def client(self) -> httpx.Client:
        """A client with connections of its own."""
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", trust_env=False, timeout=30.0)

    def promote(self) -> int:
        """Announces the next version and returns its number once every replica serves it."""
        version = next(self.versions)
        self.tell("announce", version, version)
        self.wait(lambda status: status["served_through"] == 10 * version and status["replicas"]["serving"] == 2)
        return version

    def wait(self, condition: Callable[[Any], bool]) -> Any:
        """The first status for which the condition holds."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            answer = self.get("/v1/models/pets")
            if answer.status_code == 200 and condition(answer.json()):
                return answer.json()
            time.sleep(0.02)
        raise AssertionError(answer.text)

    def get(self, path: str) -> httpx.Response:
        """A GET, repeated when a replica that just died took it along."""
        while True:
            try:
                return self.http.get(path)
            except httpx.RemoteProtocolError:
                continue

    def processes(self, name: str) -> list[psutil.Process]:
        """Processes of this cluster by what Ray calls them."""
        own = psutil.Process(self.process.pid).children(recursive=True)
        return [one for one in own if name in " ".join(one.cmdline())]

    def close(self) -> None:
        """Ends the cluster."""
        self.http.close()
        super().close()


class Traffic:
    """Predict requests from four clients while the block lasts; `statuses` and `versions` count what came back."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._send) for _ in range(4)]
        self.statuses: Counter[int] = Counter()
        self.versions: Counter[int] = Counter()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def go_on(self, n_requests: int = 20) -> None:
        """Returns after that many more requests."""
        goal = self.statuses.total() + n_requests
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.statuses.total() < goal:
            assert time.monotonic() < deadline, self.statuses
            time.sleep(0.01)

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _send(self) -> None:
        with self._service.client() as client:
            while not self._stop.is_set():
                try:
                    answer = client.post(PREDICT, json=BODY)
                except httpx.TransportError:
                    self.statuses[0] += 1  # HAProxy closes a connection whose request a dead replica took along
                    continue
                self.statuses[answer.status_code] += 1
                if answer.status_code == 200:
                    self.versions[answer.json()["version"]] += 1


def wait_for_metric(service: Service, line: str) -> None:
    """Returns once the line is exported."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while line not in (text := service.get("/metrics").text):
        assert time.monotonic() < deadline, text
        time.sleep(0.1)


def kill_one(service: Service, name: str) -> None:
    """Kills a process of the cluster without warning."""
    service.processes(f"ray::{name}")[0].kill()
