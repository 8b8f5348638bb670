"""`state.db`: all that the trainer must not lose, in one SQLite file: changes can be one transaction (invariant 3)."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import msgspec

from contracts.inputs import InputSpec
from contracts.labels import LabelSpec
from contracts.versions import sha256
from feedback.database import scrub
from networks.settings import Architecture
from trainer.errors import CorruptState, ForeignState, StateUnwritable

BUSY_MILLISECONDS = 10_000
UNWRITABLE = (apsw.FullError, apsw.IOError, apsw.CantOpenError)
"""What SQLite raises where there is no room, or the file cannot be had."""
SCHEMA_VERSION, ERASED_VERSION = 1, 2
"""The second, once something was erased: earlier releases, which would give its numbers again, then refuse the file."""
SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE events (
    sequence INTEGER PRIMARY KEY, event_id TEXT NOT NULL UNIQUE, digest BLOB NOT NULL, split TEXT NOT NULL,
    task TEXT NOT NULL, label TEXT NOT NULL, subject TEXT, accepted_at REAL NOT NULL, step INTEGER,
    undone INTEGER NOT NULL DEFAULT 0, instance BLOB NOT NULL);
CREATE INDEX events_by_task ON events (task, split, sequence);
CREATE TABLE dead_letters (partition INTEGER, "offset" INTEGER, code TEXT, detail TEXT,
    PRIMARY KEY (partition, "offset")) WITHOUT ROWID;
CREATE TABLE ledger (state TEXT PRIMARY KEY, events INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE steps (number INTEGER PRIMARY KEY, parent INTEGER NOT NULL, document BLOB NOT NULL);
CREATE TABLE checkpoints (step INTEGER PRIMARY KEY, sha256 TEXT NOT NULL);
CREATE TABLE matrix (step INTEGER, after TEXT, task TEXT, accuracy REAL, PRIMARY KEY (step, task)) WITHOUT ROWID;
CREATE TABLE baselines (task TEXT PRIMARY KEY, accuracy REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE versions (
    version INTEGER PRIMARY KEY, step INTEGER NOT NULL,
    lineage BLOB NOT NULL, probes BLOB NOT NULL, matrix BLOB NOT NULL,
    mirrored INTEGER NOT NULL DEFAULT 0);
CREATE TABLE serving (
    generation INTEGER PRIMARY KEY AUTOINCREMENT, version INTEGER NOT NULL, promoted_at REAL NOT NULL);
"""
ADDED = """
CREATE INDEX IF NOT EXISTS events_by_step ON events (step);
CREATE TABLE IF NOT EXISTS traces (event_id TEXT PRIMARY KEY, traceparent TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS events_by_subject ON events (subject) WHERE subject IS NOT NULL;
CREATE TABLE IF NOT EXISTS erased (event_id TEXT PRIMARY KEY, digest BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS withdrawn (version INTEGER PRIMARY KEY, erasure TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS erasures (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, revision INTEGER NOT NULL, state TEXT NOT NULL,
    subject TEXT, times_asked INTEGER NOT NULL DEFAULT 1, document BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS erasures_by_revision ON erasures (revision);
CREATE INDEX IF NOT EXISTS erasures_pending ON erasures (number) WHERE state != 'done';
"""
"""To files that were written before there were any; an earlier release reads those that have them."""


def fingerprint(spec: InputSpec, labels: LabelSpec, network: Architecture) -> str:
    """Changes when earlier weights or examples could no longer be read."""
    parts = (spec.model_dump_json(), labels.scenario, network.model_dump_json())
    return sha256("\n".join(parts).encode())


class Database:
    """The connection that the trainer's stores share; one process writes it."""

    def __init__(self, path: Path, fingerprint: str) -> None:
        """Opens or creates the file.

        Raises:
            ForeignState: `newer_state` or `other_configuration`, when the file was written for something else.
            CorruptState: `bad_database`, when it is no whole database.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self.connection = apsw.Connection(str(path))
        try:
            self._open(path, fingerprint)
        except (apsw.CorruptError, apsw.NotADBError) as error:
            raise CorruptState("bad_database", f"{path} is damaged ({error}): restore it from a backup") from None

    def _open(self, path: Path, fingerprint: str) -> None:
        self.connection.set_busy_timeout(BUSY_MILLISECONDS)
        self.connection.transaction_mode = "IMMEDIATE"
        self.execute("PRAGMA journal_mode=WAL")
        self.execute("PRAGMA synchronous=FULL")
        version = int(self.value("PRAGMA user_version"))
        if version > ERASED_VERSION:
            raise ForeignState("newer_state", f"{path.name} has schema {version}: this release reads {ERASED_VERSION}")
        if version == 0:
            self._create(fingerprint)
        if self.get("fingerprint", str) != fingerprint:
            detail = f"{path.parent} was written for another input, label scenario or network; use another --state"
            raise ForeignState("other_configuration", detail)
        self.execute(ADDED)

    def _create(self, fingerprint: str) -> None:
        with self.transaction():
            self.execute(SCHEMA)
            self.put("fingerprint", fingerprint)
            self.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    def note_erased(self) -> None:
        """Keeps releases away that know nothing of erased events; belongs inside `transaction`."""
        self.execute(f"PRAGMA user_version={ERASED_VERSION}")

    def scrub(self) -> None:
        """Leaves nothing in the files of what was deleted.

        Raises:
            StateUnwritable: `state_unwritable`: there is no room, or others hold the file; trying again may help.
        """
        try:
            scrub(self.connection)
        except (apsw.BusyError, *UNWRITABLE) as error:
            detail = f"state.db cannot be written anew now ({type(error).__name__})"
            raise StateUnwritable("state_unwritable", detail) from error

    def close(self) -> None:
        """Closes the file; later calls fail."""
        self.connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All changes inside are made durable together or not at all; no other connection writes meanwhile."""
        with self.connection:
            yield

    def execute(self, query: str, values: tuple[Any, ...] = ()) -> None:
        """Runs statements that return nothing."""
        self.connection.execute(query, values)

    def rows(self, query: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """All rows that a query returns."""
        return self.connection.execute(query, values).fetchall()

    def each(self, query: str, values: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        """The rows that a query returns, one after the other: for more than memory should hold."""
        yield from self.connection.execute(query, values)

    def change(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Runs one statement for each row of values."""
        self.connection.executemany(statement, rows)

    def value(self, query: str, values: tuple[Any, ...] = ()) -> Any:
        """First column of the first row, or None."""
        row = self.connection.execute(query, values).fetchone()
        return None if row is None else row[0]

    def get(self, name: str, kind: Any, default: Any = None) -> Any:
        """A small named value, decoded as `kind`."""
        content = self.value("SELECT value FROM meta WHERE name=?", (name,))
        return default if content is None else msgspec.json.decode(content, type=kind)

    def put(self, name: str, value: Any) -> None:
        """Sets a small named value."""
        self.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, msgspec.json.encode(value)))


def json_array(values: Iterable[int | str]) -> str:
    """Values as SQLite's `json_each` reads them, so that one statement asks for any number of them."""
    return msgspec.json.encode(list(values)).decode()
