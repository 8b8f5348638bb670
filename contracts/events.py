"""The feedback event: the one JSON form used over REST, in the log and on Kafka."""

import re
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Annotated

import msgspec

from contracts.errors import InvalidEvent
from contracts.keys import has_duplicates
from contracts.names import PLAIN_NAME, SIMPLE_NAME
from contracts.traces import known_traceparent

EVENT_TYPE = "lifelong.feedback.v1"
# These are read by Python's `re`, where `$` would let a trailing line break pass.
TASK_PATTERN = rf"^{SIMPLE_NAME}\Z"
IDENTIFIER_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}\Z"
NAME_PATTERN = rf"^{PLAIN_NAME}\Z"
DEFAULT_TASK = "default"

TaskName = Annotated[str, msgspec.Meta(pattern=TASK_PATTERN)]
Identifier = Annotated[str, msgspec.Meta(pattern=IDENTIFIER_PATTERN)]
Name = Annotated[str, msgspec.Meta(pattern=NAME_PATTERN)]

WholeNumber = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class FeedbackEvent(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True, kw_only=True):
    """One labelled feedback record.

    It carries its own `instance`, or the `prediction_id` of an answer whose instance is still in the prediction log.
    `instance` stays undecoded here: only the model's input specification can read it. `traceparent` is no part of what
    the event says: `told_apart` takes it out.
    """

    label: Name | WholeNumber
    event_id: Identifier | None = None
    prediction_id: Identifier | None = None
    instance: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    task: TaskName | None = None
    subject: Name | None = None
    time: datetime | None = None
    traceparent: str | None = None

    @property
    def label_name(self) -> str:
        """The label as a string; whole numbers are accepted on the wire and become strings."""
        return str(self.label)


_DECODER = msgspec.json.Decoder(FeedbackEvent)
_USUAL_KEYS = tuple(name for name in FeedbackEvent.__struct_fields__ if name != "traceparent")
"""Those that every event is searched for, each of which takes a tenth of the time that reading it does."""
_PLACE = re.compile(r"at `(\$[^`]*)`")


def decode_event(body: bytes | msgspec.Raw) -> FeedbackEvent:
    """Decodes and validates the JSON of one event; the instance itself is checked by the model's input decoder.

    Raises:
        InvalidEvent: `malformed_json`, `duplicate_key`, or `invalid_event` with the place of the first fault, never its
            value.
    """
    try:
        event = _DECODER.decode(body)
    except msgspec.ValidationError as error:
        raise InvalidEvent("invalid_event", explain(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidEvent("malformed_json", "the event is not valid JSON") from None
    _require_unique_keys(bytes(body), _USUAL_KEYS if event.traceparent is None else FeedbackEvent.__struct_fields__)
    if event.prediction_id is None and event.instance is msgspec.UNSET:
        raise InvalidEvent("invalid_event", "an event needs a prediction_id or an instance")
    return event


def _require_unique_keys(body: bytes, keys: Sequence[str]) -> None:
    try:
        if has_duplicates(body, keys):
            raise InvalidEvent("duplicate_key", "the event names one key twice")
    except (ValueError, RecursionError):
        raise InvalidEvent("malformed_json", "the event is not valid JSON") from None


class _Subject(msgspec.Struct, frozen=True):
    subject: str | None = None


_SUBJECT_DECODER = msgspec.json.Decoder(_Subject)


def subject_of(body: bytes, subjects: Collection[str]) -> str | None:
    """Which of these subjects an event is of, be it invalid; where it cannot be read, whose name is quoted in it."""
    try:
        named = _SUBJECT_DECODER.decode(body).subject
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return next((subject for subject in subjects if msgspec.json.encode(subject) in body), None)
    return named if named in subjects else None


def told_apart(event: FeedbackEvent, sent: str | None) -> tuple[FeedbackEvent, str | None]:
    """The event alone, and the trace context it came with: its own or, where that is none, the one `sent` beside it.

    So an event that is sent again, in another trace as every attempt may be, is the same event.
    """
    if event.traceparent is None:
        return event, sent
    return msgspec.structs.replace(event, traceparent=None), known_traceparent(event.traceparent) or sent


def encode_event(event: FeedbackEvent) -> bytes:
    """Encodes an event as the JSON that `decode_event` reads back unchanged."""
    return msgspec.json.encode(event)


def explain(error: msgspec.ValidationError) -> str:
    """Turns a msgspec error into a sentence that names the place and the expectation but repeats no input."""
    text = str(error)
    place = _PLACE.search(text)
    where = place.group(1) if place else "$"
    if "unknown field" in text:
        return f"{where}: unknown field"
    if "missing required field" in text:
        return f"{where}: {text.split(' - ', maxsplit=1)[0]}"
    if "matching regex" in text or text.startswith(("Expected", "Invalid")):
        return f"{where}: {text.split(' - ', maxsplit=1)[0]}"
    return f"{where}: not a valid value"
