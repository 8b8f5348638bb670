"""Every record becomes exactly one thing: a training row, a probe, a duplicate, or a letter that says why not."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contracts.inputs import TensorInput
from contracts.labels import LabelSpec
from feedback.join import RequestKeys, prediction_id
from feedback.log import Record
from feedback.predictions import PredictionLog
from trainer.arrivals import Predictions
from trainer.intake import Intake, Sorted, split_of
from trainer.stores import Stores
from trainer.tasks import TaskBook

pytestmark = pytest.mark.unit


class KnownPredictions:
    """A prediction log that knows one request, of two instances."""

    def find(self, keys: Sequence[str], wait_seconds: float) -> dict[str, bytes]:
        assert 0.0 <= wait_seconds <= 0.5
        body = b'{"instances": [[9, 9], [0.5, 0.25]], "task": "colours", "scores": true}'
        return {"known-1": body} if "known-1" in keys else {}

    def close(self) -> None:
        """Nothing to release."""


class Desk:
    """An intake over a real store, and records made from events."""

    def __init__(self, directory: Path, labels: LabelSpec, predictions: Predictions) -> None:
        self.stores = Stores.open(directory, "test")
        self.intake = Intake(TensorInput(shape=(2,)), labels, self.stores.examples, predictions, 0.1)
        self.book = TaskBook()
        self.sent: str | None = None
        self._offset = 0

    def sort(self, *bodies: dict[str, Any] | bytes) -> Sorted:
        records = []
        for body in bodies:
            self._offset += 1
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            records.append(Record(0, self._offset, self._offset, 1.0, content, traceparent=self.sent))
        return self.intake.sort(records, self.book)

    def store(self, result: Sorted) -> None:
        with self.stores.database.transaction():
            self.stores.examples.add(result.examples, step=1)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path, LabelSpec(names=["yes", "no"]), KnownPredictions())


def event(event_id: str, **changes: Any) -> dict[str, Any]:
    return {"event_id": event_id, "instance": [1.0, 2.0], "label": "yes"} | changes


def test_an_event_becomes_an_example_with_its_instance(desk: Desk) -> None:
    (example,) = desk.sort(event("a", task="colours", subject="ann")).examples
    assert (example.sequence, example.event_id, example.task, example.subject) == (1, "a", "colours", "ann")
    assert np.frombuffer(example.instance, np.float32).tolist() == [1.0, 2.0]


def test_a_label_for_a_prediction_is_joined_with_what_was_predicted_on(desk: Desk) -> None:
    named = {"event_id": "a", "prediction_id": prediction_id("known-1", 1), "label": "no"}
    (example,) = desk.sort(named).examples
    assert np.frombuffer(example.instance, np.float32).tolist() == [0.5, 0.25]
    assert example.task == "task-1"


def test_a_joined_event_takes_the_task_of_its_prediction_in_the_task_scenario(tmp_path: Path) -> None:
    desk = Desk(tmp_path, LabelSpec(scenario="task"), KnownPredictions())
    named = {"prediction_id": prediction_id("known-1", 0), "label": "no"}
    examples = desk.sort(named, named | {"task": "own"}).examples
    assert [example.task for example in examples] == ["colours", "own"]


def test_a_prediction_that_a_replica_is_still_writing_down_is_waited_for(tmp_path: Path) -> None:
    replica, trainer = (PredictionLog(tmp_path / "predictions.db", 3600.0, 1 << 20) for _ in range(2))
    desk = Desk(tmp_path, LabelSpec(), trainer)
    keys = RequestKeys()
    for number in range(3):
        key = keys.issue()
        replica.record(key, 1, b'{"instances": [[1, 2]]}')
        named = {"event_id": f"e{number}", "prediction_id": prediction_id(key, 0), "label": "no"}
        assert len(desk.sort(named).examples) == 1
    replica.close()
    desk.intake.close()


@pytest.mark.parametrize("unknown", ["known-1.2", "known-2.0", "known-1", "known-1.x", "known-1.1234567890"])
def test_feedback_for_a_forgotten_prediction_is_quarantined(desk: Desk, unknown: str) -> None:
    result = desk.sort({"event_id": "a", "prediction_id": unknown, "label": "no"})
    assert dict(result.counts) == {"quarantined": 1}
    assert result.set_aside[0].code == "unknown_prediction"
    assert result.dead == []


def test_duplicates_are_found_within_a_batch_and_across_batches(desk: Desk) -> None:
    first = desk.sort(event("a"), event("a"), event("b"))
    assert first.counts["duplicate"] == 1
    desk.store(first)
    again = desk.sort(event("b"))
    assert (again.examples, dict(again.counts)) == ([], {"duplicate": 1})


def test_a_context_is_kept_beside_the_example_and_an_event_may_bring_its_own(desk: Desk) -> None:
    desk.sent, own = (f"00-{number:032x}-{number:016x}-01" for number in (1, 2))
    result = desk.sort(event("a"), event("b", traceparent=own), event("c", traceparent="odd"), event("a", label="no"))
    assert result.traceparents == {"a": desk.sent, "b": own, "c": desk.sent}


def test_an_event_that_came_again_in_another_trace_is_a_duplicate(desk: Desk) -> None:
    first, again = (f"00-{number:032x}-{number:016x}-01" for number in (1, 2))
    named = {"event_id": "b", "prediction_id": prediction_id("known-1", 1), "label": "no"}
    events = [event("a", traceparent=first), named | {"traceparent": first}]
    desk.store(desk.sort(*events))
    result = desk.sort(*(each | {"traceparent": again} for each in events))
    assert (result.examples, dict(result.counts)) == ([], {"duplicate": 2})


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"not json", "malformed_json"),
        (b"\xff\xfe", "malformed_json"),
        (event("a", instance=[1.0]), "wrong_shape"),
        (event("a", instance=["1", "2"]), "wrong_type"),
        (event("a", instance=[1e39, 0]), "out_of_range"),
        (event("a", label="maybe"), "unknown_label"),
        (event("a", label=True), "invalid_event"),
        (event("a", surprise=1), "invalid_event"),
        (event("no spaces"), "invalid_event"),
        (event("a", task="../x"), "invalid_event"),
        ({"event_id": "a", "label": "yes"}, "invalid_event"),
    ],
)
def test_what_cannot_be_learned_from_is_dead_with_its_reason(
    desk: Desk, body: dict[str, Any] | bytes, code: str
) -> None:
    result = desk.sort(body, event("fine"))
    assert [letter.code for _, letter in result.dead] == [code]
    assert [example.event_id for example in result.examples] == ["fine"]


def test_the_same_id_with_another_body_is_a_conflict(desk: Desk) -> None:
    result = desk.sort(event("a"), event("a", label="no"))
    assert [letter.code for _, letter in result.dead] == ["id_conflict"]


def test_the_split_depends_on_the_id_alone_and_has_the_asked_for_size() -> None:
    ids = [f"event-{number}" for number in range(20_000)]
    probes = sum(split_of(event_id, 0.1) == "probe" for event_id in ids)
    assert abs(probes - 2000) < 5 * (20_000 * 0.1 * 0.9) ** 0.5
    assert [split_of(event_id, 0.1) for event_id in ids[:50]] == [split_of(event_id, 0.1) for event_id in ids[:50]]
    assert {split_of(event_id, 0.2) for event_id in ids if split_of(event_id, 0.1) == "probe"} == {"probe"}
