"""The feedback route: every event is checked on its own, joined, and on disk before the answer says so."""

import asyncio
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import NamedTuple, Protocol, TypeVar

import msgspec

from contracts.answers import Receipt, Rejection
from contracts.decoder import InstanceDecoder
from contracts.errors import InvalidEvent, LifelongError
from contracts.events import FeedbackEvent, decode_event, encode_event, told_apart
from contracts.labels import LabelSpec
from contracts.spans import Span, Spans
from contracts.status import JoinOutcome
from contracts.traces import TRACEPARENT, sent_traceparent
from feedback.join import Join, Recalled, Recollection
from feedback.log import Appended
from service.counts import Counts
from service.decoding import check_keys, decoded
from service.errors import Answer, RequestFault, problem
from service.limits import Headers, Scope

SHOWN_REJECTIONS = 20
ROUTE = "/v1/models/{model}/feedback"
TRACE_HEADER = TRACEPARENT.encode()
Given = TypeVar("Given")
Made = TypeVar("Made")


class Log(Protocol):
    """Where accepted events become durable."""

    def append(self, events: Sequence[tuple[str, bytes]], traceparents: Mapping[str, str]) -> Appended:
        """Stores a batch, and by event id the contexts it came with, in one transaction.

        Raises:
            FeedbackUnavailable: nothing of it was stored.
        """
        ...


class FeedbackRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a feedback request; its events are decoded one by one, so that one bad event spoils no other."""

    events: list[msgspec.Raw]


class Taken(NamedTuple):
    """What came of a request's events, and how joining those went that named a prediction."""

    receipt: Receipt
    joins: Counter[JoinOutcome]


_REQUEST = msgspec.json.Decoder(FeedbackRequest)


class Intake:
    """Turns the events of a request into durable, self-contained events of one model."""

    def __init__(self, decoder: InstanceDecoder, labels: LabelSpec, log: Log, recollection: Recollection) -> None:
        self._decode_instance = decoder
        self._labels = labels
        self._log = log
        self._join = Join(recollection, takes_task=labels.scenario == "task")

    def accept(self, raws: Sequence[msgspec.Raw], traceparent: str | None = None) -> Taken:
        """Stores the good events of a request, in order, and says why the others were not.

        They came with the request's `traceparent`, those that name another excepted.

        Raises:
            FeedbackUnavailable: nothing was stored.
        """
        rejected: list[Rejection] = []
        decoded = _sift(enumerate(raws), decode_event, rejected)
        recalled = self._join.recall(event for _, event in decoded)
        decode = self._decode_instance.for_request()
        events = _sift(decoded, lambda event: self._complete(event, recalled, decode), rejected)
        told = [told_apart(event, traceparent) for _, event in events]
        bodies = [(event.event_id or "", encode_event(event)) for event, _ in told]
        traceparents = {event.event_id or "": context for event, context in reversed(told) if context}
        appended = self._log.append(bodies, traceparents) if bodies else Appended(0, [], [], [])
        for place in appended.conflicts:
            detail = "another event with this event_id but other content is stored already"
            rejected.append(Rejection(events[place][0], "id_conflict", detail))
        rejected.sort(key=lambda rejection: rejection.index)
        receipt = Receipt(len(appended.accepted), len(appended.duplicates), rejected, appended.position)
        return Taken(receipt, recalled.outcomes)

    def _complete(self, event: FeedbackEvent, recalled: Recalled, decode: InstanceDecoder) -> FeedbackEvent:
        """The event with an instance and an id of its own, checked against the model's labels and input."""
        if not self._labels.allows(event.label_name):
            raise InvalidEvent("unknown_label", "the label is not one of the configured labels")
        whole, instance = recalled.complete(event)
        decode(instance)
        return whole if whole.event_id else msgspec.structs.replace(whole, event_id=uuid.uuid4().hex)


class FeedbackRoute:
    """Answers the feedback requests of one model: 202 once the accepted events are on disk."""

    def __init__(self, intake: Intake, max_events: int, counts: Counts, spans: Spans) -> None:
        self._intake = intake
        self._max_events = max_events
        self._counts = counts
        self._spans = spans
        # One thread: appends would wait for the log's one writer anyway, and predictions keep the other cores.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="feedback")

    def needs_json(self, _headers: Headers) -> bool:
        """Always."""
        return True

    async def __call__(self, scope: Scope, body: bytes) -> Answer:
        """One request; nothing is stored when none of its events is good."""
        caller = sent_traceparent(value for name, value in scope["headers"] if name == TRACE_HEADER)
        with self._spans.span(f"POST {ROUTE}", caller, kind="SERVER") as span:
            span.note({"http.request.method": "POST", "http.route": ROUTE})
            try:
                answer = await self._answer(body, span)
            except LifelongError as error:
                answer = problem(error)
            span.note({"http.response.status_code": answer.status})
            if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                span.fail(answer.outcome)
            return answer

    def close(self) -> None:
        """Waits for the requests in the thread."""
        self._thread.shutdown()

    async def _answer(self, body: bytes, span: Span) -> Answer:
        loop = asyncio.get_running_loop()
        receipt, joins = await loop.run_in_executor(self._thread, self._accept, body, span.traceparent)
        self._counts.joined(joins)
        facts = {"accepted": receipt.accepted, "duplicates": receipt.duplicates, "rejected": len(receipt.rejected)}
        span.note({f"lifelong.{name}": number for name, number in facts.items()})
        if receipt.accepted or receipt.duplicates:
            return Answer(202, msgspec.json.encode(receipt))
        return _refusal(receipt.rejected)

    def _accept(self, body: bytes, traceparent: str | None) -> Taken:
        request = decoded(_REQUEST, body)
        check_keys(body, FeedbackRequest.__struct_fields__)
        if not request.events:
            raise RequestFault("invalid_request", "$.events: at least one event is needed")
        if len(request.events) > self._max_events:
            raise RequestFault("too_many_events", f"a request may have at most {self._max_events} events")
        return self._intake.accept(request.events, traceparent)


def _sift(
    events: Iterable[tuple[int, Given]], make: Callable[[Given], Made], rejected: list[Rejection]
) -> list[tuple[int, Made]]:
    """Applies a step to each event; those it refuses go to `rejected` under their index."""
    kept: list[tuple[int, Made]] = []
    for index, event in events:
        try:
            kept.append((index, make(event)))
        except LifelongError as error:
            rejected.append(Rejection(index, error.code, error.detail))
    return kept


def _refusal(rejected: Sequence[Rejection]) -> Answer:
    codes = {rejection.error for rejection in rejected}
    code = "id_conflict" if codes == {"id_conflict"} else "no_valid_event"
    fault = RequestFault(code, f"none of the {len(rejected)} events could be accepted; nothing was stored")
    return problem(fault, rejected[:SHOWN_REJECTIONS], max(0, len(rejected) - SHOWN_REJECTIONS))
