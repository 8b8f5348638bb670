"""What the image must do, shown one by one on containers that run it."""

import contextlib
import json
import sys
import tempfile
import uuid
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

from image.commands import Disproved, require, shown, until
from image.container import Container
from image.engine import Engine, built, found_engine

LEARN_SECONDS = 300
EVENTS_PER_TASK = 60
USER = 1000
MODEL = """\
model: digits
input: {kind: tensor, shape: [64]}
network: {kind: mlp, hidden: [64]}
probes: {fraction: 0.4}
service: {tokens: /var/lib/lifelong/tokens.json}
"""
DIGITS = """\
import json
from sklearn.datasets import load_digits
rows, labels = load_digits(return_X_y=True)
print(json.dumps([[list(row / 16), str(label)] for row, label in zip(rows, labels)]))
"""


class Digit(NamedTuple):
    """One of scikit-learn's 8×8 digits, its 64 values in 0…1."""

    row: list[float]
    label: str


class Served(NamedTuple):
    """What a service answers with: the version, its weights' checksum, its scores for the same rows."""

    version: int
    weights: str
    scores: list[dict[str, float]]


def main() -> int:
    """Builds, shows everything, cleans up; the exit status."""
    image = f"localhost/lifelong:test-{uuid.uuid4().hex[:8]}"
    try:
        with found_engine() as (engine, options):
            built(engine, options, image)
            try:
                _show(engine, image)
            finally:
                with contextlib.suppress(Disproved):
                    engine("image", "rm", "--force", image)
    except Disproved as fault:
        sys.stderr.write(f"image-test: {fault}\n")
        return 1
    return 0


def _show(engine: Engine, image: str) -> None:
    for command in ("up", "serve", "train"):
        engine("run", "--rm", image, command, "--help")
    shown("one image has the commands up, serve and train")
    with _container(engine, image) as container:
        require(container.refuses_to_start(), "without a token the container ends and says how to make one")
        container.make_token()
        container.start()
        stranger, _ = container.request("/v1/models/digits", is_stranger=True)
        require(stranger == HTTPStatus.UNAUTHORIZED, f"who has no token is answered 401, not {stranger}")
        shown("needs a token to start, and from those who call")
        _show_bounds(container)
        digits = [Digit(row, label) for row, label in json.loads(container.execute("python", "-c", DIGITS))]
        first = _learn(container, digits, "01")
        shown(f"predicts over REST: version {first.version} answers {len(first.scores)} rows")
        second = _learn(container, digits, "23")
        require(second.version > first.version, "a new version is served")
        shown(f"learned {EVENTS_PER_TASK} more events: version {second.version} is served")
        container.kill()
        container.start()
        _show_same(second, _served(container, digits))
        third = _learn(container, digits, "45")
        shown(f"goes on learning: version {third.version}")
        status = container.stop()
        require(status == 0, f"the exit status at SIGTERM is 0, not {status}")
        shown("SIGTERM ends it with exit status 0")


@contextlib.contextmanager
def _container(engine: Engine, image: str) -> Iterator[Container]:
    with tempfile.TemporaryDirectory(prefix="lifelong-model-") as directory:
        model = Path(directory) / "model.yaml"
        model.write_text(MODEL)
        container = Container(engine, image, model)
        try:
            yield container
        except Disproved:
            sys.stderr.write(container.logs())
            raise
        finally:
            container.remove()


def _show_bounds(container: Container) -> None:
    user = container.execute("id", "-u").strip()
    require(user == str(USER), f"the user is {USER}, not {user}")
    init = container.execute("cat", "/proc/1/comm").strip()
    require(init == "tini", f"process 1 is tini, not {init}")
    shown(f"healthy as user {user} below {init}, root file system read-only, no capabilities, 64 MB of /dev/shm")


def _learn(container: Container, digits: list[Digit], labels: str) -> Served:
    """Sends one task's feedback and returns what is served once it is learned and served."""
    chosen = [digit for digit in digits if digit.label in labels][:EVENTS_PER_TASK]
    events = [
        {"event_id": f"{labels}-{number}", "instance": digit.row, "label": digit.label, "task": labels}
        for number, digit in enumerate(chosen)
    ]
    receipt = container.document("/v1/models/digits/feedback", {"events": events})
    require(receipt["accepted"] == EVENTS_PER_TASK, f"all events are accepted: {receipt}")
    what = f"a version that learned {EVENTS_PER_TASK} events of the digits {' and '.join(labels)} is served"
    until(lambda: _has_served(container, receipt["position"]), LEARN_SECONDS, what)
    return _served(container, digits)


def _has_served(container: Container, position: int) -> bool:
    status: dict[str, Any] = container.document("/v1/models/digits")
    return bool(status["served_through"] >= position)


def _served(container: Container, digits: list[Digit]) -> Served:
    rows = [digit.row for digit in digits[-100:]]
    answer = container.document("/v1/models/digits/predict", {"instances": rows, "scores": True})
    version = answer["version"]
    lineage = container.document(f"/v1/models/digits/versions/{version}")["lineage"]
    scores = [prediction["scores"] for prediction in answer["predictions"]]
    return Served(version, lineage["sha256"]["weights.safetensors"], scores)


def _show_same(before: Served, after: Served) -> None:
    require(after.version == before.version, f"version {before.version} is served again, not {after.version}")
    require(after.weights == before.weights, "the checksum of its weights is the same")
    require(after.scores == before.scores, "every score is the same")
    what = f"version {after.version}, weights sha256 {after.weights[:12]}, {len(after.scores)} rows with equal scores"
    shown(f"killed, and started anew on the same volume: {what}")
