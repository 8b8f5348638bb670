"""CloudEvents in binary and structured mode carry the same event as bare JSON."""

import base64
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import InvalidEvent
from contracts.events import EVENT_TYPE, decode_event
from feedback.cloudevents import unwrap

pytestmark = pytest.mark.unit
ATTRIBUTES = {"specversion": "1.0", "type": EVENT_TYPE, "source": "/shop", "id": "order-1"}
DATA = b'{"label":"seven","instance":[0.25, 1e-3]}'
CONTEXT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
STRUCTURED = [("content-type", b"application/cloudevents+json; charset=UTF-8")]


def binary(**changes: str | None) -> list[tuple[str, bytes | None]]:
    """Headers of a CloudEvent in binary mode; None leaves an attribute out."""
    attributes = {**ATTRIBUTES, **changes}
    named = [(f"ce_{name}", value.encode()) for name, value in attributes.items() if value is not None]
    return [("content-type", b"application/json"), *named]


def structured(**changes: Any) -> bytes:
    """The value of a CloudEvent in structured mode."""
    whole: dict[str, Any] = {**ATTRIBUTES, "data": msgspec.Raw(DATA), **changes}
    return msgspec.json.encode({name: value for name, value in whole.items() if value is not None})


def test_bare_json_is_returned_unread() -> None:
    assert unwrap(b"anything", []) == b"anything"
    assert unwrap(b"anything", [("trace", b"1"), ("content-type", b"application/json")]) == b"anything"


def test_both_modes_give_the_event_under_the_envelopes_id() -> None:
    encoded = base64.b64encode(DATA).decode()
    for body in (
        unwrap(DATA, binary()),
        unwrap(structured(), STRUCTURED),
        unwrap(structured(data=None, data_base64=encoded), STRUCTURED),
    ):
        event = decode_event(body)
        assert (event.event_id, event.label_name) == ("order-1", "seven")
        assert bytes(event.instance) == b"[0.25, 1e-3]"  # type: ignore[arg-type]


def test_time_comes_from_the_envelope_where_the_event_has_none() -> None:
    moment = "2026-01-02T03:04:05Z"
    event = decode_event(unwrap(DATA, binary(time=moment)))
    assert event.time is not None
    assert event.time.isoformat() == "2026-01-02T03:04:05+00:00"
    own = b'{"label":"a","instance":1,"time":"2020-01-01T00:00:00Z"}'
    kept = decode_event(unwrap(own, binary(time=moment)))
    assert kept.time is not None
    assert kept.time.year == 2020


def test_extensions_and_header_case_do_not_matter() -> None:
    headers = [(name.upper(), value) for name, value in binary(traceparent="00-1")]
    assert decode_event(unwrap(DATA, headers)).event_id == "order-1"
    assert decode_event(unwrap(structured(partitionkey="x"), STRUCTURED)).event_id == "order-1"


@pytest.mark.parametrize(
    ("own", "attribute", "expected"),
    [
        (None, CONTEXT, CONTEXT),
        (CONTEXT, CONTEXT.replace("7", "8"), CONTEXT),
        ("odd", CONTEXT, CONTEXT),
        (None, "odd", None),
        ("odd", None, None),
    ],
)
def test_the_trace_context_comes_from_the_extension_where_the_event_has_none(
    own: str | None, attribute: str | None, expected: str | None
) -> None:
    fields = {"label": "seven", "instance": 1} | ({"traceparent": own} if own else {})
    data = msgspec.json.encode(fields)
    for body in (
        unwrap(data, binary(traceparent=attribute)),
        unwrap(structured(data=msgspec.Raw(data), traceparent=attribute), STRUCTURED),
    ):
        assert decode_event(body).traceparent == expected
    assert decode_event(unwrap(structured(traceparent=7), STRUCTURED)).traceparent is None


@pytest.mark.parametrize(
    ("value", "headers", "code"),
    [
        (None, [], "empty_record"),
        (DATA, binary(id=None), "invalid_envelope"),
        (DATA, binary(specversion="0.3"), "invalid_envelope"),
        (DATA, binary(type="order.created"), "unknown_event_type"),
        (DATA, [*binary(), ("ce_extra", b"\xff")], "invalid_envelope"),
        (DATA, binary(time="yesterday"), "invalid_envelope"),
        (b"{", binary(), "malformed_json"),
        (b'{"label":"a"}', binary(), "invalid_event"),
        (b'{"label":"a","instance":1,"event_id":"other"}', binary(), "invalid_envelope"),
        (b"\xff\xfe", STRUCTURED, "invalid_envelope"),
        (b"[" * 100_000, STRUCTURED, "invalid_envelope"),
        (structured(data=None), STRUCTURED, "invalid_envelope"),
        (structured(data=None, data_base64="***"), STRUCTURED, "invalid_envelope"),
        (structured(source=None), STRUCTURED, "invalid_envelope"),
        (b"[]", [("content-type", b"application/cloudevents-batch+json")], "invalid_envelope"),
    ],
)
def test_what_cannot_be_read_is_named(value: bytes | None, headers: list[tuple[str, bytes | None]], code: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        unwrap(value, headers)
    assert caught.value.code == code


@given(
    value=st.one_of(st.none(), st.binary(max_size=200), st.just(structured())),
    headers=st.lists(
        st.tuples(
            st.sampled_from(["content-type", "ce_id", "ce_type", "ce_specversion", "ce_source", "ce_time", "x"]),
            st.one_of(
                st.none(),
                st.binary(max_size=30),
                st.sampled_from([b"1.0", EVENT_TYPE.encode(), b"application/cloudevents+json"]),
            ),
        ),
        max_size=8,
    ),
)
def test_no_bytes_lead_to_another_error(value: bytes | None, headers: list[tuple[str, bytes | None]]) -> None:
    try:
        body = unwrap(value, headers)
    except InvalidEvent:
        return
    assert isinstance(body, bytes)
