"""Requests to forget a subject, kept until the last trace is gone, and what came of them for good."""

import time
import uuid
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from contracts.erasures import Erasure, ErasureCounts, ErasureState, subject_digest
from trainer.database import Database

EVENTS = "erased_events"
SHOWN = 1000
PENDING = "state != 'done'"
"""The condition of the index by which SQLite finds them among all that ever were."""


class Request(NamedTuple):
    """An erasure that waits, of a subject that was named so many times."""

    erasure: Erasure
    subject: str
    times_asked: int


class Erasures:
    """All erasures of a model. Each call is one change; those inside `Database.transaction` are made with it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ask(self, subject: str) -> Erasure:
        """Takes a request; while an earlier one of the same subject waits, that one covers what came since too.

        Belongs inside `Database.transaction`.
        """
        waiting = next((request for request in self.waiting() if request.subject == subject), None)
        if waiting is not None:
            again = "UPDATE erasures SET times_asked = times_asked + 1 WHERE id=?"
            self._database.execute(again, (waiting.erasure.id,))
            return waiting.erasure
        erasure = Erasure(
            id=uuid.uuid4().hex, subject_sha256=subject_digest(subject), state="waiting", asked_at=time.time()
        )
        self._database.execute(
            "INSERT INTO erasures (id, revision, state, subject, document) "
            "VALUES (?1, (SELECT coalesce(max(revision), 0) + 1 FROM erasures), 'waiting', ?2, ?3)",
            (erasure.id, subject, msgspec.json.encode(erasure)),
        )
        return erasure

    def waiting(self) -> list[Request]:
        """The requests that are not carried out, oldest first."""
        where = f"state = 'waiting' AND {PENDING} ORDER BY number"
        rows = self._database.rows(f"SELECT document, subject, times_asked FROM erasures WHERE {where}")
        return [Request(_erasure(document), subject, times) for document, subject, times in rows]

    def note(self, erasure: Erasure) -> None:
        """Replaces what is known of an erasure that waits no more; the subject's name goes."""
        self._database.execute(
            "UPDATE erasures SET document=?, state=?, subject=NULL, "
            "revision=(SELECT max(revision) + 1 FROM erasures) WHERE id=?",
            (msgspec.json.encode(erasure), erasure.state, erasure.id),
        )

    def complete(self, erasure: Erasure) -> None:
        """Its last trace is gone."""
        self.note(replace(erasure, state="done", completed_at=time.time()))

    def in_state(self, state: ErasureState) -> list[Erasure]:
        """Those that are pending in one state, oldest first."""
        query = f"SELECT document FROM erasures WHERE state=? AND {PENDING} ORDER BY number"
        return [_erasure(row[0]) for row in self._database.rows(query, (state,))]

    def newest(self) -> list[Erasure]:
        """The last thousand, newest first."""
        rows = self._database.rows("SELECT document FROM erasures ORDER BY number DESC LIMIT ?", (SHOWN,))
        return [_erasure(row[0]) for row in rows]

    def revision(self) -> int:
        """Grows with every change that a certificate shows."""
        return int(self._database.value("SELECT coalesce(max(revision), 0) FROM erasures"))

    def counts(self) -> ErasureCounts:
        """What is pending, and how many events were erased by all."""
        where = f"FROM erasures WHERE {PENDING}"
        oldest = self._database.value(f"SELECT document {where} ORDER BY number LIMIT 1")
        return ErasureCounts(
            pending=int(self._database.value(f"SELECT count(*) {where}")),
            oldest_asked_at=None if oldest is None else _erasure(oldest).asked_at,
            events=self._database.get(EVENTS, int, 0),
        )


def _erasure(document: bytes) -> Erasure:
    return msgspec.json.decode(document, type=Erasure)
