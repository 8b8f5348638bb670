"""The whole service of one replica in this process, without Ray: raw bytes in, raw bytes out."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

import msgspec
import numpy as np

from contracts.versions import Artifact
from feedback.log import Record
from feedback.sqlite import SqliteLog
from registry.errors import UnregisteredVersion
from service.access import Access
from service.champion import Serving
from service.errors import PartUnavailable
from service.followers import Generation
from service.hosting import Host, Parts
from service.hub import Hub
from service.limits import Message, Scope
from service.routes import build
from service.settings import HostedModel, ServingSettings
from service.shortcut import Shortcut
from tests.service.versions import NETWORK, TENSOR, status

JSON = ((b"content-type", b"application/json"),)
Result = TypeVar("Result")


class LargestOf:
    """A predictor that answers with the column of the largest of a row's first numbers."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = labels

    def predict(self, rows: Any, _task: str | None) -> tuple[list[str], Any, Any]:
        """The label of the largest number, which is its score too."""
        scores = np.asarray(rows, np.float32).reshape(len(rows), -1)[:, : len(self._labels)]
        best = scores.argmax(axis=1)
        return [self._labels[index] for index in best], scores.max(axis=1), scores

    def explain(self, row: Any, _task: str | None, _method: str, label: str | None) -> tuple[str, Any]:
        """The row itself."""
        return label or self._labels[0], np.asarray(row, np.float32)


class FailingPredictor:
    """A predictor with a fault that nobody foresaw."""

    def predict(self, _rows: Any, _task: str | None) -> tuple[list[str], Any, Any]:
        """Always fails."""
        raise ZeroDivisionError

    def explain(self, _row: Any, _task: str | None, _method: str, _label: str | None) -> tuple[str, Any]:
        """Always fails."""
        raise ZeroDivisionError


def load_largest_of(generation: Generation, files: Mapping[str, bytes]) -> Serving:
    """Loads any whole version as a `LargestOf` over its columns."""
    model = Artifact.from_files(files).model
    return Serving(model.version, generation, model.columns, LargestOf([column.label for column in model.columns]))


def load_failing(generation: Generation, files: Mapping[str, bytes]) -> Serving:
    """Loads any whole version as a `FailingPredictor`."""
    model = Artifact.from_files(files).model
    return Serving(model.version, generation, model.columns, FailingPredictor())


@dataclass
class ScriptedTrainer:
    """A trainer that answers what it is told to, and remembers what it was asked."""

    answer: bytes = b'{"done":true}'
    asked: list[Any] = field(default_factory=list)
    is_away: bool = False

    async def close_task(self, task: str) -> bytes:
        """Remembers the task."""
        return self._answered(("close", task))

    async def rollback(self, version: int | None) -> bytes:
        """Remembers the version."""
        return self._answered(("rollback", version))

    async def erase(self, subject: str) -> bytes:
        """Remembers the subject; answers what a trainer answers, unless it is told to answer something else."""
        answer = self._answered(("erase", subject))
        return b'{"erasure":"e1","state":"waiting"}' if answer == ScriptedTrainer.answer else answer

    def _answered(self, question: Any) -> bytes:
        if self.is_away:
            raise PartUnavailable("trainer_unavailable", "the trainer does not answer now")
        self.asked.append(question)
        return self.answer


