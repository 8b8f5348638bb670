"""What a Kafka message is to the rest of the house: a record with the JSON of one event, or with the reason why not."""

from typing import Any

from contracts.errors import InvalidEvent
from feedback.cloudevents import unwrap
from feedback.log import Original, Record

POSITION_HEADER = "outbox-position"
"""Header that the forwarder adds: the position in the outbox that the REST answer named.

With a null value it stands for an event that the broker would not take, so that its position is accounted for."""


def to_record(message: Any) -> Record:
    """Reads a `ConsumerRecord` of kafka-python; only CloudEvents are decoded here."""
    value, headers = message.value, message.headers
    position: int | None = None
    body: bytes | None = value
    error: str | None = None
    if len(headers) == 1 and headers[0][0] == POSITION_HEADER:
        position = _position(headers[0][1])
        error = "refused_by_kafka" if value is None else None
    else:
        try:
            body = unwrap(value, headers)
        except InvalidEvent as invalid:
            body, error = None, invalid.code
    original = Original(message.key, value, headers)
    return Record(message.partition, message.offset, position, message.timestamp / 1000, body, error, original)


def _position(header: bytes | None) -> int | None:
    return int(header) if header is not None and header.isdigit() and len(header) < 20 else None
