"""Streams, line by line: NDJSON out and in, server-sent events in. Bytes come from whoever reads them."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from contracts.answers import RefusedLine, StreamedPrediction
from lifelong.client.arguments import as_json

BUNCH_BYTES = 128 << 10
BUNCH_LINES = 500
"""One request of a stream. An HTTP/1.1 client reads no answer before its request is sent: were a request, or what it is
answered with, larger than what lies between both sides, they would wait for each other for ever."""
RETRY_SECONDS = 1.0
MAX_RETRY_SECONDS = 30.0


class Lines:
    """Cuts bytes into lines at line feeds alone: a JSON string may hold any other character that ends lines."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that are whole now, without their ends."""
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        return [line.removesuffix(b"\r") for line in whole]


class EventReader:
    """Reads server-sent events (WHATWG, *HTML*, section 9.2) out of one connection after the other.

    `last_id` is what the next connection goes on after, `retry_seconds` how long the service wants it to wait.
    """

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id
        self.retry_seconds = RETRY_SECONDS
        self.disconnected()

    def disconnected(self) -> None:
        """Forgets the event that is not whole."""
        self._lines = Lines()
        self._id = self.last_id
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The data of each event that is whole now."""
        for line in self._lines.feed(chunk):
            if line:
                self._note(line)
            elif self._data or self._id != self.last_id:
                data, self._data, self.last_id = self._data, [], self._id
                if data:
                    yield b"\n".join(data)

    def _note(self, line: bytes) -> None:
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
        elif field == b"id" and value.isascii() and value.isalnum():
            self._id = value.decode()
        elif field == b"retry" and value.isdigit() and len(value) < 10:
            self.retry_seconds = min(int(value) / 1000, MAX_RETRY_SECONDS)


class Bunch(NamedTuple):
    """The lines of one request."""

    content: bytes
    n_lines: int


class Bunching:
    """Gathers instances into bunches of at most `BUNCH_LINES` and, unless one alone is larger, `BUNCH_BYTES`."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self._size = 0

    def add(self, instance: Any) -> Bunch | None:
        """Takes an instance; the bunch before it, if that is full.

        Raises:
            InvalidArgument: `not_json`.
        """
        line = as_json(instance) + b"\n"
        is_full = len(self._lines) == BUNCH_LINES or self._size + len(line) > BUNCH_BYTES
        full = self.rest() if is_full else None
        self._lines.append(line)
        self._size += len(line)
        return full

    def rest(self) -> Bunch | None:
        """What was taken since the last bunch, if anything was."""
        lines, self._lines, self._size = self._lines, [], 0
        return Bunch(b"".join(lines), len(lines)) if lines else None


def bunches(instances: Iterable[Any]) -> Iterator[Bunch]:
    """The instances in requests' worth, read no further ahead than the next request.

    Raises:
        InvalidArgument: `not_json`.
    """
    bunching = Bunching()
    for instance in instances:
        if (bunch := bunching.add(instance)) is not None:
            yield bunch
    if (bunch := bunching.rest()) is not None:
        yield bunch


class _Line(msgspec.Struct):
    error: str | None = None


_LINE = msgspec.json.Decoder(_Line)
_PREDICTION = msgspec.json.Decoder(StreamedPrediction)
_REFUSED = msgspec.json.Decoder(RefusedLine)


def read_line(line: bytes) -> StreamedPrediction | RefusedLine:
    """One line of a stream's answer.

    Raises:
        msgspec.MsgspecError: it is neither.
    """
    return _PREDICTION.decode(line) if _LINE.decode(line).error is None else _REFUSED.decode(line)
