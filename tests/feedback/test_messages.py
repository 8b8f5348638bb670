"""What a Kafka message is read as, by its headers alone."""

from types import SimpleNamespace

import pytest

from contracts.events import EVENT_TYPE, decode_event
from feedback.messages import position_header, to_record

pytestmark = pytest.mark.unit
CONTEXT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE = ("traceparent", CONTEXT.encode())
OTHER = ("traceparent", CONTEXT.replace("7", "8").encode())
POSITION = position_header("mine", 7)
BODY = b'{"label":"a","instance":[1]}'
Header = tuple[str, bytes | None]


def message(*headers: Header, value: bytes | None = BODY) -> SimpleNamespace:
    """A `ConsumerRecord`, as far as it is looked at."""
    return SimpleNamespace(partition=0, offset=3, timestamp=1000, key=None, value=value, headers=list(headers))


@pytest.mark.parametrize(
    ("headers", "position", "traceparent"),
    [
        ([], None, None),
        ([POSITION], 7, None),
        ([POSITION, TRACE], 7, CONTEXT),
        ([TRACE], None, CONTEXT),
        ([("x", b"1"), TRACE], None, CONTEXT),
        ([POSITION, ("x", b"1")], 7, None),
        ([TRACE, OTHER], None, None),
        ([("traceparent", b"odd")], None, None),
        ([("traceparent", None)], None, None),
        ([POSITION, ("traceparent", b"\xff" * 1000)], 7, None),
    ],
)
def test_position_and_context_come_from_the_headers_and_the_body_stays_as_it_is(
    headers: list[Header], position: int | None, traceparent: str | None
) -> None:
    record = to_record(message(*headers), "mine")
    assert (record.position, record.traceparent) == (position, traceparent)
    assert (record.body, record.error) == (BODY, None)


def test_what_the_broker_refused_is_still_accounted_for_with_a_context() -> None:
    record = to_record(message(POSITION, TRACE, value=None), "mine")
    assert (record.position, record.error) == (7, "refused_by_kafka")


def test_the_context_of_a_cloudevent_goes_before_that_of_the_message() -> None:
    attributes = {"specversion": "1.0", "type": EVENT_TYPE, "source": "/shop", "id": "e", "traceparent": CONTEXT}
    headers: list[Header] = [(f"ce_{name}", value.encode()) for name, value in attributes.items()]
    record = to_record(message(*headers, OTHER), "mine")
    assert record.traceparent == OTHER[1].decode()
    assert decode_event(record.body or b"").traceparent == CONTEXT
