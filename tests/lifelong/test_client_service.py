"""Both clients against the service itself, all but Ray, over HTTP on a port of its own."""

import asyncio
import inspect
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import uvicorn

import lifelong.client
from contracts.erasures import Erasure, subject_digest
from contracts.events import FeedbackEvent
from contracts.status import News
from lifelong.client import Client, Patience, only_model, served_models, wait_ready
from lifelong.errors import RequestRefused
from service import tokens
from service.settings import ServingSettings
from tests.lifelong.both_clients import KINDS
from tests.service.inprocess import InProcessService
from tests.service.versions import artifact, record, status

pytestmark = pytest.mark.unit
CAT, DOG = [0.9, 0.1, 0.0, 0.0], [0.1, 0.8, 0.0, 0.0]
IMPATIENT = Patience(total_seconds=0.0)


class Running:
    """A service in a thread of its own, with version 3 as its champion; use it as a context manager."""

    def __init__(self, directory: Path, settings: ServingSettings | None = None) -> None:
        self._directory = directory
        self._settings = settings or ServingSettings()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.service: InProcessService
        self.address = ""

    def __enter__(self) -> "Running":
        self._thread.start()
        self._started.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()

    def tell(self, awaitable: Any) -> Any:
        """What the service's loop makes of a coroutine of the hub's."""
        return asyncio.run_coroutine_threadsafe(awaitable, self._loop).result()

    def _run(self) -> None:
        try:
            with InProcessService(self._directory, settings=self._settings) as self.service:
                self.service.promote(artifact(3), 1)
                self.service.run(self._serve())
        finally:
            self._started.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        options: dict[str, Any] = {"lifespan": "off", "log_level": "error", "timeout_graceful_shutdown": 0}
        self._server = uvicorn.Server(uvicorn.Config(self.service.app, port=0, **options))
        serving = asyncio.ensure_future(self._server.serve())
        while not self._server.started:
            await asyncio.sleep(0.001)
        host, port = self._server.servers[0].sockets[0].getsockname()
        self.address = f"http://{host}:{port}"
        self._started.set()
        await serving


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with Running(tmp_path) as running:
        yield running


@pytest.fixture(params=list(KINDS))
def client(request: pytest.FixtureRequest, running: Running) -> Iterator[Client]:
    with KINDS[request.param](running.address, "pets", IMPATIENT) as client:
        yield client


def test_what_is_predicted_can_be_corrected(client: Client, running: Running) -> None:
    answers = client.predict(np.array([CAT, DOG]), scores=True)
    assert (answers.model, answers.version) == ("pets", 3)
    assert [answer.label for answer in answers.predictions] == ["cat", "dog"]
    assert answers.predictions[0].scores == pytest.approx({"cat": 0.9, "dog": 0.1})
    corrections = [
        FeedbackEvent(label="dog", prediction_id=answers.predictions[0].prediction_id),
        FeedbackEvent(label="cat", instance=msgspec.Raw(b'"no tensor"')),
    ]
    receipt = client.feedback(corrections)
    assert (receipt.accepted, [one.index for one in receipt.rejected]) == (1, [1])
    assert client.feedback(corrections[1:]).accepted == 0
    (stored,) = running.service.stored()
    assert stored["label"] == "dog"


def test_rows_are_inferred_in_bytes(client: Client, running: Running) -> None:
    found = client.infer(np.array([CAT, DOG, CAT]))
    assert (found.version, found.labels) == (3, ["cat", "dog", "cat"])
    assert found.probabilities.dtype == found.scores.dtype == np.float32
    assert found.probabilities == pytest.approx([0.9, 0.8, 0.9])
    np.testing.assert_array_equal(found.scores, np.float32([CAT[:2], DOG[:2], CAT[:2]]))
    correction = FeedbackEvent(label="dog", prediction_id=found.prediction_ids[1])
    assert client.feedback([correction]).accepted == 1
    (stored,) = running.service.stored()
    assert stored["instance"] == pytest.approx(DOG)


def test_an_older_version_is_inferred_with(client: Client, running: Running) -> None:
    running.service.registry[2] = artifact(2)
    found = client.infer(np.array([DOG]), version=2)
    assert (found.version, found.labels) == (2, ["dog"])


def test_a_refused_inference_says_why(client: Client) -> None:
    with pytest.raises(RequestRefused) as caught:
        client.infer(np.zeros((1, 3)))
    assert caught.value.code == "wrong_shape"


def test_documents_are_typed(client: Client, running: Running) -> None:
    report = status(version=3, generation=1)
    running.tell(running.service.hub.report(msgspec.json.encode(report)))
    running.tell(running.service.hub.remember([msgspec.json.encode(record(version)) for version in (2, 3)]))
    assert client.status().model == "pets"
    assert client.status().ledger == report.ledger
    assert client.matrix() == report.matrix
    page = client.versions(max_results=1)
    assert page.versions == [record(3)]
    assert client.versions(1, page.next_page_token).versions == [record(2)]
    assert client.version(2) == record(2)
    with pytest.raises(RequestRefused) as caught:
        client.version(9)
    assert caught.value.code == "unknown_version"


