"""A process tree as it is watched from outside: its spans reach a collector, and its log lines are JSON."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from contracts.status import hub_name, trainer_name
from lifelong.client import Client, wait_ready
from lifelong.data import small_digits
from service.environment import free_port
from tests.answering import awaited
from tests.collector import Collector, collecting, place_of
from tests.lifelong.test_whole_loop import events

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]
READY_SECONDS = 300.0
SERVED_SECONDS = 120.0
CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
MARK = ":"
"""What the lines begin with that Ray itself puts into its workers' files."""


class Watched:
    """`lifelong up` with a collector and JSON logs, whose parts miss a registry and a broker."""

    def __init__(self, directory: Path, collector: Collector) -> None:
        self.directory, self.collector = directory, collector
        away = f"127.0.0.1:{free_port()}"
        image = {"input": {"kind": "image", "shape": [8, 8]}}
        digits = {"model": "digits", "registry": {"uri": f"http://{away}"}} | image
        letters = {"model": "letters", "feedback": {"kind": "kafka", "bootstrap_servers": away}} | image
        configs = [directory / "digits.yaml", directory / "letters.yaml"]
        for config, document in zip(configs, (digits, letters), strict=True):
            config.write_text(json.dumps(document))
        self._port = free_port()
        arguments = [*map(str, configs), "--state", str(directory / "state"), "--port", str(self._port)]
        with (directory / "stdout").open("wb") as stdout, (directory / "stderr").open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "lifelong", "up", *arguments],
                env=os.environ | collector.variables | {"LIFELONG_LOG": "json"},
                stdout=stdout,
                stderr=stderr,
            )
        self.address = f"http://127.0.0.1:{self._port}"
        wait_ready(self.address, READY_SECONDS)
        (self.announcement,) = awaited(lambda: self.printed("stdout"), SERVED_SECONDS, lambda: self.printed("stderr"))

    def printed(self, stream: str) -> list[dict[str, Any]]:
        """The lines of a stream, each of which must be an object."""
        return [json.loads(line) for line in (self.directory / stream).read_text().splitlines()]

    def logged(self, files: str, mark: str = "") -> list[dict[str, Any]]:
        """The lines of the log files of a kind that have a mark of Ray's; all but the marks must be objects."""
        written = [path.read_text() for path in Path(self.announcement["logs"]).glob(files)]
        texts = [text[: text.rfind("\n") + 1] for text in written]  # the last line may be half there
        lines = [line for text in texts if mark in text for line in text.splitlines()]
        return [json.loads(line) for line in lines if not line.startswith(MARK)]

    def stop(self) -> None:
        """Ends it as a supervisor does."""
        self.process.terminate()
        self.process.wait(120)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with collecting() as collector:
        watched = Watched(tmp_path_factory.mktemp("watched"), collector)
        yield watched
        watched.stop()


def teach(watched: Watched, model: str) -> Any:
    """Sends feedback with a caller's span; returns its receipt."""
    body = msgspec.json.encode({"events": events(small_digits(), [0, 1], "low")})
    headers = {"content-type": "application/json", "traceparent": CALLER}
    url = f"{watched.address}/v1/models/{model}/feedback"
    answer = httpx.post(url, content=body, headers=headers, trust_env=False, timeout=60)
    assert answer.status_code == 202
    return answer.json()


def test_a_caller_finds_the_round_that_learned_from_it_and_the_version_that_came_of_it(watched: Watched) -> None:
    receipt = teach(watched, "digits")
    request = watched.collector.wait("POST /v1/models/{model}/feedback")
    assert request.is_child_of(place_of(CALLER))
    round_ = watched.collector.wait("round")
    assert round_.links == [request.place]
    decision = watched.collector.wait("decision", lambda one: one.facts["lifelong.verdict"] == "promote")
    assert decision.links == [request.place]
    with Client(watched.address, "digits") as client:
        served = client.wait_served(receipt["position"], SERVED_SECONDS)
    assert 1 < decision.facts["lifelong.version"] <= served.version
    assert {one.sender["service.name"] for one in watched.collector.received} == {"lifelong"}


@pytest.mark.parametrize(
    ("mark", "logger", "sentence", "actor"),
    [
        ("TrainerActor", "trainer.mirror", "the registry is behind", trainer_name("digits")),
        ("TrainerActor", "feedback.kafka", "Kafka topic lifelong.feedback.letters", trainer_name("letters")),
        ("HubActor", "feedback.forwarder", "Forwarding to Kafka", hub_name("letters")),
        ("ServeReplica", "opentelemetry.", "Failed to export spans batch", "SERVE_REPLICA::lifelong"),
    ],
)
def test_every_line_of_the_actors_is_an_object(
    watched: Watched, mark: str, logger: str, sentence: str, actor: str
) -> None:
    watched.collector.refuses = True
    teach(watched, "letters")
    line, *_ = awaited(
        lambda: [line for line in watched.logged("worker-*.err", f":actor_name:{mark}") if sentence in line["message"]],
        SERVED_SECONDS,
        lambda: sentence,
    )
    assert line["levelname"] in {"WARNING", "ERROR"}
    assert line["name"].startswith(logger)
    assert line["actor_name"].startswith(actor)
    assert line.keys() >= {"asctime", "job_id", "worker_id", "node_id", "actor_id"}


def test_so_is_every_line_that_serve_writes(watched: Watched) -> None:
    told = watched.logged("serve/*.log")
    assert any(line["actor_name"] == "SERVE_CONTROLLER_ACTOR" for line in told)
    assert all(line["message"] and line["levelname"] for line in told)


def test_and_every_line_of_the_program_itself(watched: Watched) -> None:
    assert watched.announcement["address"] == watched.address
    watched.stop()
    assert watched.process.returncode == 0
    assert [line["message"] for line in watched.printed("stderr") if line["name"] == "lifelong"] == [
        "starting Ray",
        "starting the service and the training of digits, letters",
        "stopping: answers are finished and a checkpoint is saved",
    ]
