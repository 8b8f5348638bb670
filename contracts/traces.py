"""W3C Trace Context: which request of which trace a thing came with, as the 55 characters of a `traceparent`."""

import re
from collections.abc import Iterable

TRACEPARENT = "traceparent"
"""The name of the HTTP header, of the Kafka header, of the CloudEvents attribute and of an event's own member."""
LENGTH = 55
"""Of version 00; a later version may go on after another hyphen, with what is not understood here."""
_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2})")
_INVALID_VERSION = "ff"
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16


def known_traceparent(value: object) -> str | None:
    """The context as version 00 writes it; None for anything that receivers are to ignore, whatever it is.

    W3C, *Trace Context*, 2021, section 3.2.

    >>> known_traceparent("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-comes-later")
    '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
    >>> known_traceparent("00-00000000000000000000000000000000-b7ad6b7169203331-01") is None
    True
    """
    if not isinstance(value, str):
        return None
    form = _FORM.fullmatch(value[:LENGTH])
    if form is None or form[1] == _INVALID_VERSION or not _may_end(form[1], value):
        return None
    trace, span, _ = form[2].split("-")
    return None if trace == _NO_TRACE or span == _NO_SPAN else f"00-{form[2]}"


def sent_traceparent(values: Iterable[bytes | None]) -> str | None:
    """The context in all the values of the header of that name; two of them are none."""
    found = list(values)
    return known_traceparent(found[0].decode("latin-1")) if len(found) == 1 and found[0] else None


def is_sampled(traceparent: str) -> bool:
    """Whether the sender recorded the span that it names."""
    return bool(int(traceparent[-2:], 16) & 1)


def _may_end(version: str, value: str) -> bool:
    return len(value) == LENGTH or (version != "00" and value[LENGTH] == "-")
