"""Which labels, tasks and ids an event may carry: the words that become outputs, routes and keys."""

from typing import Any

import msgspec
import pytest

from contracts.errors import InvalidEvent
from contracts.events import decode_event

pytestmark = pytest.mark.unit
WHOLE = {"label": "cat", "instance": [1], "event_id": "e-1", "task": "pets", "subject": "Ada"}


def decoded(**changes: Any) -> Any:
    """A whole event with some of its members replaced, read from its JSON."""
    return decode_event(msgspec.json.encode(WHOLE | changes))


@pytest.mark.parametrize("member", ["label", "event_id", "task", "subject"])
@pytest.mark.parametrize("ending", ["\n", "\r", "\x00", "\x7f"])
def test_no_word_ends_with_a_control_character(member: str, ending: str) -> None:
    with pytest.raises(InvalidEvent, match=rf"^\$\.{member}: "):
        decoded(**{member: f"{WHOLE[member]}{ending}"})


@pytest.mark.parametrize("number", [0, -(2**63), 2**63 - 1])
def test_a_whole_number_of_64_bits_is_a_label(number: int) -> None:
    assert decoded(label=number).label_name == str(number)


@pytest.mark.parametrize("digits", ["9223372036854775808", "-9223372036854775809", "9" * 4000, "9" * 5000])
def test_a_larger_number_is_none(digits: str) -> None:
    with pytest.raises(InvalidEvent, match=r"^\$\.label: "):
        decode_event(b'{"label":%s,"instance":[1]}' % digits.encode())
