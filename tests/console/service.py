"""A real service for the browser tests: `lifelong up` with four models, and the feedback that they begin with."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from lifelong.data import DataSet, small_digits
from service.environment import free_port

READY_SECONDS = 300.0
SERVED_SECONDS = 120.0
POLL_SECONDS = 0.1
DIGITS = small_digits()
IMAGE = {"kind": "image", "shape": [8, 8]}
PLANS: dict[str, Any] = {"age": {"mean": 45, "std": 18}, "plan": ["free", "paid"]}
MODELS: dict[str, dict[str, Any]] = {
    "digits": {"input": IMAGE, "probes": {"fraction": 0.2}},
    # Its first correction must be learned, not kept as a probe.
    "empty": {"input": IMAGE, "probes": {"fraction": 1e-6}},
    "notes": {"input": {"kind": "text"}},
    "plans": {"input": {"kind": "tabular", "columns": PLANS}},
}
NOTES = {
    "complaint": ["the parcel is broken", "broken again and late", "late parcel"],
    "praise": ["thank you", "lovely"],
}


class Service:
    """A running service; `address` is where its page is."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._client = httpx.Client(base_url=address, trust_env=False, timeout=120.0)

    def get(self, path: str) -> Any:
        """The JSON document at a path."""
        return self._client.get(path).raise_for_status().json()

    def post(self, path: str, body: object = None) -> Any:
        """The JSON answer to a posted document."""
        return self._client.post(path, json=body).raise_for_status().json()

    def teach(self, model: str, events: Sequence[dict[str, Any]]) -> None:
        """Sends feedback and waits until every replica serves what learned it."""
        position = self.post(f"/v1/models/{model}/feedback", {"events": list(events)})["position"]
        deadline = time.monotonic() + SERVED_SECONDS
        while self.get(f"/v1/models/{model}")["served_through"] < position:
            assert time.monotonic() < deadline, f"{model} is not served through {position}"
            time.sleep(POLL_SECONDS)

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()


def digit_events(data: DataSet, digits: Sequence[int], task: str) -> list[dict[str, Any]]:
    """Feedback on the data set's rows of these digits."""
    own = np.flatnonzero(np.isin(data.train_labels, digits))
    rows = ((data.train_images[row].tolist(), int(data.train_labels[row])) for row in own)
    return [{"instance": image, "label": label, "task": task} for image, label in rows]


@contextmanager
def running(directory: Path) -> Iterator[Service]:
    """Starts the service in a process tree of its own, teaches it, and ends it as a supervisor does."""
    configurations = [_written(directory, name, settings) for name, settings in MODELS.items()]
    port = free_port()
    command = [sys.executable, "-m", "lifelong", "up", *configurations, "--state", str(directory / "state")]
    with (directory / "up.log").open("wb") as log:
        process = subprocess.Popen([*command, "--port", str(port)], stdout=log, stderr=log, start_new_session=True)
    service = Service(f"http://127.0.0.1:{port}")
    try:
        _wait_ready(service.address, process, directory / "up.log")
        _teach_all(service)
        yield service
    finally:
        service.close()
        os.kill(process.pid, signal.SIGTERM)
        process.wait(120)


def _teach_all(service: Service) -> None:
    for first in range(0, 10, 2):
        task = f"{first}-and-{first + 1}"
        service.teach("digits", digit_events(DIGITS, [first, first + 1], task))
        service.post(f"/v1/models/digits/tasks/{task}/close", {})
    notes = [{"instance": text, "label": label} for label, texts in NOTES.items() for text in texts * 8]
    service.teach("notes", notes)
    rows = [
        ({"age": age, "plan": "paid" if age > 45 else "free"}, "stays" if age > 45 else "leaves")
        for age in range(20, 70)
    ]
    service.teach("plans", [{"instance": row, "label": label} for row, label in rows])


def _written(directory: Path, name: str, settings: dict[str, Any]) -> str:
    path = directory / f"{name}.yaml"
    path.write_text(json.dumps({"model": name, **settings}))
    return str(path)


def _wait_ready(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            if httpx.get(f"{address}/v2/health/ready", trust_env=False).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(POLL_SECONDS)
    raise AssertionError(log.read_text())
