"""Joins feedback with the predictions it names: one reading of prediction ids for all who need them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from contracts.errors import InvalidEvent
from contracts.events import FeedbackEvent

MAX_DIGITS = 9
"""Of a place in a request; longer ones are nobody's."""


class Recollection(Protocol):
    """Where the bodies of recent predict requests are remembered by the key of the request."""

    def find(self, keys: Sequence[str], wait_seconds: float) -> Mapping[str, bytes]:
        """The bodies that are known, after up to `wait_seconds` for those just answered."""
        ...


class _Request(msgspec.Struct):
    """A predict request as it was remembered, its instances undecoded."""

    instances: list[msgspec.Raw]
    task: str | None = None


_REQUEST = msgspec.json.Decoder(_Request)


class _Place(NamedTuple):
    key: str
    row: int


class Whole(NamedTuple):
    """An event that has its instance."""

    event: FeedbackEvent
    instance: msgspec.Raw


def prediction_id(key: str, index: int) -> str:
    """Names one answer: the key of its request, under which the body is remembered, and its place in it."""
    return f"{key}.{index}"


class Recalled:
    """The requests that a batch of events names, as far as they are known."""

    def __init__(self, requests: Mapping[str, _Request], takes_task: bool) -> None:
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
            raise InvalidEvent("unknown_prediction", "no prediction of this id is remembered; send the instance itself")
        task = request.task if self._takes_task and event.task is None else event.task
        instance = request.instances[place.row]
        return Whole(msgspec.structs.replace(event, instance=instance, task=task), instance)


class Join:
    """Finds what events without an instance were predicted on; `takes_task` where a prediction's task is a label's."""

    def __init__(self, recollection: Recollection, takes_task: bool) -> None:
        self._recollection = recollection
        self._takes_task = takes_task

    def recall(self, events: Iterable[FeedbackEvent], wait_seconds: float) -> Recalled:
        """Looks all of them up at once, waiting up to `wait_seconds` for predictions that were just answered.

        Raises:
            FeedbackUnavailable: the predictions cannot be read.
        """
        places = (_place(event) for event in events if event.instance is msgspec.UNSET)
        keys = sorted({place.key for place in places if place is not None})
        bodies = self._recollection.find(keys, wait_seconds) if keys else {}
        return Recalled({key: _REQUEST.decode(body) for key, body in bodies.items()}, self._takes_task)


def _place(event: FeedbackEvent) -> _Place | None:
    """What the event's prediction id names; None if it cannot be one of ours."""
    key, _, index = (event.prediction_id or "").rpartition(".")
    if not key or not index.isascii() or not index.isdigit() or len(index) > MAX_DIGITS:
        return None
    return _Place(key, int(index))
