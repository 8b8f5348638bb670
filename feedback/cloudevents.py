"""CloudEvents 1.0 over Kafka, binary and structured mode, beside the bare JSON of one feedback event."""

import base64
import binascii
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from contracts.errors import InvalidEvent
from contracts.events import EVENT_TYPE, decode_event, encode_event
from contracts.traces import known_traceparent

PREFIX = "ce_"
CONTENT_TYPE = "content-type"
STRUCTURED = "application/cloudevents+json"
MEDIA_FAMILY = "application/cloudevents"
Headers = Sequence[tuple[str, bytes | None]]


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """The context attributes that matter here; other attributes and extensions are allowed and not looked at.

    `traceparent` is that of the extension for distributed tracing.
    """

    specversion: str
    type: str
    id: str
    source: str
    time: datetime | None = None
    traceparent: Any = None
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    data_base64: str | msgspec.UnsetType = msgspec.UNSET


_STRUCTURED_DECODER = msgspec.json.Decoder(Envelope)


def unwrap(value: bytes | None, headers: Headers) -> bytes:
    """The JSON of the feedback event in a Kafka record: the value itself, or a CloudEvent's data under its `id`.

    The envelope's `id` becomes the event id, and its `time` and `traceparent` the event's where that has none. Bare
    JSON is returned unread; a CloudEvent's data is validated.

    Raises:
        InvalidEvent: `empty_record`, `invalid_envelope`, `unknown_event_type`, or what `decode_event` finds.
    """
    if value is None:
        raise InvalidEvent("empty_record", "the record has no value")
    if not headers:
        return value
    named = {name.lower(): content or b"" for name, content in headers}
    content_type = named.get(CONTENT_TYPE, b"").decode("latin-1").split(";")[0].strip().lower()
    if content_type.startswith(MEDIA_FAMILY):
        return _unwrap_structured(value, content_type)
    if PREFIX + "specversion" in named:
        return _rebuild(_binary(named), value)
    return value


def _binary(named: dict[str, bytes]) -> Envelope:
    try:
        attributes = {
            name.removeprefix(PREFIX): content.decode() for name, content in named.items() if name.startswith(PREFIX)
        }
        return msgspec.convert(attributes, Envelope)
    except (msgspec.ValidationError, UnicodeDecodeError):
        raise InvalidEvent("invalid_envelope", "a ce_ header is missing or is not text") from None


def _unwrap_structured(value: bytes, content_type: str) -> bytes:
    if content_type != STRUCTURED:
        raise InvalidEvent("invalid_envelope", f"a structured CloudEvent must be {STRUCTURED}")
    try:
        envelope = _STRUCTURED_DECODER.decode(value)
        if isinstance(envelope.data_base64, str):
            return _rebuild(envelope, base64.b64decode(envelope.data_base64, validate=True))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, binascii.Error):
        raise InvalidEvent("invalid_envelope", "the value is not a CloudEvent in JSON") from None
    if isinstance(envelope.data, msgspec.UnsetType):
        raise InvalidEvent("invalid_envelope", "the CloudEvent has no data")
    return _rebuild(envelope, bytes(envelope.data))


def _rebuild(envelope: Envelope, data: bytes) -> bytes:
    if envelope.specversion != "1.0":
        raise InvalidEvent("invalid_envelope", "a CloudEvent must have specversion 1.0")
    if envelope.type != EVENT_TYPE:
        raise InvalidEvent("unknown_event_type", f"a feedback event must have the type {EVENT_TYPE}")
    event = decode_event(data)
    if event.event_id not in {None, envelope.id}:
        raise InvalidEvent("invalid_envelope", "the event_id in the data is not the id of the CloudEvent")
    traceparent = known_traceparent(event.traceparent) or known_traceparent(envelope.traceparent)
    changes: dict[str, object] = {"event_id": envelope.id, "traceparent": traceparent}
    if event.time is None and envelope.time is not None:
        changes["time"] = envelope.time
    whole = msgspec.structs.replace(event, **changes)
    return encode_event(whole)
