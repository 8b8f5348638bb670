"""Real services for the browser tests: `lifelong up`, models of every kind, and the feedback that they begin with."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from lifelong.data import DataSet, small_digits
from service.environment import free_port
from tests.answering import awaited, wait_answering

READY_SECONDS = 300.0
SERVED_SECONDS = 120.0
DIGITS = small_digits()
IMAGE = {"kind": "image", "shape": [8, 8]}
PLANS: dict[str, Any] = {"age": {"mean": 45, "std": 18}, "plan": ["free", "paid"]}
ALL_LEARNED = {"fraction": 1e-6}
"""Where a single correction must be learned, and not become a probe."""
MODELS: dict[str, dict[str, Any]] = {
    "digits": {"input": IMAGE, "probes": {"fraction": 0.2}},
    "empty": {"input": IMAGE, "probes": ALL_LEARNED},
    "notes": {"input": {"kind": "text"}},
    "plans": {"input": {"kind": "tabular", "columns": PLANS}},
    "rooms": {"input": {"kind": "story", "sentences": 4, "words": 8, "buckets": 512}, "probes": ALL_LEARNED},
    "lamps": {"input": {"kind": "image", "shape": [3, 8, 8]}, "probes": ALL_LEARNED},
    "places": {
        "input": {"kind": "tensor", "shape": [2]},
        "labels": {"scenario": "task"},
        "probes": ALL_LEARNED,
    },
}
NAMES, ROOMS = ["Mary", "John", "Sandra"], ["kitchen", "garden"]
LAMPS = {"red": [255, 0, 0], "blue": [0, 0, 255]}
PLACES = {"sides": ["left", "right"], "signs": ["minus", "plus"]}
CORNERS = [(x, y) for x in (-1.0, 1.0) for y in (-1.0, 1.0)]
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
        """Sends feedback, split into training and probes the same way each time, and waits until it is served."""
        named = [{"event_id": f"{model}-{event['label']}-{place}", **event} for place, event in enumerate(events)]
        position = self.post(f"/v1/models/{model}/feedback", {"events": named})["position"]
        awaited(
            lambda: self.get(f"/v1/models/{model}")["served_through"] >= position,
            SERVED_SECONDS,
            lambda: f"{model} is not served through {position}",
        )

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()


def digit_events(data: DataSet, digits: Sequence[int], task: str) -> list[dict[str, Any]]:
    """Feedback on the data set's rows of these digits."""
    own = np.flatnonzero(np.isin(data.train_labels, digits))
    rows = ((data.train_images[row].tolist(), int(data.train_labels[row])) for row in own)
    return [{"instance": image, "label": label, "task": task} for image, label in rows]


@contextmanager
def running(directory: Path, configurations: Sequence[Path]) -> Iterator[Service]:
    """Starts a service in a process tree of its own, and ends it as a supervisor does."""
    port = free_port()
    command = [sys.executable, "-m", "lifelong", "up", *map(str, configurations), "--state", str(directory / "state")]
    with (directory / "up.log").open("wb") as log:
        process = subprocess.Popen([*command, "--port", str(port)], stdout=log, stderr=log, start_new_session=True)
    service = Service(f"http://127.0.0.1:{port}")
    try:
        wait_answering(f"{service.address}/v2/health/ready", process, directory / "up.log", READY_SECONDS)
        yield service
    finally:
        service.close()
        process.terminate()
        process.wait(120)


def teach_all(service: Service) -> None:
    """Teaches every model but the empty one what the tests ask about."""
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
    service.teach("rooms", [told(name, place) for name in NAMES for place in ROOMS])
    service.teach("lamps", [lit(colour) for colour in LAMPS] * 8)
    for task, labels in PLACES.items():
        service.teach("places", [{"instance": [x, y], "label": labels[x > 0], "task": task} for x, y in CORNERS * 8])


def told(name: str, place: str) -> dict[str, Any]:
    """Feedback on a story of one sentence."""
    story = {"story": [f"{name} went to the {place}."], "question": f"Where is {name}?"}
    return {"instance": story, "label": place}


def lit(colour: str) -> dict[str, Any]:
    """Feedback on a picture all of one colour, channels first."""
    return {"instance": [[[part] * 8] * 8 for part in LAMPS[colour]], "label": colour}


def written(directory: Path, name: str, settings: Mapping[str, Any]) -> Path:
    """The configuration file of a model."""
    path = directory / f"{name}.yaml"
    path.write_text(json.dumps({"model": name, **settings}))
    return path