def test_what_is_processed_and_served_is_awaited(client: Client, running: Running) -> None:
    report = status(version=3, generation=1)
    running.tell(running.service.hub.report(msgspec.json.encode(report)))
    assert client.wait_processed(report.processed_through, 0.0).processed_through == report.processed_through
    assert client.wait_served(0, 0.0).version == 3


def test_the_trainer_is_told_once(client: Client, running: Running) -> None:
    trainer = running.service.trainer
    trainer.answer = b'{"task":"one","closed":true,"tasks":["one"],"row":[0.5]}'
    assert client.close_task("one").row == [0.5]
    trainer.answer = b'{"version":2,"labels":["a"]}'
    assert client.rollback(2).version == 2
    assert trainer.asked == [("close", "one"), ("rollback", 2)]


@pytest.mark.parametrize("name", ["ada@example.org", "a/b", "..", "100%", "%2F", "who?me#1", "Ада 🦆", "x/predict"])
def test_a_subject_is_forgotten_under_the_name_it_has(client: Client, running: Running, name: str) -> None:
    assert client.forget(name).erasure == "e1"
    assert running.service.trainer.asked == [("erase", name)]


def test_an_erasure_is_followed(client: Client, running: Running) -> None:
    running.tell(running.service.hub.certify([]))
    with pytest.raises(RequestRefused) as caught:
        client.erasure("e1")
    assert caught.value.code == "unknown_erasure"
    erasures = [
        Erasure(id=name, subject_sha256=subject_digest(name), state="done", asked_at=1.0, withdrawn=[2], version=3)
        for name in ("e2", "e1")
    ]
    running.tell(running.service.hub.certify([msgspec.json.encode(erasure) for erasure in erasures]))
    found = client.wait_erased("e1", 0.0)
    assert (found.withdrawn, found.version, found.answering) == ([2], 3, 0)
    assert [one.id for one in client.erasures()] == ["e2", "e1"]


def test_news_comes_as_it_happens(client: Client, running: Running) -> None:
    items = [News(event="task", time=float(number), data={"number": number}) for number in range(3)]
    running.tell(running.service.hub.narrate([msgspec.json.encode(item) for item in items]))
    news = client.news(since=running.service.hub._last_news - 3)
    assert [next(news) for _ in items] == items
    late = News(event="promotion", time=9.0, data={})
    running.tell(running.service.hub.narrate([msgspec.json.encode(late)]))
    assert next(news) == late
    news.close()


def test_a_service_is_asked_what_it_hosts(running: Running) -> None:
    wait_ready(running.address, 10.0)
    assert served_models(f"{running.address}/") == ["pets"]
    assert only_model(running.address) == "pets"


def test_the_example_runs(running: Running, capsys: pytest.CaptureFixture[str]) -> None:
    document = inspect.getdoc(lifelong.client) or ""
    example = textwrap.dedent(document.partition("Example:\n")[2])
    assert len(example.splitlines()) == 5
    program = example.replace("http://127.0.0.1:8000", running.address).replace("digits", "pets")
    exec(compile(program, "example", "exec"), {})
    assert capsys.readouterr().out.startswith("dog ")
    (stored,) = running.service.stored()
    assert stored["label"] == "cat"


@pytest.mark.parametrize("kind", KINDS.values())
def test_a_token_lets_its_role_in(tmp_path: Path, kind: Any) -> None:
    path = tmp_path / "tokens.json"
    token, secret = tokens.issue("asker", [tokens.Role.PREDICT])
    tokens.write(path, [token])
    with Running(tmp_path, ServingSettings(tokens=path)) as guarded:
        wait_ready(guarded.address, 10.0)
        assert only_model(guarded.address, secret) == "pets"
        with pytest.raises(RequestRefused) as caught:
            only_model(guarded.address)
        assert caught.value.code == "unauthenticated"
        with kind(guarded.address, "pets", IMPATIENT, token=secret) as client:
            assert client.predict([CAT]).predictions[0].label == "cat"
            assert client.infer([CAT]).labels == ["cat"]
            with pytest.raises(RequestRefused) as caught:
                client.rollback()
        assert caught.value.code == "forbidden"


@pytest.mark.parametrize("place", [0, 1])
def test_the_page_runs(running: Running, capsys: pytest.CaptureFixture[str], place: int) -> None:
    page = (Path(__file__).parents[2] / "docs" / "client.md").read_text()
    block = page.split("```python\n")[1 + place].partition("```")[0]
    program = block.replace("http://127.0.0.1:8000", running.address).replace("digits", "pets")
    exec(compile(program, "docs/client.md", "exec"), {"__name__": "page"})
    assert capsys.readouterr().out.startswith(["['dog', 'cat'] ", "['dog', 'dog']"][place])
