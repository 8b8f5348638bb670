"""The log as one SQLite file: the default feedback log, and the outbox in front of Kafka."""

import hashlib
import json
import threading
import time
import uuid
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import apsw

from contracts.events import subject_of
from feedback.database import Database
from feedback.errors import check_kept
from feedback.log import Appended, Cursor, Record

PARTITION = 0
POLL_SECONDS = 0.005
TRIM_ROWS = 5_000
"""Bodies removed by one commit: more would hold the write lock long enough to delay an append."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS identity (name TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS ids (
    event_id TEXT PRIMARY KEY, digest BLOB NOT NULL, position INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS bodies (position INTEGER PRIMARY KEY, accepted_at REAL NOT NULL, body BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS traces (position INTEGER PRIMARY KEY, traceparent TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS dead_letters (
    position INTEGER PRIMARY KEY, code TEXT NOT NULL, detail TEXT NOT NULL, body BLOB
) STRICT;
INSERT OR IGNORE INTO counters VALUES ('last', 0), ('duplicates', 0), ('committed', 1);
"""
READ = (
    "SELECT position, accepted_at, body, traceparent FROM bodies LEFT JOIN traces USING (position) "
    "WHERE position >= ? ORDER BY position LIMIT ?"
)
_Known = dict[str, tuple[bytes, int]]


class DeadLetter(NamedTuple):
    """A record that was put aside, with its reason."""

    position: int
    code: str
    detail: str
    body: bytes | None


class SqliteLog:
    """A `FeedbackReader` that can also be appended to, by any number of processes and threads.

    It has one partition, 0, whose offsets are the positions: 1, 2, 3 … without holes, in the order of acceptance.
    """

    first_offset = 1

    def __init__(self, path: Path) -> None:
        self._database = Database(path, SCHEMA, synchronous="FULL")
        self._name = path.name
        self._closed = threading.Event()
        with self._database.writing() as connection:
            connection.execute(
                "INSERT INTO identity SELECT ? WHERE NOT EXISTS (SELECT 1 FROM identity)", (uuid.uuid4().hex,)
            )
            self._identity: str = connection.execute("SELECT name FROM identity").get

    @property
    def identity(self) -> str:
        """Drawn at random when the file was made."""
        return self._identity

    def append(self, events: Sequence[tuple[str, bytes]], traceparents: Mapping[str, str] | None = None) -> Appended:
        """Stores events `(event id, JSON body)` in one transaction that is on disk when this returns.

        An id seen before is a duplicate when its body is the same, byte for byte, and a conflict otherwise; neither
        is stored. Duplicates are counted in the same transaction. `traceparents` are kept by the event's id, of its
        first time.

        Raises:
            FeedbackUnavailable: nothing of the batch was stored.
        """
        with self._database.writing() as connection:
            return _append(connection, events, traceparents or {})

    def read(self, cursor: Cursor, limit: int, wait_seconds: float) -> list[Record]:
        """Returns the next records; see `FeedbackReader.read`."""
        first = cursor.get(PARTITION)
        deadline = time.monotonic() + wait_seconds
        while not self._closed.is_set():
            records = self._read(first, limit)
            if records or time.monotonic() >= deadline:
                return records
            time.sleep(POLL_SECONDS)  # waiting for the event instead costs twice as much of the processor
        return []

    def skip_blanks(self, cursor: Cursor) -> Cursor:
        """The cursor itself: every position holds an event."""
        return cursor

    def end(self) -> Cursor:
        """The position that the next accepted event will get."""
        return {PARTITION: self._counter("last") + 1}

    def commit(self, cursor: Cursor) -> bool:
        """Remembers the cursor and drops up to 5,000 bodies before it; ids and digests stay, so that duplicates show.

        Returns whether no body before the cursor is left.

        Raises:
            FeedbackUnavailable: the file cannot be written now.
        """
        first = cursor.get(PARTITION, 1)
        with self._database.writing() as connection:
            connection.execute("UPDATE counters SET value = max(value, ?) WHERE name = 'committed'", (first,))
            connection.execute(
                "DELETE FROM bodies WHERE position < min(?, (SELECT min(position) FROM bodies) + ?)", (first, TRIM_ROWS)
            )
            connection.execute(
                "DELETE FROM traces WHERE position < min(?, coalesce((SELECT min(position) FROM bodies), ?))",
                (first, first),
            )
            is_clear: int = connection.execute(
                "SELECT NOT EXISTS (SELECT 1 FROM bodies WHERE position < ?)", (first,)
            ).get
        return bool(is_clear)

    def committed(self) -> Cursor:
        """The furthest cursor ever committed."""
        return {PARTITION: self._counter("committed")}

    def dead_letter(self, record: Record, code: str, detail: str) -> None:
        """Stores the record with its reason in the table `dead_letters`; a repeated call changes nothing."""
        with self._database.writing() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO dead_letters VALUES (?, ?, ?, ?)", (record.offset, code, detail, record.body)
            )

    def dead_letters(self) -> list[DeadLetter]:
        """What was put aside, in the order of positions."""
        with self._database.reading() as connection:
            rows = connection.execute("SELECT position, code, detail, body FROM dead_letters ORDER BY position")
            return [DeadLetter._make(row) for row in rows]

    def erase(self, subjects: Collection[str]) -> Counter[str]:
        """Deletes the dead letters of subjects, and what is left in the files of all that was ever deleted.

        Bodies go when they are committed. Ids and digests stay, so that a repeated event is a duplicate. Returns how
        many letters each subject had.

        Raises:
            FeedbackUnavailable: the file cannot be written now; the same call may be made again.
        """
        owners = {letter.position: subject_of(letter.body or b"", subjects) for letter in self.dead_letters()}
        own = {position: owner for position, owner in owners.items() if owner is not None}
        with self._database.writing() as connection:
            connection.executemany("DELETE FROM dead_letters WHERE position = ?", ((position,) for position in own))
        self._database.scrub()
        return Counter(own.values())

    def is_clear(self, position: int) -> bool:
        """Whether no body is left up to that position."""
        with self._database.reading() as connection:
            query = "SELECT NOT EXISTS (SELECT 1 FROM bodies WHERE position <= ?)"
            is_clear: int = connection.execute(query, (position,)).get
        return bool(is_clear)

    def duplicates_refused(self) -> int:
        """How many appended events were refused as duplicates since the file was made."""
        return self._counter("duplicates")

    def close(self) -> None:
        """Closes the file; a waiting `read` returns."""
        self._closed.set()
        self._database.close()

    def _counter(self, name: str) -> int:
        with self._database.reading() as connection:
            value: int = connection.execute("SELECT value FROM counters WHERE name = ?", (name,)).get
        return value

    def _read(self, first: int | None, limit: int) -> list[Record]:
        if first == self._counter("last") + 1:
            return []  # most calls end here: a reader that waits asks two hundred times a second
        with self._database.reading() as connection:
            found = connection.execute(READ, (first or 0, limit)).fetchall()
            rows = cast("list[tuple[int, float, bytes, str | None]]", found)
        if first is not None and (not rows or rows[0][0] != first):
            self._check_loss(first)
        return [Record(PARTITION, place, place, at, body, traceparent=trace) for place, at, body, trace in rows]

    def _check_loss(self, first: int) -> None:
        with self._database.reading() as connection:
            last, kept = connection.execute(
                "SELECT value, (SELECT min(position) FROM bodies) FROM counters WHERE name = 'last'"
            ).get
        check_kept(self._name, PARTITION, first, last + 1 if kept is None else kept, last + 1)


