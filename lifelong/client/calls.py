"""What each call sends, how its answer is read and what may be repeated: the one definition behind both clients."""

import struct
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar
from urllib.parse import urlencode

import httpx
import msgspec
from numpy.typing import ArrayLike, NDArray

from contracts.answers import Explanation, Method, Predictions, Receipt, RefusedLine, StreamedPrediction
from contracts.erasures import Certificate, ErasureRequest
from contracts.events import IDENTIFIER_PATTERN, NAME_PATTERN, TASK_PATTERN, FeedbackEvent
from contracts.names import SIMPLE_NAME
from contracts.status import Matrix, News, VersionRecord
from lifelong.client import tensors
from lifelong.client.answers import ClosedTask, Erasures, Inference, RolledBack, VersionPage
from lifelong.client.arguments import as_json, checked_address, checked_name, checked_number, path_segment
from lifelong.client.lines import Bunch, EventReader, Lines, read_line
from lifelong.client.patience import Patience, Retries
from lifelong.client.steps import Exchange, Flow, Give, Headers, Pause, Read, Request
from lifelong.errors import RequestRefused, ServiceUnreachable
from service.documents import StatusDocument

POLL_SECONDS = 0.02
ERASURE_POLL_SECONDS = 0.2
JSON: Headers = (("content-type", "application/json"),)
NDJSON = "application/x-ndjson"
EVENT_STREAM = "text/event-stream"
MODEL_PATTERN = rf"^{SIMPLE_NAME}\Z"
Instances = Sequence[Any] | NDArray[Any]
Mark = Literal["processed_through", "served_through"]
Document = TypeVar("Document")


