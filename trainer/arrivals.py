"""Record → event and encoded instance: reads a whole batch of records, so that small instances are decoded together."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import msgspec

from contracts.decoder import InstanceDecoder
from contracts.errors import InvalidEvent, InvalidInstance
from contracts.events import FeedbackEvent, decode_event, encode_event, told_apart
from contracts.inputs import InputSpec
from contracts.status import JoinOutcome
from feedback.join import Join, Recalled, Recollection, Whole
from feedback.log import Record

Fault = InvalidEvent | InvalidInstance


class Predictions(Recollection, Protocol):
    """Where recent predictions are remembered."""

    def close(self) -> None:
        """Releases the file."""


class Arrival(NamedTuple):
    """A record with its event and its instance as stored, or with what is wrong with either.

    The trace context is the record's alone: neither its body nor the event has one.
    """

    record: Record
    event: FeedbackEvent | Fault
    instance: bytes | Fault

    @property
    def event_id(self) -> str:
        """The event's own id; what other programs wrote without one is named by its place in the log."""
        own = None if isinstance(self.event, Fault) else self.event.event_id
        return own or f"{self.record.partition}:{self.record.offset}"


class Arrived(NamedTuple):
    """A batch of records as read: one arrival for each, and how joining those went that named a prediction."""

    arrivals: list[Arrival]
    joins: Counter[JoinOutcome]


class Reception:
    """Reads records; what is wrong with one says nothing about the others."""

    def __init__(self, spec: InputSpec, predictions: Predictions, takes_task: bool) -> None:
        self._decode = InstanceDecoder(spec)
        self._predictions = predictions
        self._join = Join(predictions, takes_task)

    def read(self, records: Sequence[Record]) -> Arrived:
        """Reads records in order; events that name a known prediction are completed by it."""
        read = [_read(record) for record in records]
        events = [event for _, event in read]
        recalled = self._join.recall(event for event in events if isinstance(event, FeedbackEvent))
        wholes = [_whole(event, recalled) for event in events]
        instances = self._instances([whole.instance if isinstance(whole, Whole) else whole for whole in wholes])
        named = [
            whole.event if isinstance(whole, Whole) else event for event, whole in zip(events, wholes, strict=True)
        ]
        arrivals = [
            Arrival(record, event, instance)
            for (record, _), event, instance in zip(read, named, instances, strict=True)
        ]
        return Arrived(arrivals, recalled.outcomes)

    def close(self) -> None:
        """Releases the prediction log."""
        self._predictions.close()

    def _instances(self, raws: Sequence[msgspec.Raw | Fault]) -> list[bytes | Fault]:
        whole = [raw for raw in raws if isinstance(raw, msgspec.Raw)]
        try:
            rows = iter(self._decode.batch(whole))
        except InvalidInstance:
            return [self._instance(raw) for raw in raws]
        return [next(rows).tobytes() if isinstance(raw, msgspec.Raw) else raw for raw in raws]

    def _instance(self, raw: msgspec.Raw | Fault) -> bytes | Fault:
        if not isinstance(raw, msgspec.Raw):
            return raw
        try:
            return self._decode(raw).tobytes()
        except InvalidInstance as fault:
            return fault


def _read(record: Record) -> tuple[Record, FeedbackEvent | Fault]:
    if record.error is not None or record.body is None:
        return record, InvalidEvent(record.error or "null_value", "the record holds no readable event")
    try:
        event = decode_event(record.body)
    except InvalidEvent as fault:
        return record, fault
    if event.traceparent is None:
        return record, event
    alone, traceparent = told_apart(event, record.traceparent)
    return record._replace(body=encode_event(alone), traceparent=traceparent), alone


def _whole(event: FeedbackEvent | Fault, recalled: Recalled) -> Whole | Fault:
    if not isinstance(event, FeedbackEvent):
        return event
    try:
        return recalled.complete(event)
    except InvalidEvent as fault:
        return fault
