"""Joining waits for what was just answered, by whichever process, and for nothing else."""

from collections.abc import Sequence

import msgspec
import pytest

from contracts.errors import InvalidEvent
from contracts.events import FeedbackEvent
from feedback.join import FLUSHED_SECONDS, Join, RequestKeys, prediction_id

pytestmark = pytest.mark.unit
BODY = b'{"instances": [[1], [2]], "task": "colours"}'


class Flushing:
    """Predictions that are found by those alone who wait; it notes who did."""

    def __init__(self) -> None:
        self.asked: list[tuple[list[str], float]] = []

    def find(self, keys: Sequence[str], wait_seconds: float) -> dict[str, bytes]:
        """Everything after a wait."""
        self.asked.append((list(keys), wait_seconds))
        return dict.fromkeys(keys, BODY) if wait_seconds else {}


def named(key: str, row: int = 0) -> FeedbackEvent:
    """An event that names a prediction."""
    return FeedbackEvent(label="a", prediction_id=prediction_id(key, row))


def test_what_was_just_answered_is_waited_for_and_what_is_old_is_not() -> None:
    predictions, young, old = Flushing(), RequestKeys().issue(), "0123456789ab-7-19a0b1c2d3e"
    recalled = Join(predictions, takes_task=False).recall([named(old), named(young, 1), named("foreign")])
    (everyone, at_once), (waited_for, seconds) = predictions.asked
    assert (everyone, at_once, waited_for) == (sorted([young, old, "foreign"]), 0.0, [young])
    assert 0.0 < seconds <= FLUSHED_SECONDS
    assert recalled.complete(named(young, 1)).instance == msgspec.Raw(b"[2]")
    with pytest.raises(InvalidEvent):
        recalled.complete(named(old))


def test_old_predictions_alone_are_looked_for_once() -> None:
    predictions = Flushing()
    Join(predictions, takes_task=False).recall([named("0123456789ab-7-19a0b1c2d3e"), named("no-time")])
    assert [seconds for _, seconds in predictions.asked] == [0.0]


def test_keys_differ_within_a_process_and_between_processes() -> None:
    first, second = RequestKeys(), RequestKeys()
    assert len({keys.issue() for keys in (first, second) for _ in range(100)}) == 200
