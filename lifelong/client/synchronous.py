"""The client that waits."""

import contextlib
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from numpy.typing import ArrayLike

from contracts.answers import Explanation, Method, Predictions, Receipt, RefusedLine, StreamedPrediction
from contracts.erasures import Certificate, ErasureRequest
from contracts.events import FeedbackEvent
from contracts.status import Matrix, News, VersionRecord
from lifelong.client.answers import ClosedTask, Inference, RolledBack, VersionPage
from lifelong.client.arguments import http_options
from lifelong.client.calls import Calls, Instances
from lifelong.client.lines import bunches
from lifelong.client.patience import PATIENT, Patience
from lifelong.client.steps import Exchange, Flow, Give, Outcome, Pause, Read, Request
from service.documents import StatusDocument

Item = TypeVar("Item")


class Client:
    """Speaks to one model of a service; use it as a context manager. Threads may share one.

    Overload (429), a restart in progress (502, 503, 504) and lost connections are retried, within `patience`, after
    growing, jittered pauses or the `Retry-After` that the service names. Nothing is trained twice by that.

    `token` is sent as a bearer token; left out, it is that of the environment variable `LIFELONG_TOKEN`, if any.

    Raises, from every call:
        InvalidArgument: an argument cannot be sent; nothing was.
        RequestRefused: the service answered with a problem document, whose `code` is stable.
        ServiceUnreachable: no usable answer came within the client's patience.
    """

    def __init__(self, address: str, model: str, patience: Patience = PATIENT, *, token: str | None = None) -> None:
        self._calls = Calls(address, model, patience)
        self.address = self._calls.address
        self.model = model
        self._http = httpx.Client(**http_options(self.address, patience, token))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address!r}, {self.model!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections; the client cannot be used any more."""
        self._http.close()

    def predict(self, instances: Instances, task: str | None = None, scores: bool = False) -> Predictions:
        """Predictions for instances in their JSON form, or rows of an array, in their order.

        `task` is needed in the task scenario only. With `scores`, each has those of all labels.
        """
        return self._ask(self._calls.predict(instances, task, scores))

    def predict_stream(
        self, instances: Iterable[Any], task: str | None = None, scores: bool = False
    ) -> Generator[StreamedPrediction | RefusedLine, None, None]:
        """For each instance, in order, its prediction or why it has none; for more instances than fit a request.

        Instances are read as they are needed, some hundred ahead of the answers. The version may change on the way.
        What breaks off after its first answer is not sent again: `ServiceUnreachable` ends the stream, and as many
        instances are done as answers came.
        """
        for bunch in bunches(instances):
            yield from self._follow(self._calls.predict_bunch(bunch, task, scores))

    def infer(self, rows: ArrayLike, task: str | None = None, version: int | None = None) -> Inference:
        """Answers for rows `(n, *shape)`, uint8 for images and floating-point for tensors, sent and read as bytes.

        The fastest way for many rows: no number is written as text. They are answered by `version`, else the champion.
        """
        return self._ask(self._calls.infer(rows, task, version))

    def explain(
        self,
        instance: Any,
        method: Method = "saliency",
        *,
        target: str | None = None,
        task: str | None = None,
        version: int | None = None,
    ) -> Explanation:
        """What each part of one instance adds to the logit of a label: of `target`, else of the predicted one."""
        return self._ask(self._calls.explain(instance, method, target, task, version))

    def feedback(self, events: Sequence[FeedbackEvent]) -> Receipt:
        """Sends events; once this returns, the accepted ones are durable. That none was accepted is no exception.

        Events without an id get one here, so that an event that has to be sent again is never trained twice.
        """
        return self._ask(self._calls.feedback(events))

    def status(self) -> StatusDocument:
        """What is served and what was learned."""
        return self._ask(self._calls.status())

    def matrix(self) -> Matrix:
        """The accuracy matrix with its averages, in 0…1."""
        return self._ask(self._calls.matrix())

    def versions(self, max_results: int = 100, page_token: str | None = None) -> VersionPage:
        """Versions, newest first: at most `max_results` (1…1000), those after an earlier page's `next_page_token`."""
        return self._ask(self._calls.versions(max_results, page_token))

    def version(self, version: int) -> VersionRecord:
        """One version with its lineage, probe results and decision."""
        return self._ask(self._calls.version(version))

    def news(self, since: int | None = None) -> Generator[News, None, None]:
        """What happens, as it happens, without end: from now on, or from the event after number `since` on.

        A connection that ends is opened again and goes on after the last event; kinds of event that this release does
        not know are left out.
        """
        return self._follow(self._calls.news(since))

    def close_task(self, task: str) -> ClosedTask:
        """Ends a task: everything accepted for it before is learned, consolidated and measured once this returns.

        It is no fault that the task is closed already when the answer to an earlier attempt was lost.
        """
        return self._ask(self._calls.close_task(task))

    def rollback(self, version: int | None = None) -> RolledBack:
        """Serves an earlier version again: the given one, or the one before the champion. Never sent twice.

        `ServiceUnreachable` with the code `answer_lost` leaves open whether it was carried out: `status` tells.
        """
        return self._ask(self._calls.rollback(version))

    def forget(self, subject: str) -> ErasureRequest:
        """Asks that everything of one subject be erased, and unlearned; `erasure` follows what becomes of it.

        It may be asked again: while the erasure waits, the same one is answered.
        """
        return self._ask(self._calls.forget(subject))

    def erasure(self, erasure: str) -> Certificate:
        """What became of an erasure, by its id."""
        return self._ask(self._calls.erasure(erasure))

    def erasures(self) -> list[Certificate]:
        """What became of every erasure, newest first."""
        return self._ask(self._calls.erasures())

    def wait_erased(self, erasure: str, timeout_seconds: float) -> Certificate:
        """The first certificate that is `done` and finds no replica answering with a withdrawn version."""
        return self._ask(self._calls.wait_erased(erasure, timeout_seconds))

    def wait_processed(self, position: int, timeout_seconds: float) -> StatusDocument:
        """The first status in which the trainer has accounted for everything up to `position`."""
        return self._ask(self._calls.wait("processed_through", position, timeout_seconds))

    def wait_served(self, position: int, timeout_seconds: float) -> StatusDocument:
        """The first status in which every replica serves a version that has learned everything up to `position`.

        A version that the gate refuses is never served: then this ends with `ServiceUnreachable` after the timeout.
        """
        return self._ask(self._calls.wait("served_through", position, timeout_seconds))

    def _ask(self, exchange: Exchange[Item]) -> Item:
        wire = _Wire(self._http)
        outcome: Any = None
        while True:
            try:
                step = exchange.send(outcome)
            except StopIteration as end:
                answer: Item = end.value
                return answer
            outcome = wire.carry_out(step)

    def _follow(self, flow: Flow[Item]) -> Generator[Item, None, None]:
        outcome: Any = None
        with contextlib.closing(_Wire(self._http)) as wire:
            while True:
                try:
                    step = flow.send(outcome)
                except StopIteration:
                    return
                if isinstance(step, Give):
                    yield step.item
                    outcome = None
                else:
                    outcome = wire.carry_out(step)


class _Wire:
    """Carries out the steps of one call; holds the streamed answer that is being read."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http
        self._open: httpx.Response | None = None
        self._chunks: Iterator[bytes] = iter(())

    def carry_out(self, step: Request | Read | Pause) -> Any:
        """What came of the step."""
        if isinstance(step, Pause):
            return time.sleep(step.seconds)
        try:
            return next(self._chunks, b"") if isinstance(step, Read) else self._send(step)
        except httpx.RequestError:
            return None

    def close(self) -> None:
        """Ends the streamed answer, if one is open."""
        if self._open is not None:
            self._open.close()

    def _send(self, step: Request) -> Outcome:
        self.close()
        request = self._http.build_request(step.method, step.route, content=step.content, headers=step.headers)
        self._open = answer = self._http.send(request, stream=step.is_streamed)
        self._chunks = answer.iter_bytes()
        if not answer.is_success:
            answer.read()
        return answer
