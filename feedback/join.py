"""Joins feedback with the predictions it names: one reading of prediction ids for all who need them."""

import io
import itertools
import secrets
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec
from numpy.lib.format import MAGIC_PREFIX, read_array, write_array
from numpy.typing import NDArray

from contracts.errors import InvalidEvent
from contracts.events import FeedbackEvent
from contracts.status import JoinOutcome

MAX_DIGITS = 9
"""Of a place in a request; longer ones are nobody's."""
FLUSHED_SECONDS = 0.2
"""Age at which every answered request is on disk, ten times what that takes; younger ones are worth waiting for."""


class Recollection(Protocol):
    """Where the bodies of recent predict requests are remembered by the key of the request."""

    def find(self, keys: Sequence[str], wait_seconds: float) -> Mapping[str, bytes]:
        """The bodies that are known, after up to `wait_seconds` for those just answered."""
        ...


class _Request(msgspec.Struct):
    """A predict request as it was remembered, its instances undecoded."""

    instances: list[msgspec.Raw]
    task: str | None = None


class _Rows(NamedTuple):
    """A request whose instances came as an array of numbers."""

    instances: "_Numbers"
    task: str | None


_REQUEST = msgspec.json.Decoder(_Request)
_TASK = msgspec.json.Decoder(str | None)


class _Place(NamedTuple):
    key: str
    row: int


class Whole(NamedTuple):
    """An event that has its instance."""

    event: FeedbackEvent
    instance: msgspec.Raw


class RequestKeys:
    """Names requests, differently in every process; a name tells when it was given, so that all know its age."""

    def __init__(self) -> None:
        self._prefix = secrets.token_hex(6)
        self._numbers = itertools.count(1)

    def issue(self) -> str:
        """The key of a request that is about to be recorded."""
        return f"{self._prefix}-{next(self._numbers)}-{time.time_ns() // 1_000_000:x}"


def prediction_id(key: str, index: int) -> str:
    """Names one answer: the key of its request, under which the body is remembered, and its place in it."""
    return f"{key}.{index}"


def encode_rows(rows: NDArray[Any], task: str | None) -> bytes:
    """What to remember of a request whose instances came as rows of numbers `(n, *row_shape)`: as small as they are."""
    content = io.BytesIO()
    write_array(content, rows, allow_pickle=False)
    return content.getvalue() + msgspec.json.encode(task)


def instances_of(body: bytes) -> Sequence[msgspec.Raw]:
    """The instances of a remembered request, each as JSON."""
    return _decoded(body).instances


class Recalled:
    """The requests that a batch of events names, as far as they are known.

    `outcomes` counts the events that were to be completed by one.
    """

    def __init__(self, requests: Mapping[str, _Request | _Rows], takes_task: bool) -> None:
        self.outcomes: Counter[JoinOutcome] = Counter()
        self._requests = requests
        self._takes_task = takes_task

    def complete(self, event: FeedbackEvent) -> Whole:
        """The event with an instance: its own, or that of the prediction it names, and then perhaps its task too.

        Raises:
            InvalidEvent: `unknown_prediction`.
        """
        if isinstance(event.instance, msgspec.Raw):
            return Whole(event, event.instance)
        place = _place(event)
        request = self._requests.get(place.key) if place else None
        if place is None or request is None or place.row >= len(request.instances):
            self.outcomes["unknown"] += 1
            raise InvalidEvent("unknown_prediction", "no prediction of this id is remembered; send the instance itself")
        self.outcomes["joined"] += 1
        task = request.task if self._takes_task and event.task is None else event.task
        instance = request.instances[place.row]
        return Whole(msgspec.structs.replace(event, instance=instance, task=task), instance)


class Join:
    """Finds what events without an instance were predicted on; `takes_task` where a prediction's task is a label's."""

    def __init__(self, recollection: Recollection, takes_task: bool) -> None:
        self._recollection = recollection
        self._takes_task = takes_task

    def recall(self, events: Iterable[FeedbackEvent]) -> Recalled:
        """Looks all of them up at once, and again until they are found or 0.2 s old if they were just answered.

        Raises:
            FeedbackUnavailable: the predictions cannot be read.
        """
        places = (_place(event) for event in events if event.instance is msgspec.UNSET)
        keys = sorted({place.key for place in places if place is not None})
        bodies = dict(self._recollection.find(keys, 0.0)) if keys else {}
        waits = {key: _wait_seconds(key) for key in keys if key not in bodies}
        if young := [key for key, seconds in waits.items() if seconds > 0.0]:
            bodies |= self._recollection.find(young, max(waits.values()))
        return Recalled({key: _decoded(body) for key, body in bodies.items()}, self._takes_task)


class _Numbers(Sequence[msgspec.Raw]):
    """Rows of numbers as JSON instances, each made when it is asked for."""

    def __init__(self, rows: NDArray[Any]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        return msgspec.Raw(msgspec.json.encode(self._rows[index].tolist()))


def _decoded(body: bytes) -> _Request | _Rows:
    if not body.startswith(MAGIC_PREFIX):
        return _REQUEST.decode(body)
    content = io.BytesIO(body)
    rows = read_array(content, allow_pickle=False)
    return _Rows(_Numbers(rows), _TASK.decode(content.read()))


def _wait_seconds(key: str) -> float:
    """How long the request may still be on its way to the disk; 0 if it is too old, or nobody's."""
    try:
        age = time.time() - int(key.rpartition("-")[2], 16) / 1000
    except ValueError:
        return 0.0
    return FLUSHED_SECONDS - abs(age) if abs(age) < FLUSHED_SECONDS else 0.0


def _place(event: FeedbackEvent) -> _Place | None:
    """What the event's prediction id names; None if it cannot be one of ours."""
    key, _, index = (event.prediction_id or "").rpartition(".")
    if not key or not index.isascii() or not index.isdigit() or len(index) > MAX_DIGITS:
        return None
    return _Place(key, int(index))
