"""The whole loop as a user starts it: one process tree, REST in, a learned version out, kills survived."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec
import numpy as np
import psutil
import pytest
from msgspec.structs import replace

from contracts.events import FeedbackEvent
from lifelong.client import Client, wait_ready
from lifelong.data import DataSet, small_digits
from service.documents import StatusDocument
from service.environment import free_port
from tests.answering import awaited
from tests.broker import Broker
from tests.feedback.topic import Topic

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]
READY_SECONDS = 300.0
SERVED_SECONDS = 120.0
TWICE = "127.0.0.1:514\ndefaults\n    mode http\n#"
"""Makes Serve write a configuration of HAProxy that the service does not know."""
SUBJECT = "Ada Canary / 4711"
DIGITS = small_digits()


class Tree:
    """`lifelong up` in a process tree of its own."""

    def __init__(self, directory: Path, configuration: dict[str, object]) -> None:
        self.config = directory / "model.yaml"
        self.config.write_text(json.dumps(configuration))
        self._state = directory / "state"
        self._log = directory / "up.log"
        self._open = ExitStack()
        self.client: Client
        self.start()

    def start(self) -> None:
        """Starts on the same state and waits until it is ready."""
        port = free_port()
        address = f"http://127.0.0.1:{port}"
        arguments = [str(self.config), "--state", str(self._state), "--port", str(port)]
        command = [sys.executable, "-m", "lifelong", "up", *arguments]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        wait_ready(address, READY_SECONDS)
        self._wait_announced(address)
        self._open.close()
        self.client = self._open.enter_context(Client(address, "digits"))

    def _wait_announced(self, address: str) -> None:
        """The service answers a moment before the program says so; a signal in between ends a start, not a service."""
        awaited(lambda: f"digits: {address} " in self.log(), READY_SECONDS, self.log)

    def kill_everything(self) -> None:
        """SIGKILL for every process of the tree, the driver first."""
        root = psutil.Process(self._process.pid)
        for process in [root, *root.children(recursive=True)]:
            if process.is_running():
                process.kill()
        self._process.wait()

    def kill_one(self, title: str) -> None:
        """SIGKILL for the process of that title."""
        (process,) = (each for each in psutil.Process(self._process.pid).children(recursive=True) if _is(each, title))
        process.kill()

    def holding(self, text: str) -> list[str]:
        """The files of the state directory that hold a text."""
        files = [path for path in self._state.rglob("*") if path.is_file()]
        return [path.name for path in files if text.encode() in path.read_bytes()]

    def log(self) -> str:
        """What it has printed."""
        return self._log.read_text()

    def stop(self) -> None:
        """Ends it as a supervisor does: unlike SIGINT, SIGTERM is never inherited as ignored."""
        self._open.close()
        if self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGTERM)
            self._process.wait(120)


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    tree = Tree(tmp_path, {"model": "digits", "input": {"kind": "image", "shape": [8, 8]}})
    yield tree
    tree.stop()


def events(data: DataSet, digits: Sequence[int], task: str, limit: int = 120) -> list[FeedbackEvent]:
    own = np.flatnonzero(np.isin(data.train_labels, digits))[:limit]
    return [
        FeedbackEvent(
            event_id=f"{task}-{row}",
            label=int(data.train_labels[row]),
            instance=msgspec.Raw(msgspec.json.encode(data.train_images[row].tolist())),
            task=task,
        )
        for row in own
    ]


def test_feedback_is_learned_and_served_and_a_rollback_is_told_at_once(tree: Tree) -> None:
    client = tree.client
    receipt = client.feedback(events(DIGITS, [0, 1], "low"))
    assert receipt.accepted == 120
    served = client.wait_served(receipt.position or 0, SERVED_SECONDS)
    assert served.version > 1
    answers = client.predict(DIGITS.train_images[:20].tolist())
    assert answers.version >= served.version
    assert {answer.label for answer in answers.predictions} <= {"0", "1"}
    corrected = FeedbackEvent(label=1, prediction_id=answers.predictions[0].prediction_id, event_id="correction")
    assert client.feedback([corrected]).accepted == 1
    assert client.close_task("low").row

    first = client.versions().versions[-1].version
    assert client.rollback(first).version == first
    status = client.status()
    assert (status.version, status.labels) == (first, [])
    assert status.specification["promotion"] == {"mode": "auto"}


def test_what_was_accepted_survives_every_kill(tree: Tree) -> None:
    receipt = tree.client.feedback(events(DIGITS, [0, 1], "low"))
    tree.client.wait_served(receipt.position or 0, SERVED_SECONDS)
    tree.kill_one("ray::TrainerActor")
    receipt = tree.client.feedback(events(DIGITS, [2, 3], "high"))
    tree.client.wait_served(receipt.position or 0, SERVED_SECONDS)

    tree.kill_everything()
    tree.start()
    assert tree.client.feedback(events(DIGITS, [2, 3], "high")).duplicates == 120
    assert tree.client.close_task("low").row
    status = tree.client.status()
    assert sorted(status.labels) == ["0", "1", "2", "3"]
    assert status.ledger.pending == 0
    assert status.ledger.balances
    assert status.ledger.trained + status.ledger.probe + status.ledger.late == 240

    tree.stop()
    stages = [line for line in tree.log().splitlines() if line.startswith(("starting", "stopping"))]
    start = ["starting Ray", "starting the service and the training of digits"]
    assert stages == [*start, *start, "stopping: answers are finished and a checkpoint is saved"], tree.log()


def test_kafka_feedback_from_rest_and_from_others_is_learned(tmp_path: Path, broker: Broker) -> None:
    topic = Topic(broker)
    settings = {"kind": "kafka", "bootstrap_servers": broker.bootstrap_servers, "topic": topic.name}
    tree = Tree(tmp_path, {"model": "digits", "input": {"kind": "image", "shape": [8, 8]}, "feedback": settings})
    try:
        receipt = tree.client.feedback(events(DIGITS, [0, 1], "low"))
        tree.client.wait_served(receipt.position or 0, SERVED_SECONDS)
        others = [msgspec.json.encode(event) for event in events(DIGITS, [2, 3], "high")]
        topic.send([*others, b"poison"])
        status = all_learned(tree.client, received=241)
        assert sorted(status.labels) == ["0", "1", "2", "3"]
        assert status.ledger.dead == 1
        assert status.ledger.trained + status.ledger.probe == 240
        forget_one(tree, topic)
    finally:
        tree.stop()


def forget_one(tree: Tree, topic: Topic) -> None:
    """What a subject sent, by REST and past it, is forgotten through a kill of the trainer, and does not come back."""
    own = [
        replace(event, event_id=f"own-{event.event_id}", subject=SUBJECT) for event in events(DIGITS, [4, 5], "own", 60)
    ]
    sent_past = [msgspec.json.encode(event) for event in own[30:]]
    tree.client.feedback(own[:30])
    topic.send(sent_past)
    assert {"4", "5"} <= set(all_learned(tree.client, received=301).labels)
    asked = tree.client.forget(SUBJECT)
    tree.kill_one("ray::TrainerActor")
    certificate = tree.client.wait_erased(asked.erasure, SERVED_SECONDS)
    assert certificate.examples + certificate.probes == 60
    assert certificate.version not in {None, *certificate.withdrawn}
    assert [topic.name in place for place in certificate.not_erased] == [True, True]
    assert tree.holding(SUBJECT) == []
    topic.send(sent_past)
    status = all_learned(tree.client, received=331)
    assert status.ledger.duplicate == 30
    assert not {"4", "5"} & set(status.labels)


def all_learned(client: Client, received: int) -> StatusDocument:
    """The status once so many events have come and none is pending, which is awaited."""

    def look() -> StatusDocument | None:
        status = client.status()
        return status if status.ledger.received >= received and not status.ledger.pending else None

    return awaited(look, SERVED_SECONDS, client.status)


def _is(process: psutil.Process, title: str) -> bool:
    try:
        return " ".join(process.cmdline()).startswith(title)
    except psutil.NoSuchProcess:
        return False


def test_a_service_does_not_start_with_an_unknown_haproxy_and_says_so(tmp_path: Path) -> None:
    config = tmp_path / "model.yaml"
    config.write_text(json.dumps({"model": "digits", "input": {"kind": "tensor", "shape": [2]}}))
    arguments = [str(config), "--state", str(tmp_path / "state"), "--port", str(free_port())]
    command = [sys.executable, "-m", "lifelong", "up", *arguments]
    variables = os.environ | {"RAY_SERVE_HAPROXY_LOG_TARGET": TWICE}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert "Serve's configuration of HAProxy names the defaults 2 times" in done.stderr
    assert done.returncode == 69