class _Batch:
    """Sorts one batch into new, repeated and conflicting events, and numbers the new ones."""

    def __init__(self, known: _Known, last: int) -> None:
        self.last = last
        self.highest = 0
        self.fresh: list[tuple[int, str, bytes, bytes]] = []
        self.accepted: list[int] = []
        self.duplicates: list[int] = []
        self.conflicts: list[int] = []
        self._known = known

    def add(self, index: int, event_id: str, body: bytes) -> None:
        digest = hashlib.blake2b(body, digest_size=16).digest()
        stored = self._known.get(event_id)
        if stored is None:
            self.last += 1
            self._known[event_id] = stored = (digest, self.last)
            self.fresh.append((self.last, event_id, digest, body))
            self.accepted.append(index)
        elif stored[0] == digest:
            self.duplicates.append(index)
        else:
            self.conflicts.append(index)
            return
        self.highest = max(self.highest, stored[1])


def _append(
    connection: apsw.Connection, events: Sequence[tuple[str, bytes]], traceparents: Mapping[str, str]
) -> Appended:
    known = _known(connection, [event_id for event_id, _ in events])
    batch = _Batch(known, connection.execute("SELECT value FROM counters WHERE name = 'last'").get)
    for index, (event_id, body) in enumerate(events):
        batch.add(index, event_id, body)
    now = time.time()
    connection.executemany("INSERT INTO ids VALUES (?2, ?3, ?1)", (row[:3] for row in batch.fresh))
    connection.executemany("INSERT INTO bodies VALUES (?, ?, ?)", ((row[0], now, row[3]) for row in batch.fresh))
    if traceparents:
        named = ((row[0], traceparents[row[1]]) for row in batch.fresh if row[1] in traceparents)
        connection.executemany("INSERT INTO traces VALUES (?, ?)", named)
    connection.execute("UPDATE counters SET value = ? WHERE name = 'last'", (batch.last,))
    if batch.duplicates:
        connection.execute("UPDATE counters SET value = value + ? WHERE name = 'duplicates'", (len(batch.duplicates),))
    return Appended(batch.highest, batch.accepted, batch.duplicates, batch.conflicts)


def _known(connection: apsw.Connection, event_ids: list[str]) -> _Known:
    rows = connection.execute(
        "SELECT event_id, digest, position FROM ids WHERE event_id IN (SELECT value FROM json_each(?))",
        (json.dumps(event_ids),),
    )
    return {event_id: (digest, position) for event_id, digest, position in rows}
