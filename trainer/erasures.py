"""Requests to forget a subject, kept until the last trace is gone, and what came of them for good."""

import time
import uuid
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from contracts.erasures import Erasure, ErasureCounts, ErasureState, subject_digest
from feedback.log import Cursor
from trainer.database import Database

EVENTS = "erased_events"


class Request(NamedTuple):
    """An erasure that waits: for the events up to a position of the outbox, and up to a place in the log."""

    erasure: Erasure
    subject: str
    position: int
    until: Cursor


class Erasures:
    """All erasures of a model. Each call is one change; those inside `Database.transaction` are made with it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ask(self, subject: str, position: int, until: Cursor) -> Erasure:
        """Takes a request; while an earlier one of the same subject waits, that one covers what came since too."""
        waiting = next((request for request in self.waiting() if request.subject == subject), None)
        if waiting is not None:
            values = (position, msgspec.json.encode(until), waiting.erasure.id)
            self._database.execute("UPDATE erasures SET position=?, until=? WHERE id=?", values)
            return waiting.erasure
        erasure = Erasure(
            id=uuid.uuid4().hex, subject_sha256=subject_digest(subject), state="waiting", asked_at=time.time()
        )
        documents = (msgspec.json.encode(until), msgspec.json.encode(erasure))
        self._database.execute(
            "INSERT INTO erasures (id, revision, state, subject, position, until, document) "
            "VALUES (?1, (SELECT coalesce(max(revision), 0) + 1 FROM erasures), 'waiting', ?2, ?3, ?4, ?5)",
            (erasure.id, subject, position, *documents),
        )
        return erasure

    def waiting(self) -> list[Request]:
        """The requests that are not carried out, oldest first."""
        rows = self._database.rows(
            "SELECT document, subject, position, until FROM erasures WHERE state='waiting' AND state!='done' "
            "ORDER BY number"
        )
        return [
            Request(_erasure(document), subject, position, msgspec.json.decode(until, type=Cursor))
            for document, subject, position, until in rows
        ]

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
        query = "SELECT document FROM erasures WHERE state=? AND state!='done' ORDER BY number"
        return [_erasure(row[0]) for row in self._database.rows(query, (state,))]

    def newest(self, limit: int) -> list[Erasure]:
        """The newest first."""
        rows = self._database.rows("SELECT document FROM erasures ORDER BY number DESC LIMIT ?", (limit,))
        return [_erasure(row[0]) for row in rows]

    def revision(self) -> int:
        """Grows with every change that a certificate shows."""
        return int(self._database.value("SELECT coalesce(max(revision), 0) FROM erasures"))

    def counts(self) -> ErasureCounts:
        """What is pending, and how many events were erased by all."""
        where = "FROM erasures WHERE state != 'done'"
        oldest = self._database.value(f"SELECT document {where} ORDER BY number LIMIT 1")
        return ErasureCounts(
            pending=int(self._database.value(f"SELECT count(*) {where}")),
            oldest_asked_at=None if oldest is None else _erasure(oldest).asked_at,
            events=self._database.get(EVENTS, int, 0),
        )


def _erasure(document: bytes) -> Erasure:
    return msgspec.json.decode(document, type=Erasure)
