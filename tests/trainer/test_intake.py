"""Every record becomes exactly one thing: a training row, a probe, a duplicate, or a letter that says why not."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contracts.inputs import TensorInput
from contracts.labels import LabelSpec
from feedback.log import Record
from trainer.intake import Intake, Sorted, split_of
from trainer.stores import Stores
from trainer.tasks import TaskBook

pytestmark = pytest.mark.unit


class KnownPredictions:
    """A prediction log that knows one prediction."""

    def find(self, prediction_ids: Sequence[str], wait_seconds: float) -> dict[str, bytes]:
        assert wait_seconds == 0.0
        return {"p1": b"[0.5, 0.25]"} if "p1" in prediction_ids else {}

    def close(self) -> None:
        """Nothing to release."""


class Desk:
    """An intake over a real store, and records made from events."""

    def __init__(self, directory: Path) -> None:
        self.stores = Stores.open(directory, "test")
        labels = LabelSpec(names=["yes", "no"])
        self.intake = Intake(TensorInput(shape=(2,)), labels, self.stores.examples, KnownPredictions(), 0.1)
        self.book = TaskBook()
        self._offset = 0

    def sort(self, *bodies: dict[str, Any] | bytes) -> Sorted:
        records = []
        for body in bodies:
            self._offset += 1
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            records.append(Record(0, self._offset, self._offset, 1.0, content))
        return self.intake.sort(records, self.book)

    def store(self, result: Sorted) -> None:
        with self.stores.database.transaction():
            self.stores.examples.add(result.examples, step=1)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def event(event_id: str, **changes: Any) -> dict[str, Any]:
    return {"event_id": event_id, "instance": [1.0, 2.0], "label": "yes"} | changes


def test_an_event_becomes_an_example_with_its_instance(desk: Desk) -> None:
    (example,) = desk.sort(event("a", task="colours", subject="ann")).examples
    assert (example.sequence, example.event_id, example.task, example.subject) == (1, "a", "colours", "ann")
    assert np.frombuffer(example.instance, np.float32).tolist() == [1.0, 2.0]


def test_a_label_for_a_prediction_is_joined_with_what_was_predicted_on(desk: Desk) -> None:
    (example,) = desk.sort({"event_id": "a", "prediction_id": "p1", "label": "no"}).examples
    assert np.frombuffer(example.instance, np.float32).tolist() == [0.5, 0.25]


def test_feedback_for_a_forgotten_prediction_is_quarantined(desk: Desk) -> None:
    result = desk.sort({"event_id": "a", "prediction_id": "p2", "label": "no"})
    assert dict(result.counts) == {"quarantined": 1}
    assert result.set_aside[0].code == "unknown_prediction"
    assert result.dead == []


def test_duplicates_are_found_within_a_batch_and_across_batches(desk: Desk) -> None:
    first = desk.sort(event("a"), event("a"), event("b"))
    assert first.counts["duplicate"] == 1
    desk.store(first)
    again = desk.sort(event("b"))
    assert (again.examples, dict(again.counts)) == ([], {"duplicate": 1})


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