class Calls:
    """The calls to one model of a service.

    Raises:
        InvalidArgument: the address or the model's name cannot be one.
    """

    def __init__(self, address: str, model: str, patience: Patience) -> None:
        self.address = checked_address(address)
        self.model = checked_name(model, MODEL_PATTERN, "model")
        self._route = f"/v1/models/{model}"
        self._patience = patience

    def predict(self, instances: Instances, task: str | None, scores: bool) -> Exchange[Predictions]:
        """One request, one answer an instance."""
        document = {"instances": instances} | _given(task=task, scores=scores or None)
        return self._document(self._post("/predict", document), Predictions)

    def predict_bunch(self, bunch: Bunch, task: str | None, scores: bool) -> Flow[StreamedPrediction | RefusedLine]:
        """The answers to some lines of a stream; what broke off is sent again only while none of them was given."""
        query = urlencode(_given(task=task, scores="true" if scores else None))
        route = f"{self._route}/predict" + (f"?{query}" if query else "")
        headers = (("content-type", NDJSON), ("accept", NDJSON))
        request = Request("POST", route, bunch.content, headers, is_streamed=True)
        retries, n_given = self._retries(), 0
        while n_given == 0:
            yield from self._answer(request, retries)
            lines = Lines()
            while chunk := (yield Read()):
                for line in lines.feed(chunk):
                    yield Give(self._decoded(read_line, line))
                    n_given += 1
            if n_given == 0:
                yield retries.after(request, None)
        if n_given != bunch.n_lines:
            detail = f"{self.address} answered {n_given} of a request's {bunch.n_lines} lines; none was sent again"
            raise ServiceUnreachable("stream_broken", detail)

    def feedback(self, events: Sequence[FeedbackEvent]) -> Exchange[Receipt]:
        """Events under ids of their own, so that it does no harm to send them again."""
        named = [event if event.event_id else _with_id(event) for event in events]
        try:
            return (yield from self._document(self._post("/feedback", {"events": named}), Receipt))
        except RequestRefused as refused:
            if not refused.problem.get("rejected"):
                raise
            nothing = {"accepted": 0, "duplicates": 0, **refused.problem}
            return self._decoded(lambda document: msgspec.convert(document, Receipt), nothing)

    def explain(
        self, instance: Any, method: Method, target: str | None, task: str | None, version: int | None
    ) -> Exchange[Explanation]:
        """One instance's attribution."""
        document = {"instance": instance, "method": method} | _given(target=target, task=task, version=version)
        return self._document(self._post("/explain", document), Explanation)

    def infer(self, rows: ArrayLike, task: str | None, version: int | None) -> Exchange[Inference]:
        """Rows and answers as bytes, by the Open Inference Protocol."""
        route = f"/v2/models/{self.model}"
        route += "" if version is None else f"/versions/{checked_number(version, 'version')}"
        encoded = tensors.encode(rows, task)
        length = (tensors.HEADER_LENGTH, str(encoded.header_length))
        headers = (("content-type", tensors.BINARY_TYPE), length)
        request = Request("POST", f"{route}/infer", encoded.content, headers)
        answer = yield from self._answer(request, self._retries())
        return self._decoded(tensors.decode, answer)

    def status(self, patience: Patience | None = None) -> Exchange[StatusDocument]:
        """The status document."""
        return self._document(self._get(""), StatusDocument, patience)

    def matrix(self) -> Exchange[Matrix]:
        """The accuracy matrix."""
        return self._document(self._get("/matrix"), Matrix)

    def versions(self, max_results: int, page_token: str | None) -> Exchange[VersionPage]:
        """A page of versions."""
        query = urlencode(_given(max_results=checked_number(max_results, "number of results"), page_token=page_token))
        return self._document(self._get(f"/versions?{query}"), VersionPage)

    def version(self, version: int) -> Exchange[VersionRecord]:
        """One version."""
        return self._document(self._get(f"/versions/{checked_number(version, 'version')}"), VersionRecord)

    def close_task(self, task: str) -> Exchange[ClosedTask]:
        """The end of a task; that it is closed already is no fault when an answer to this very call was lost."""
        route = f"/tasks/{checked_name(task, TASK_PATTERN, 'task')}/close"
        try:
            return (yield from self._document(self._post(route, {}), ClosedTask))
        except RequestRefused as refused:
            if refused.code != "task_already_closed" or not refused.is_repeat:
                raise
        matrix = yield from self.matrix()
        rows = dict(zip(matrix.tasks, matrix.accuracy, strict=False))
        return ClosedTask(task, True, matrix.tasks, rows.get(task, []))

    def rollback(self, version: int | None) -> Exchange[RolledBack]:
        """An earlier version; never sent twice, as the second would go back further."""
        request = self._post("/rollback", _given(version=version))._replace(may_repeat=False)
        return self._document(request, RolledBack)

    def forget(self, subject: str) -> Exchange[ErasureRequest]:
        """A subject's erasure; while it waits, the same one is answered to whoever asks for it again."""
        route = f"/subjects/{path_segment(subject, NAME_PATTERN, 'subject')}"
        return self._document(Request("DELETE", self._route + route), ErasureRequest)

    def erasure(self, erasure: str, patience: Patience | None = None) -> Exchange[Certificate]:
        """One certificate."""
        route = f"/erasures/{checked_name(erasure, IDENTIFIER_PATTERN, 'erasure')}"
        return self._document(self._get(route), Certificate, patience)

    def erasures(self) -> Exchange[list[Certificate]]:
        """Every certificate, the newest first."""
        listed = yield from self._document(self._get("/erasures"), Erasures)
        return listed.erasures

    def wait_erased(self, erasure: str, timeout_seconds: float) -> Exchange[Certificate]:
        """Asks for a certificate until it is complete."""

        def ask(patience: Patience) -> Exchange[Certificate]:
            return self.erasure(erasure, patience)

        missed = "the erasure was not complete"
        return self._until(ask, lambda found: found.is_complete, missed, timeout_seconds, ERASURE_POLL_SECONDS)

    def wait(self, mark: Mark, position: int, timeout_seconds: float) -> Exchange[StatusDocument]:
        """Asks for the status until one of its positions is reached."""

        def is_reached(status: StatusDocument) -> bool:
            reached: int = getattr(status, mark)
            return reached >= position

        missed = f"{mark} did not reach {position}"
        return self._until(self.status, is_reached, missed, timeout_seconds, POLL_SECONDS)

    def news(self, since: int | None) -> Flow[News]:
        """Server-sent events, over as many connections as it takes."""
        reader = EventReader("" if since is None else str(since))
        while True:
            last = (("last-event-id", reader.last_id),) if reader.last_id else ()
            request = self._get("/stream")._replace(headers=(("accept", EVENT_STREAM), *last), is_streamed=True)
            answer = yield from self._answer(request, self._retries())
            if not answer.headers.get("content-type", "").startswith(EVENT_STREAM):
                raise self._unexpected()
            while chunk := (yield Read()):
                for data in reader.feed(chunk):
                    if (news := _news(data)) is not None:
                        yield Give(news)
            reader.disconnected()
            yield Pause(reader.retry_seconds)

    def _until(
        self,
        ask: Callable[[Patience], Exchange[Document]],
        is_reached: Callable[[Document], bool],
        missed: str,
        timeout_seconds: float,
        poll_seconds: float,
    ) -> Exchange[Document]:
        deadline = time.monotonic() + timeout_seconds
        while True:
            left = max(0.0, deadline - time.monotonic())
            document = yield from ask(self._patience._replace(total_seconds=left))
            if is_reached(document):
                return document
            if time.monotonic() > deadline:
                raise ServiceUnreachable("not_in_time", f"{missed} in {timeout_seconds:.0f} s")
            yield Pause(poll_seconds)

    def _get(self, route: str) -> Request:
        return Request("GET", self._route + route)

    def _post(self, route: str, document: Any) -> Request:
        return Request("POST", self._route + route, as_json(document), JSON)

    def _document(self, request: Request, kind: type[Document], patience: Patience | None = None) -> Exchange[Document]:
        answer = yield from self._answer(request, self._retries(patience))
        return self._decoded(lambda content: msgspec.json.decode(content, type=kind), answer.content)

    def _answer(self, request: Request, retries: Retries) -> Exchange[httpx.Response]:
        while True:
            outcome: httpx.Response | None = yield request
            if outcome is not None and outcome.is_success:
                return outcome
            yield retries.after(request, outcome)

    def _retries(self, patience: Patience | None = None) -> Retries:
        return Retries(self.address, patience or self._patience)

    def _decoded(self, read: Callable[[Any], Document], content: Any) -> Document:
        try:
            return read(content)
        except (msgspec.MsgspecError, ValueError, KeyError, struct.error, RecursionError):
            raise self._unexpected() from None

    def _unexpected(self) -> ServiceUnreachable:
        detail = f"what answers at {self.address} is no lifelong service that this client understands"
        return ServiceUnreachable("unexpected_answer", detail)


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _with_id(event: FeedbackEvent) -> FeedbackEvent:
    return msgspec.structs.replace(event, event_id=uuid.uuid4().hex)


def _news(data: bytes) -> News | None:
    """The news in an event, or None where a newer service says what is not known here."""
    try:
        return msgspec.json.decode(data, type=News)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