class Reply(NamedTuple):
    """One HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        """The body as JSON."""
        return msgspec.json.decode(self.body)


class DictRegistry:
    """A registry without aliases, whose versions a test puts into a dictionary."""

    def __init__(self, versions: Mapping[int, Artifact]) -> None:
        self._versions = versions

    def champion(self) -> None:
        """None, so that only what a test announces is served."""

    def read(self, version: int) -> Artifact:
        """A version that the test put there."""
        if version not in self._versions:
            raise UnregisteredVersion("unregistered_version", "no such version")
        return self._versions[version]

    def versions(self) -> list[int]:
        """All of them."""
        return sorted(self._versions)


class InProcessService:
    """A replica with its hub and a scripted trainer; use it as a context manager."""

    def __init__(self, directory: Path, loader: Any = load_largest_of, **changes: Any) -> None:
        settings = changes.pop("settings", ServingSettings())
        self.model = HostedModel(
            **{"name": "pets", "input": TENSOR, "network": NETWORK, "directory": directory} | changes
        )
        self.registry: dict[int, Artifact] = {}
        self.hub = Hub(self.model.name, lambda: DictRegistry(self.registry))
        self.trainer = ScriptedTrainer()
        access = Access.of(settings)
        self.host = Host(self.model, settings, Parts(self.hub, self.trainer), access, loader)
        self.framework = build({"pets": self.host}, settings, access)
        self.app = Shortcut(self.framework, self.host.fast_routes())
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        self.run(self.hub.report(msgspec.json.encode(status(version=0, generation=0))))
        self._lifespan = self.framework.router.lifespan_context(self.framework)
        self.run(self._lifespan.__aenter__())
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.run(self._lifespan.__aexit__(None, None, None))
        self._runner.close()

    def run(self, awaitable: Awaitable[Result]) -> Result:
        """Runs the replica's loop until the awaitable is done."""

        async def wait() -> Result:
            return await awaitable

        return self._runner.run(wait())

    def promote(self, artifact: Artifact, generation: int) -> None:
        """Announces a version and waits until the replica has taken note of it."""

        async def promoted() -> None:
            await self.hub.announce(generation, artifact.files())
            for _ in range(400):
                serving = self.host.champion.serving
                if serving is not None and serving.generation.number == generation:
                    return
                await asyncio.sleep(0.005)
            raise AssertionError("the replica did not follow")

        self.run(promoted())

    def stored(self) -> list[dict[str, Any]]:
        """The events in the log, decoded."""
        return [msgspec.json.decode(record.body or b"null") for record in self._records()]

    def traceparents(self) -> list[str | None]:
        """The trace contexts that they are kept with."""
        return [record.traceparent for record in self._records()]

    def _records(self) -> list[Record]:
        log = SqliteLog(self.model.feedback_path)
        records = log.read({}, 10_000, 0.0)
        log.close()
        return records

    def predict(self, document: Any) -> Reply:
        """A predict request of a document or of raw bytes."""
        return self.post("/v1/models/pets/predict", document)

    def feedback(self, document: Any) -> Reply:
        """A feedback request of a document or of raw bytes."""
        return self.post("/v1/models/pets/feedback", document)

    def post(self, path: str, document: Any, headers: Sequence[tuple[bytes, bytes]] = JSON) -> Reply:
        """A POST whose body is sent in one piece."""
        body = document if isinstance(document, bytes) else msgspec.json.encode(document)
        return self.request("POST", path, [body], headers)

    def get(self, path: str, headers: Sequence[tuple[bytes, bytes]] = ()) -> Reply:
        """A GET."""
        return self.request("GET", path, [b""], headers)

    def request(
        self, method: str, path: str, chunks: Sequence[bytes], headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> Reply:
        """Any request; the body arrives in the given chunks."""
        return self.run(call(self.app, method, path, chunks, headers))


async def call(
    app: Any,
    method: str,
    path: str,
    chunks: Sequence[bytes],
    headers: Sequence[tuple[bytes, bytes]] = (),
    answering: asyncio.Event | None = None,
) -> Reply:
    """Calls an ASGI application as a server would, once; without any chunk the client leaves before its body.

    `answering` is set when the first part of the answer's body has come.
    """
    scope = _scope(method, path, headers)
    pending: list[Message] = [
        {"type": "http.request", "body": chunk, "more_body": index < len(chunks) - 1}
        for index, chunk in enumerate(chunks)
    ]
    sent: list[Message] = []

    async def receive() -> Message:
        if chunks and not pending:
            await asyncio.Event().wait()  # a client that waits for its answer
        return pending.pop(0) if pending else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)
        if answering is not None and message["type"] == "http.response.body":
            answering.set()

    await app(scope, receive, send)
    return _reply(sent)


def _scope(method: str, path: str, headers: Sequence[tuple[bytes, bytes]]) -> Scope:
    target, _, query = path.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": target,
        "raw_path": target.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": list(headers),
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }


def _reply(sent: Sequence[Message]) -> Reply:
    if not sent:
        return Reply(0, {}, b"")
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Reply(sent[0]["status"], headers, b"".join(message.get("body", b"") for message in sent[1:]))
