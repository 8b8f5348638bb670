"""Event → example: drops duplicates, splits probes from training rows, and says why a record cannot be learned."""

import hashlib
from collections import Counter
from collections.abc import Sequence

import msgspec

from contracts.errors import InvalidEvent, InvalidInstance
from contracts.inputs import InputSpec
from contracts.labels import LabelSpec
from contracts.status import JoinOutcome
from feedback.log import Record
from trainer.arrivals import Arrival, Fault, Predictions, Reception
from trainer.examples import Count, DeadLetter, ExampleStore, Split, StoredExample
from trainer.tasks import TaskBook

SPLIT_SCALE = 2**64


class Sorted(msgspec.Struct):
    """What a batch of records came to; every record is in exactly one of the `counts`.

    `traceparents` are by event id, of those examples that came with one.
    """

    examples: list[StoredExample] = []
    dead: list[tuple[Record, DeadLetter]] = []
    set_aside: list[DeadLetter] = []
    traceparents: dict[str, str] = {}
    counts: Counter[Count] = msgspec.field(default_factory=Counter)
    joins: Counter[JoinOutcome] = msgspec.field(default_factory=Counter)


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
        self._reception = Reception(spec, predictions, takes_task=labels.scenario == "task")
        self._labels = labels
        self._store = store
        self._probe_fraction = probe_fraction

    def sort(self, records: Sequence[Record], book: TaskBook) -> Sorted:
        """Sorts records in log order and counts their tasks in the book."""
        arrivals, joins = self._reception.read(records)
        result = Sorted(joins=joins)
        sequence = self._store.next_sequence()
        seen = self._store.digests([arrival.event_id for arrival in arrivals])
        for arrival in arrivals:
            try:
                example = self._example(arrival, sequence, seen, book)
            except (InvalidEvent, InvalidInstance) as fault:
                _set_aside(result, arrival.record, fault)
                continue
            if example is None:
                result.counts["duplicate"] += 1
                continue
            seen[example.event_id] = example.digest
            task = book.note(example.task, example.split == "probe", example.accepted_at)
            result.counts[_state(example.split, task.closed)] += 1
            result.examples.append(example)
            if arrival.record.traceparent:
                result.traceparents[example.event_id] = arrival.record.traceparent
            sequence += 1
        return result

    def close(self) -> None:
        """Releases the prediction log."""
        self._reception.close()

    def _example(self, arrival: Arrival, sequence: int, seen: dict[str, bytes], book: TaskBook) -> StoredExample | None:
        record, event, instance = arrival
        if isinstance(event, Fault):
            raise event
        event_id = arrival.event_id
        digest = hashlib.blake2b(record.body or b"", digest_size=8).digest()
        known = seen.get(event_id)
        if known == digest:
            return None
        if known is not None:
            raise InvalidEvent("id_conflict", "an event of that id with another body was received before")
        if not self._labels.allows(event.label_name):
            raise InvalidEvent("unknown_label", "the label is not in the configured list")
        if isinstance(instance, Fault):
            raise instance
        return StoredExample(
            sequence=sequence,
            event_id=event_id,
            digest=digest,
            split=split_of(event_id, self._probe_fraction),
            task=book.name_for(event.task),
            label=event.label_name,
            subject=event.subject,
            accepted_at=record.accepted_at,
            instance=instance,
        )


def split_of(event_id: str, probe_fraction: float) -> Split:
    """Whether an event is a probe: a hash of its id alone, fixed before any model sees it (invariant 5)."""
    digest = hashlib.blake2b(event_id.encode(), digest_size=8, person=b"lifelong").digest()
    return "probe" if int.from_bytes(digest) < probe_fraction * SPLIT_SCALE else "train"


def _set_aside(result: Sorted, record: Record, fault: Fault) -> None:
    letter = DeadLetter(record.partition, record.offset, fault.code, fault.detail)
    if fault.code == "unknown_prediction":
        result.counts["quarantined"] += 1
        result.set_aside.append(letter)
    else:
        result.counts["dead"] += 1
        result.dead.append((record, letter))


def _state(split: Split, task_is_closed: bool) -> Count:
    if split == "probe":
        return "probe"
    return "late" if task_is_closed else "trained"
