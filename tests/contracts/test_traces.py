"""What counts as a trace context is what W3C's specification says, and everything else is ignored without a word."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import traces
from contracts.errors import InvalidEvent
from contracts.events import FeedbackEvent, decode_event, told_apart
from contracts.traces import is_sampled, known_traceparent, sent_traceparent

pytestmark = pytest.mark.unit
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
WHOLE = f"00-{TRACE}-{SPAN}-01"
OTHER = f"00-{TRACE}-{SPAN[::-1]}-00"


def test_the_example_of_the_function_is_right() -> None:
    found = doctest.testmod(traces)
    assert found.attempted == 2
    assert not found.failed


@pytest.mark.parametrize(
    "value",
    [
        "",
        WHOLE.upper(),
        WHOLE[:-1],
        f"{WHOLE}-",
        f"{WHOLE}-more",
        f"{WHOLE}0",
        f" {WHOLE}",
        f"{WHOLE}\n",
        f"ff-{TRACE}-{SPAN}-01",
        f"0x-{TRACE}-{SPAN}-01",
        f"01-{TRACE}-{SPAN}-01.more",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-0g",
        f"00-{TRACE[:-1]}٣-{SPAN}-01",
        None,
        7,
        [WHOLE],
    ],
)
def test_what_is_malformed_is_none(value: object) -> None:
    assert known_traceparent(value) is None


@pytest.mark.parametrize("value", [WHOLE, f"01-{TRACE}-{SPAN}-01", f"fe-{TRACE}-{SPAN}-01-{'x' * 100_000}"])
def test_what_is_kept_is_of_version_00_and_bounded(value: str) -> None:
    assert known_traceparent(value) == WHOLE


@given(st.text() | st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", fullmatch=True))
def test_no_text_leads_to_anything_else(text: str) -> None:
    known = known_traceparent(text)
    assert known is None or (known == known_traceparent(known) and len(known) == len(WHOLE))


def test_one_header_is_a_context_and_two_are_none() -> None:
    assert sent_traceparent([WHOLE.encode()]) == WHOLE
    assert sent_traceparent([]) is None
    assert sent_traceparent([None]) is None
    assert sent_traceparent([b"\xff"]) is None
    assert sent_traceparent([WHOLE.encode(), WHOLE.encode()]) is None


def test_a_context_says_whether_its_span_was_recorded() -> None:
    assert is_sampled(WHOLE)
    assert is_sampled(f"{WHOLE[:-2]}03")
    assert not is_sampled(OTHER)


def test_an_event_is_told_apart_from_what_it_came_with() -> None:
    event = FeedbackEvent(label="cat", event_id="e", prediction_id="p.0")
    assert told_apart(event, OTHER) == (event, OTHER)
    own = FeedbackEvent(label="cat", event_id="e", prediction_id="p.0", traceparent=WHOLE)
    assert told_apart(own, OTHER) == (event, WHOLE)
    odd = FeedbackEvent(label="cat", event_id="e", prediction_id="p.0", traceparent="odd")
    assert told_apart(odd, OTHER) == (event, OTHER)
    assert told_apart(odd, None) == (event, None)


def test_an_event_names_its_context_once() -> None:
    with pytest.raises(InvalidEvent, match="names one key twice"):
        decode_event(b'{"label":"a","instance":1,"traceparent":"odd","traceparent":"odd"}')
