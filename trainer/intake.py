"""Event → example: decodes records, drops duplicates, joins predictions and splits probes from training rows."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

import msgspec

from contracts.errors import InvalidEvent, InvalidInstance
from contracts.events import FeedbackEvent, decode_event
from contracts.inputs import InputSpec, InstanceDecoder
from contracts.labels import LabelSpec
from feedback.log import Record
from trainer.examples import Count, DeadLetter, ExampleStore, Split, StoredExample
from trainer.tasks import TaskBook

SPLIT_SCALE = 2**64


class Predictions(Protocol):
    """Where the instance of a prediction can still be found."""

    def find(self, prediction_ids: Sequence[str], wait_seconds: float) -> dict[str, bytes]:
        """JSON of the instances of those predictions that are still known."""


class Sorted(msgspec.Struct):
    """What a batch of records came to; every record is in exactly one of the counts."""

    examples: list[StoredExample] = []
    dead: list[tuple[Record, DeadLetter]] = []
    set_aside: list[DeadLetter] = []
    counts: Counter[Count] = msgspec.field(default_factory=Counter)


class Intake:
    """Sorts records; it decides but stores nothing, so that one transaction can hold all it decided."""

    def __init__(
        self,
        spec: InputSpec,
        labels: LabelSpec,
        store: ExampleStore,
        predictions: Predictions,
        probe_fraction: float,
    ) -> None:
        self._decode_instance = InstanceDecoder(spec)
        self._labels = labels
        self._store = store
        self._predictions = predictions
        self._probe_fraction = probe_fraction

    def sort(self, records: Sequence[Record], book: TaskBook) -> Sorted:
        """Sorts records in log order and counts their tasks in the book."""
        result = Sorted()
        sequence = self._store.next_sequence()
        seen: dict[str, bytes] = {}
        for record in records:
            try:
                example = self._example(record, sequence, seen, book)
            except (InvalidEvent, InvalidInstance) as error:
                self._set_aside(result, record, error)
                continue
            if example is None:
                result.counts["duplicate"] += 1
                continue
            seen[example.event_id] = example.digest
            task = book.note(example.task, example.split == "probe", example.accepted_at)
            result.counts[_state(example.split, task.closed)] += 1
            result.examples.append(example)
            sequence += 1
        return result

    def _example(self, record: Record, sequence: int, seen: dict[str, bytes], book: TaskBook) -> StoredExample | None:
        if record.error is not None or record.body is None:
            raise InvalidEvent(record.error or "null_value", "the record holds no readable event")
        event = decode_event(record.body)
        event_id = event.event_id or f"{record.partition}:{record.offset}"
        digest = hashlib.blake2b(record.body, digest_size=8).digest()
        known = seen.get(event_id) or self._store.digest_of(event_id)
        if known == digest:
            return None
        if known is not None:
            raise InvalidEvent("id_conflict", "an event of that id with another body was received before")
        if not self._labels.allows(event.label_name):
            raise InvalidEvent("unknown_label", "the label is not in the configured list")
        return StoredExample(
            sequence=sequence,
            event_id=event_id,
            digest=digest,
            split=split_of(event_id, self._probe_fraction),
            task=book.name_for(event.task),
            label=event.label_name,
            subject=event.subject,
            accepted_at=record.accepted_at,
            instance=self._instance(event),
        )

    def _instance(self, event: FeedbackEvent) -> bytes:
        raw = event.instance
        if isinstance(raw, msgspec.UnsetType):
            found = self._predictions.find([event.prediction_id or ""], wait_seconds=0.0)
            if not found:
                raise InvalidEvent("unknown_prediction", "the prediction is not in the log, or no longer")
            raw = msgspec.Raw(next(iter(found.values())))
        return self._decode_instance(raw).tobytes()

    def _set_aside(self, result: Sorted, record: Record, error: InvalidEvent | InvalidInstance) -> None:
        letter = DeadLetter(record.partition, record.offset, error.code, error.detail)
        if error.code == "unknown_prediction":
            result.counts["quarantined"] += 1
            result.set_aside.append(letter)
        else:
            result.counts["dead"] += 1
            result.dead.append((record, letter))


def split_of(event_id: str, probe_fraction: float) -> Split:
    """Whether an event is a probe: a hash of its id alone, fixed before any model sees it (invariant 5)."""
    digest = hashlib.blake2b(event_id.encode(), digest_size=8, person=b"lifelong").digest()
    return "probe" if int.from_bytes(digest) < probe_fraction * SPLIT_SCALE else "train"


def _state(split: Split, task_is_closed: bool) -> Count:
    if split == "probe":
        return "probe"
    return "late" if task_is_closed else "trained"
