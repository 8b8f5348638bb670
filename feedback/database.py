"""How this package opens SQLite: the bundled library of apsw, free of the WAL-reset bug of versions before 3.51.3."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import apsw

from feedback.errors import FeedbackUnavailable

BUSY_MILLISECONDS = 10_000


class Database:
    """One file with two connections: a writer for one thread at a time and a reader that never waits for it.

    Safe to use from any thread and, each with an object of its own, from any process. Not to be used across a fork.
    """

    def __init__(self, path: Path, schema: str, synchronous: Literal["FULL", "OFF"]) -> None:
        self.path = path
        self._write_lock, self._read_lock = threading.Lock(), threading.Lock()
        with self._translated():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = _connect(path, synchronous)
            with self._writer:
                self._writer.execute(schema)
            self._reader = _connect(path, synchronous)
            self._reader.pragma("query_only", True)

    @contextmanager
    def writing(self) -> Iterator[apsw.Connection]:
        """One immediate transaction, committed at the end or rolled back by an exception.

        Raises:
            FeedbackUnavailable: the disk is full or failing, or others held the file for too long; nothing was written.
        """
        with self._write_lock, self._translated(), self._writer:
            yield self._writer

    @contextmanager
    def reading(self) -> Iterator[apsw.Connection]:
        """The connection that reads, for one statement.

        Raises:
            FeedbackUnavailable: the file cannot be read.
        """
        with self._read_lock, self._translated():
            yield self._reader

    def scrub(self) -> None:
        """Leaves nothing in the files of what was deleted; see `scrub`.

        Raises:
            FeedbackUnavailable: the file cannot be written, or others read it for too long.
        """
        with self._write_lock, self._translated():
            scrub(self._writer)

    def close(self) -> None:
        """Closes both connections; the database must not be used afterwards."""
        with self._write_lock, self._read_lock:
            self._reader.close()
            self._writer.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (apsw.Error, OSError) as error:
            kind = type(error).__name__
            raise FeedbackUnavailable("log_unavailable", f"{self.path.name} cannot be used now ({kind})") from error


def _connect(path: Path, synchronous: Literal["FULL", "OFF"]) -> apsw.Connection:
    connection = apsw.Connection(str(path))
    connection.set_busy_timeout(BUSY_MILLISECONDS)
    connection.transaction_mode = "IMMEDIATE"
    connection.pragma("journal_mode", "WAL")
    connection.pragma("synchronous", synchronous)
    return connection


def scrub(connection: apsw.Connection) -> None:
    """Leaves nothing in the files of what was deleted: writes the file anew and empties the write-ahead log.

    Nothing less does. `secure_delete` overwrites what is deleted, but not the copies that stay in a page when its rows
    are moved to another one. It takes about 8 seconds a gigabyte, for which other connections cannot write, and room
    for two more copies of the file.
    """
    connection.execute("VACUUM")
    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
