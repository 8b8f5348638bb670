"""The example store and the ledger: every event once, with what became of it (invariants 2 and 4)."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from contracts.status import Ledger
from feedback.log import Cursor
from trainer.database import Database, json_array

Split = Literal["train", "probe"]
Count = Literal["trained", "probe", "duplicate", "late", "quarantined", "dead"]
COLUMNS = "sequence, event_id, digest, split, task, label, subject, accepted_at, instance"


class StoredExample(NamedTuple):
    """One event as the trainer keeps it: the only copy of its instance."""

    sequence: int
    event_id: str
    digest: bytes
    split: Split
    task: str
    label: str
    subject: str | None
    accepted_at: float
    instance: bytes


class OwnExample(NamedTuple):
    """What there is to know of an example before it is erased; `step` is the round that learned it."""

    split: Split
    task: str
    step: int | None


class DeadLetter(NamedTuple):
    """A record that can never be learned from, by its place in the log, with the reason."""

    partition: int
    offset: int
    code: str
    detail: str


class ExampleStore:
    """Reads and writes examples, dead letters and the ledger; writes belong inside `Database.transaction`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def digests(self, event_ids: Sequence[str]) -> dict[str, bytes]:
        """The digests under which those of the event ids that are known already came, erased ones included."""
        found = "SELECT event_id, digest FROM {} WHERE event_id IN (SELECT value FROM json_each(?1))"
        query = f"{found.format('events')} UNION ALL {found.format('erased')}"
        return dict(self._database.rows(query, (json_array(event_ids),)))

    def next_sequence(self) -> int:
        """The sequence number that the next stored example gets; numbers count from 1."""
        highest = self._database.value("SELECT coalesce(max(sequence), 0) FROM events")
        return int(max(highest, self._database.get("erased_sequence", int, 0))) + 1

    def add(self, examples: Iterable[StoredExample], step: int | None) -> None:
        """Stores examples; `step` is the round that trains the training rows among them."""
        self._database.change(
            f"INSERT INTO events ({COLUMNS}, step) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            ((*example, step if example.split == "train" else None) for example in examples),
        )

    def add_traceparents(self, traceparents: Mapping[str, str]) -> None:
        """Keeps, by event id, the trace contexts that examples came with."""
        self._database.change("INSERT INTO traces VALUES (?, ?)", traceparents.items())

    def add_dead_letters(self, letters: Iterable[DeadLetter]) -> None:
        """Notes dead records; a place in the log is noted once."""
        self._database.change(
            'INSERT OR IGNORE INTO dead_letters (partition, "offset", code, detail) VALUES (?, ?, ?, ?)', letters
        )

    def dead_letters(self, since: Cursor) -> list[DeadLetter]:
        """Dead records at or after these places in the log, those in quarantine left out."""
        rows = self._database.rows(
            """SELECT partition, "offset", code, detail FROM dead_letters WHERE code != 'unknown_prediction' """
        )
        letters = [DeadLetter(*row) for row in rows]
        return [letter for letter in letters if letter.offset >= since.get(letter.partition, 0)]

    def count(self, counts: dict[Count, int]) -> None:
        """Adds to the ledger."""
        self._database.change(
            "INSERT INTO ledger VALUES (?, ?) ON CONFLICT (state) DO UPDATE SET events = events + excluded.events",
            counts.items(),
        )

    def ledger(self, pending: int, refused_duplicates: int) -> Ledger:
        """Where every event is: `pending` are in the log but not yet read, duplicates may be refused before it."""
        counts: dict[str, int] = dict(self._database.rows("SELECT state, events FROM ledger"))
        counts["duplicate"] = counts.get("duplicate", 0) + refused_duplicates
        return Ledger(received=sum(counts.values()) + pending, pending=pending, **counts)

    def between(self, first: int, last: int, split: Split) -> list[StoredExample]:
        """Effective examples of a split with sequence numbers in first…last, in order."""
        return self._select("sequence BETWEEN ? AND ? AND split=? AND undone=0 ORDER BY sequence", (first, last, split))

    def event_ids(self, first: int, last: int) -> list[str]:
        """Event ids of the effective training examples with sequence numbers in first…last, in order."""
        where = "sequence BETWEEN ? AND ? AND split='train' AND undone=0 ORDER BY sequence"
        rows = self._database.rows(f"SELECT event_id FROM events WHERE {where}", (first, last))
        return [row[0] for row in rows]

    def origins(self, first: int, last: int) -> list[tuple[str, str | None]]:
        """Task and trace context of the effective training examples with sequence numbers in first…last, in order."""
        where = "sequence BETWEEN ? AND ? AND split='train' AND undone=0 ORDER BY sequence"
        query = f"SELECT task, traceparent FROM events LEFT JOIN traces USING (event_id) WHERE {where}"
        return [(task, traceparent) for task, traceparent in self._database.rows(query, (first, last))]

    def tasks_trained_since(self, first: int) -> set[str]:
        """Tasks with effective training examples from sequence `first` on."""
        where = "sequence >= ? AND split='train' AND undone=0"
        return {row[0] for row in self._database.rows(f"SELECT DISTINCT task FROM events WHERE {where}", (first,))}

    def has_training_after(self, sequence: int) -> bool:
        """Whether any training example, effective or undone, came after that sequence number."""
        query = "SELECT EXISTS (SELECT 1 FROM events WHERE sequence > ? AND split='train')"
        return bool(self._database.value(query, (sequence,)))

    def trained_by_task(self) -> dict[str, int]:
        """How many effective training examples each task has."""
        return dict(self._database.rows("SELECT task, count(*) FROM events WHERE step > 0 AND undone=0 GROUP BY task"))

    def oldest_since(self, first: int) -> float | None:
        """When the oldest effective training example from sequence `first` on was accepted; None if there is none."""
        where = "sequence >= ? AND split='train' AND undone=0"
        oldest: float | None = self._database.value(f"SELECT min(accepted_at) FROM events WHERE {where}", (first,))
        return oldest

    def last_accepted_at(self) -> float | None:
        """When the newest example was accepted; None before the first."""
        newest: float | None = self._database.value("SELECT accepted_at FROM events ORDER BY sequence DESC LIMIT 1")
        return newest

    def recent(self, last: int, limit: int) -> list[StoredExample]:
        """The `limit` newest training examples up to sequence `last`, oldest first."""
        where = "sequence <= ? AND split='train' AND undone=0 ORDER BY sequence DESC LIMIT ?"
        return self._select(where, (last, limit))[::-1]

    def of_task(self, task: str, last: int, split: Split) -> list[StoredExample]:
        """Effective examples of one task up to sequence `last`, in order."""
        return self._select("task=? AND split=? AND sequence<=? AND undone=0 ORDER BY sequence", (task, split, last))

    def by_sequence(self, sequences: Iterable[int]) -> list[StoredExample]:
        """The examples with these sequence numbers, in the order asked for."""
        return [self._select("sequence=?", (sequence,))[0] for sequence in sequences]

    def probes(self) -> list[StoredExample]:
        """All probe examples, in order."""
        return self._select("split='probe' ORDER BY sequence", ())

    def of_subject(self, subject: str) -> list[OwnExample]:
        """The examples of one subject, in order."""
        query = "SELECT split, task, step FROM events WHERE subject=? ORDER BY sequence"
        return [OwnExample(*row) for row in self._database.rows(query, (subject,))]

    def instances_of(self, subject: str) -> Iterator[bytes]:
        """Its encoded instances, one after the other."""
        return (row[0] for row in self._database.each("SELECT instance FROM events WHERE subject=?", (subject,)))

    def erase(self, subject: str) -> None:
        """Deletes the examples of one subject; their ids and digests stay, so that a repeated event is a duplicate."""
        where = "WHERE subject=?"
        last: int | None = self._database.value(f"SELECT max(sequence) FROM events {where}", (subject,))
        if last is None:
            return
        self._database.put("erased_sequence", max(last, self._database.get("erased_sequence", int, 0)))
        self._database.execute(f"INSERT INTO erased SELECT event_id, digest FROM events {where}", (subject,))
        ids = f"(SELECT event_id FROM events {where})"
        self._database.execute(f"DELETE FROM traces WHERE event_id IN {ids}", (subject,))
        self._database.execute(f"DELETE FROM events {where}", (subject,))

    def rows_of(self, steps: Collection[int], task: str | None = None) -> int:
        """How many training examples, of one task where it is named, these rounds have learned."""
        where = "step IN (SELECT value FROM json_each(?1)) AND (?2 IS NULL OR task=?2)"
        return int(self._database.value(f"SELECT count(*) FROM events WHERE {where}", (json_array(steps), task)))

    def probes_by_task(self) -> dict[str, int]:
        """How many probe examples each task has of which there is any example, be it undone."""
        return dict(self._database.rows("SELECT task, sum(split='probe') FROM events GROUP BY task"))

    def _select(self, where: str, values: tuple[Any, ...]) -> list[StoredExample]:
        rows = self._database.rows(f"SELECT {COLUMNS} FROM events WHERE {where}", values)
        return [StoredExample(*row) for row in rows]
