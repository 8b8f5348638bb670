"""The bodies of recent predict requests, so that feedback may name a prediction instead of repeating its instance."""

import json
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence, Set
from pathlib import Path
from typing import cast

import apsw

from feedback.database import Database
from feedback.errors import FeedbackUnavailable

FLUSH_SECONDS = 0.02
POLL_SECONDS = 0.005
PENDING_BYTES = 64 << 20
"""What may wait for a slow disk; predictions beyond it are answered but cannot be joined."""
EXPIRE_SECONDS = 1.0
EXPIRED_ROWS = 2_000
"""Rows removed by one transaction: more would hold the write lock long enough to delay other replicas."""

ERASED_ROWS = 100
"""Bodies looked through at once: one may have 8 MiB."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS predictions (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, at REAL NOT NULL, version INTEGER NOT NULL,
    instance BLOB NOT NULL
) STRICT;
"""
INSERT = "INSERT OR IGNORE INTO predictions (id, at, version, instance) VALUES (?, ?, ?, ?)"
EXPIRE = """
DELETE FROM predictions WHERE at < ?2 AND number < (SELECT min(number) FROM predictions) + ?1
"""
EVICT = """
DELETE FROM predictions
WHERE number <= (SELECT min(number) + min(100, (max(number) - min(number)) / 32) FROM predictions)
"""
LOGGER = logging.getLogger(__name__)
_Row = tuple[str, float, int, bytes]


class PredictionLog:
    """Remembers the bodies of answered requests by their key, bounded by age and by size on disk.

    `record` belongs to one thread, `find` to any; `feedback.join` reads prediction ids and bodies. A request is found
    from every process about `FLUSH_SECONDS` after it was recorded; a killed process loses at most that much. Losing one
    never loses feedback that has its instance.
    """

    def __init__(self, path: Path, max_age_seconds: float, max_bytes: int) -> None:
        self._database = Database(path, SCHEMA, synchronous="OFF")
        self._max_age_seconds = max_age_seconds
        self._max_bytes = max_bytes
        self._pending: deque[_Row] = deque()
        self._recorded_bytes = self._flushed_bytes = 0
        self._dropped = 0
        self._wake, self._hurry = threading.Event(), threading.Event()
        self._is_awake = self._closing = False
        self._thread: threading.Thread | None = None

    @property
    def dropped(self) -> int:
        """Predictions of this process that were not kept because the disk could not follow."""
        return self._dropped

    def record(self, key: str, version: int, body: bytes) -> None:
        """Takes note of one answered request, as the JSON bytes it arrived in; never waits and never raises."""
        size = len(body)
        if self._recorded_bytes - self._flushed_bytes + size > PENDING_BYTES:
            self._dropped += 1
            return
        self._recorded_bytes += size
        self._pending.append((key, time.time(), version, body))
        if not self._is_awake:
            self._is_awake = True
            self._wake.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._flush_until_closed, name="prediction-log", daemon=True)
                self._thread.start()

    def find(self, keys: Sequence[str], wait_seconds: float) -> dict[str, bytes]:
        """Returns the bodies of the requests that are known, waiting up to `wait_seconds` for those just recorded.

        Raises:
            FeedbackUnavailable: the file cannot be read.
        """
        deadline = time.monotonic() + wait_seconds
        found = self._find(keys)
        while len(found) < len(set(keys)) and time.monotonic() < deadline:
            self._hurry.set()
            time.sleep(POLL_SECONDS)
            found = self._find(keys)
        return found

    def erase(self, owners: Callable[[bytes], Set[str]]) -> Counter[str]:
        """Forgets the requests whose bodies have `owners`, and what is left in the files of all that was forgotten.

        Returns how many requests each owner had.

        Raises:
            FeedbackUnavailable: the file cannot be written now; the same call may be made again.
        """
        owned: dict[int, Set[str]] = {}
        number = 0
        while bodies := self._after(number):
            owned |= {place: found for place, body in bodies if (found := owners(body))}
            number = bodies[-1][0]
        with self._database.writing() as connection:
            connection.executemany("DELETE FROM predictions WHERE number = ?", ((place,) for place in owned))
        self._database.scrub()
        return Counter(owner for found in owned.values() for owner in found)

    def close(self) -> None:
        """Writes what is pending and closes the file."""
        self._closing = True
        self._hurry.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        self._database.close()

    def _after(self, number: int) -> list[tuple[int, bytes]]:
        with self._database.reading() as connection:
            query = "SELECT number, instance FROM predictions WHERE number > ? ORDER BY number LIMIT ?"
            rows = connection.execute(query, (number, ERASED_ROWS)).fetchall()
        return cast("list[tuple[int, bytes]]", rows)

    def _find(self, keys: Sequence[str]) -> dict[str, bytes]:
        oldest = time.time() - self._max_age_seconds
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT id, instance FROM predictions WHERE at >= ? AND id IN (SELECT value FROM json_each(?))",
                (oldest, json.dumps(list(keys))),
            ).fetchall()
        return dict(cast("list[tuple[str, bytes]]", rows))

    def _flush_until_closed(self) -> None:
        expired_at, is_last = 0.0, False
        while not is_last:
            if self._wake.wait(EXPIRE_SECONDS):
                self._hurry.wait(FLUSH_SECONDS)
            self._wake.clear()
            self._hurry.clear()
            self._is_awake = False
            is_last = self._closing
            now = time.monotonic()
            is_due = now - expired_at >= EXPIRE_SECONDS
            if self._pending or is_due:
                self._flush(is_due)
            if is_due:
                expired_at = now

    def _flush(self, is_expiry_due: bool) -> None:
        rows = [self._pending.popleft() for _ in range(len(self._pending))]
        try:
            with self._database.writing() as connection:
                connection.executemany(INSERT, rows)
                if is_expiry_due:
                    connection.execute(EXPIRE, (EXPIRED_ROWS, time.time() - self._max_age_seconds))
                while _used_bytes(connection) > self._max_bytes:
                    connection.execute(EVICT)
        except FeedbackUnavailable as error:
            self._dropped += len(rows)
            LOGGER.warning("%d predictions cannot be joined: %s", len(rows), error.detail)
        self._flushed_bytes += sum(len(row[3]) for row in rows)


def _used_bytes(connection: apsw.Connection) -> int:
    pages: int = connection.pragma("page_count") - connection.pragma("freelist_count")
    return pages * int(connection.pragma("page_size"))
