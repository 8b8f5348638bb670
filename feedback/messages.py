"""What a Kafka message is to the rest of the house: a record with the JSON of one event, or with the reason why not."""

from typing import Any

from contracts.errors import InvalidEvent
from contracts.traces import TRACEPARENT, sent_traceparent
from feedback.cloudevents import unwrap
from feedback.log import Original, Record

POSITION_HEADER = "outbox-position"
"""Header that the forwarder adds: the outbox's identity and the position in it that the REST answer named.

It comes first; others may follow, of this release or of a later one. With a null value it stands for an event that the
broker would not take, so that its position is accounted for."""


def position_header(outbox: str, position: int | None) -> tuple[str, bytes]:
    """The header of an event forwarded from an outbox."""
    return POSITION_HEADER, f"{outbox}:{position}".encode()


def to_record(message: Any, outbox: str) -> Record:
    """Reads a `ConsumerRecord` of kafka-python; only CloudEvents are decoded here.

    Positions count for one outbox: those of another, of an earlier state or another machine, are left out.
    """
    value, headers = message.value, message.headers
    position: int | None = None
    body: bytes | None = value
    error: str | None = None
    traceparent = sent_traceparent(content for name, content in headers if name == TRACEPARENT) if headers else None
    if headers and headers[0][0] == POSITION_HEADER:
        position = _position(headers[0][1], outbox)
        error = "refused_by_kafka" if value is None else None
    else:
        try:
            body = unwrap(value, headers)
        except InvalidEvent as invalid:
            body, error = None, invalid.code
    original = Original(message.key, value, headers)
    at = message.timestamp / 1000
    return Record(message.partition, message.offset, position, at, body, error, original, traceparent)


def _position(header: bytes | None, outbox: str) -> int | None:
    name, _, digits = (header or b"").rpartition(b":")
    return int(digits) if name == outbox.encode() and digits.isdigit() and len(digits) < 20 else None
