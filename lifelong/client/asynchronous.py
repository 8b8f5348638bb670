"""The client for asyncio: the calls of `Client`, awaited."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Sequence
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
from lifelong.client.lines import Bunch, Bunching, bunches
from lifelong.client.patience import PATIENT, Patience
from lifelong.client.steps import Exchange, Flow, Give, Outcome, Pause, Read, Request
from service.documents import StatusDocument

Item = TypeVar("Item")


class AsyncClient:
    """`Client` for asyncio: the same calls with the same guarantees, for many at a time over one set of connections."""

    def __init__(self, address: str, model: str, patience: Patience = PATIENT, *, token: str | None = None) -> None:
        self._calls = Calls(address, model, patience)
        self.address = self._calls.address
        self.model = model
        self._http = httpx.AsyncClient(**http_options(self.address, patience, token))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address!r}, {self.model!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """As `Client.close`."""
        await self._http.aclose()

    async def predict(self, instances: Instances, task: str | None = None, scores: bool = False) -> Predictions:
        """As `Client.predict`."""
        return await self._ask(self._calls.predict(instances, task, scores))

    async def predict_stream(
        self, instances: Iterable[Any] | AsyncIterable[Any], task: str | None = None, scores: bool = False
    ) -> AsyncGenerator[StreamedPrediction | RefusedLine, None]:
        """As `Client.predict_stream`; the instances may come asynchronously too."""
        async for bunch in _bunches(instances):
            async with contextlib.aclosing(self._follow(self._calls.predict_bunch(bunch, task, scores))) as answers:
                async for answer in answers:
                    yield answer

    async def infer(self, rows: ArrayLike, task: str | None = None, version: int | None = None) -> Inference:
        """As `Client.infer`."""
        return await self._ask(self._calls.infer(rows, task, version))

    async def explain(
        self,
        instance: Any,
        method: Method = "saliency",
        *,
        target: str | None = None,
        task: str | None = None,
        version: int | None = None,
    ) -> Explanation:
        """As `Client.explain`."""
        return await self._ask(self._calls.explain(instance, method, target, task, version))

    async def feedback(self, events: Sequence[FeedbackEvent]) -> Receipt:
        """As `Client.feedback`."""
        return await self._ask(self._calls.feedback(events))

    async def status(self) -> StatusDocument:
        """As `Client.status`."""
        return await self._ask(self._calls.status())

    async def matrix(self) -> Matrix:
        """As `Client.matrix`."""
        return await self._ask(self._calls.matrix())

    async def versions(self, max_results: int = 100, page_token: str | None = None) -> VersionPage:
        """As `Client.versions`."""
        return await self._ask(self._calls.versions(max_results, page_token))

    async def version(self, version: int) -> VersionRecord:
        """As `Client.version`."""
        return await self._ask(self._calls.version(version))

    def news(self, since: int | None = None) -> AsyncGenerator[News, None]:
        """As `Client.news`."""
        return self._follow(self._calls.news(since))

    async def close_task(self, task: str) -> ClosedTask:
        """As `Client.close_task`."""
        return await self._ask(self._calls.close_task(task))

    async def rollback(self, version: int | None = None) -> RolledBack:
        """As `Client.rollback`."""
        return await self._ask(self._calls.rollback(version))

    async def forget(self, subject: str) -> ErasureRequest:
        """As `Client.forget`."""
        return await self._ask(self._calls.forget(subject))

    async def erasure(self, erasure: str) -> Certificate:
        """As `Client.erasure`."""
        return await self._ask(self._calls.erasure(erasure))

    async def erasures(self) -> list[Certificate]:
        """As `Client.erasures`."""
        return await self._ask(self._calls.erasures())

    async def wait_erased(self, erasure: str, timeout_seconds: float) -> Certificate:
        """As `Client.wait_erased`."""
        return await self._ask(self._calls.wait_erased(erasure, timeout_seconds))

    async def wait_processed(self, position: int, timeout_seconds: float) -> StatusDocument:
        """As `Client.wait_processed`."""
        return await self._ask(self._calls.wait("processed_through", position, timeout_seconds))

    async def wait_served(self, position: int, timeout_seconds: float) -> StatusDocument:
        """As `Client.wait_served`."""
        return await self._ask(self._calls.wait("served_through", position, timeout_seconds))

    async def _ask(self, exchange: Exchange[Item]) -> Item:
        wire = _Wire(self._http)
        outcome: Any = None
        while True:
            try:
                step = exchange.send(outcome)
            except StopIteration as end:
                answer: Item = end.value
                return answer
            outcome = await wire.carry_out(step)

    async def _follow(self, flow: Flow[Item]) -> AsyncGenerator[Item, None]:
        outcome: Any = None
        async with contextlib.aclosing(_Wire(self._http)) as wire:
            while True:
                try:
                    step = flow.send(outcome)
                except StopIteration:
                    return
                if isinstance(step, Give):
                    yield step.item
                    outcome = None
                else:
                    outcome = await wire.carry_out(step)


class _Wire:
    """Carries out the steps of one call; holds the streamed answer that is being read."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._open: httpx.Response | None = None
        self._chunks: AsyncIterator[bytes] | None = None

    async def carry_out(self, step: Request | Read | Pause) -> Any:
        """What came of the step."""
        if isinstance(step, Pause):
            return await asyncio.sleep(step.seconds)
        try:
            return await (self._read() if isinstance(step, Read) else self._send(step))
        except httpx.RequestError:
            return None

    async def aclose(self) -> None:
        """Ends the streamed answer, if one is open."""
        if self._open is not None:
            await self._open.aclose()

    async def _read(self) -> bytes:
        return b"" if self._chunks is None else await anext(self._chunks, b"")

    async def _send(self, step: Request) -> Outcome:
        await self.aclose()
        request = self._http.build_request(step.method, step.route, content=step.content, headers=step.headers)
        self._open = answer = await self._http.send(request, stream=step.is_streamed)
        self._chunks = answer.aiter_bytes()
        if not answer.is_success:
            await answer.aread()
        return answer


async def _bunches(instances: Iterable[Any] | AsyncIterable[Any]) -> AsyncIterator[Bunch]:
    """As `bunches`."""
    if not isinstance(instances, AsyncIterable):
        for bunch in bunches(instances):
            yield bunch
        return
    bunching = Bunching()
    async for instance in instances:
        if (full := bunching.add(instance)) is not None:
            yield full
    if (last := bunching.rest()) is not None:
        yield last
