"""Record → event and encoded instance: reads a whole batch of records, so that small instances are decoded together."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import msgspec

from contracts.errors import InvalidEvent, InvalidInstance
from contracts.events import FeedbackEvent, decode_event
from contracts.inputs import InputSpec, InstanceDecoder
from feedback.log import Record

Fault = InvalidEvent | InvalidInstance
Raw = bytes | msgspec.Raw


class Predictions(Protocol):
    """Where the instance of a prediction can still be found."""

    def find(self, prediction_ids: Sequence[str], wait_seconds: float) -> dict[str, bytes]:
        """JSON of the instances of those predictions that are still known."""

    def close(self) -> None:
        """Releases the file."""


class Arrival(NamedTuple):
    """A record with its event and its instance as stored, or with what is wrong with either."""

    record: Record
    event: FeedbackEvent | Fault
    instance: bytes | Fault

    @property
    def event_id(self) -> str:
        """The event's own id; what other programs wrote without one is named by its place in the log."""
        own = None if isinstance(self.event, Fault) else self.event.event_id
        return own or f"{self.record.partition}:{self.record.offset}"


class Reception:
    """Reads records; what is wrong with one says nothing about the others."""

    def __init__(self, spec: InputSpec, predictions: Predictions) -> None:
        self._decode = InstanceDecoder(spec)
        self._predictions = predictions

    def read(self, records: Sequence[Record]) -> list[Arrival]:
        """Returns one arrival for each record, in order."""
        events = [_event(record) for record in records]
        instances = self._instances(self._raws(events))
        return [Arrival(*arrival) for arrival in zip(records, events, instances, strict=True)]

    def close(self) -> None:
        """Releases the prediction log."""
        self._predictions.close()

    def _raws(self, events: Sequence[FeedbackEvent | Fault]) -> list[Raw | Fault]:
        """Each event's instance as JSON: its own, or that of the prediction it names."""
        whole = [event for event in events if isinstance(event, FeedbackEvent)]
        wanted = [event.prediction_id or "" for event in whole if event.instance is msgspec.UNSET]
        known = self._predictions.find(wanted, wait_seconds=0.0) if wanted else {}
        return [_raw(event, known) for event in events]

    def _instances(self, raws: Sequence[Raw | Fault]) -> list[bytes | Fault]:
        whole = [raw for raw in raws if isinstance(raw, Raw)]
        try:
            rows = iter(self._decode.batch(whole))
        except InvalidInstance:
            return [self._instance(raw) for raw in raws]
        return [next(rows).tobytes() if isinstance(raw, Raw) else raw for raw in raws]

    def _instance(self, raw: Raw | Fault) -> bytes | Fault:
        if not isinstance(raw, Raw):
            return raw
        try:
            return self._decode(raw).tobytes()
        except InvalidInstance as fault:
            return fault


def _event(record: Record) -> FeedbackEvent | Fault:
    if record.error is not None or record.body is None:
        return InvalidEvent(record.error or "null_value", "the record holds no readable event")
    try:
        return decode_event(record.body)
    except InvalidEvent as fault:
        return fault


def _raw(event: FeedbackEvent | Fault, known: dict[str, bytes]) -> Raw | Fault:
    if not isinstance(event, FeedbackEvent):
        return event
    if not isinstance(event.instance, msgspec.UnsetType):
        return event.instance
    joined = known.get(event.prediction_id or "")
    return joined or InvalidEvent("unknown_prediction", "the prediction is not in the log, or no longer")
