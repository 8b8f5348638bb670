"""Forgetting a subject: its data is taken out of every store, and what was learned from it out of the record."""

import logging
import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from msgspec.structs import replace

from contracts.erasures import Erasure
from feedback.errors import FeedbackUnavailable
from trainer.answers import Best
from trainer.copies import Copies
from trainer.erasures import EVENTS, Erasures, Request
from trainer.examiner import raised
from trainer.examples import OwnExample
from trainer.ingest import Ingest
from trainer.record import Round, Step
from trainer.settings import LearnerSettings
from trainer.stores import Stores

LOGGER = logging.getLogger(__name__)
LOOK_SECONDS = 0.5
"""How often a request is looked at that waits: each time costs some queries."""


class Found(NamedTuple):
    """What an erasure concerns, as it will be certified, and the steps of the record whose weights are void."""

    request: Request
    erasure: Erasure
    void: set[int]


class Eraser:
    """Carries requests out, in the trainer's thread; a kill at any moment leaves what a restart goes on from.

    The erasure itself is one transaction. Before it, copies elsewhere are deleted, which may be done again; after it,
    the champion is a withdrawn version until the trainer has replaced it, and `conclude` follows.
    """

    def __init__(self, stores: Stores, ingest: Ingest, copies: Copies, learner: LearnerSettings) -> None:
        self._stores = stores
        self._ingest = ingest
        self._copies = copies
        self._learner = learner
        self._erasures = Erasures(stores.database)
        self._waiting = self._erasures.waiting()
        self._looks_at = 0.0

    def ask(self, subject: str) -> Erasure:
        """Takes a request: all events of the subject that were accepted so far are to go."""
        erasure = self._erasures.ask(subject, self._copies.position(), self._ingest.end())
        self._waiting = self._erasures.waiting()
        self._looks_at = 0.0
        return erasure

    def carry_out(self) -> set[int] | None:
        """Erases what is due; returns the steps of the record whose weights are void, None where nothing was due."""
        if not self._waiting or time.monotonic() < self._looks_at:
            return None
        self._looks_at = time.monotonic() + LOOK_SECONDS
        due = [request for request in self._waiting if self._is_due(request)]
        if not due:
            return None
        try:
            return self._erase(due)
        except FeedbackUnavailable as error:
            LOGGER.warning("an erasure waits: %s", error.detail)
            return None

    def conclude(self) -> list[Erasure]:
        """Deletes what the database names no more; returns the erasures that wait for the registry alone, if at all."""
        erasures = self._erasures.in_state("retraining")
        if erasures:
            self._stores.checkpoints.sweep()
            self._stores.database.scrub()
        for erasure in erasures:
            if erasure.withdrawn:
                self._erasures.note(replace(erasure, state="withdrawing"))
            else:
                self._erasures.complete(erasure)
        return erasures

    def close(self) -> None:
        """Releases the log."""
        self._copies.close()

    def _is_due(self, request: Request) -> bool:
        """Whether every event that the request is about was read, and its body is gone from the log."""
        is_read = self._ingest.progress.through >= request.position and not self._ingest.left(request.until)
        return is_read and self._copies.is_clear(request.position)

    def _erase(self, due: Sequence[Request]) -> set[int]:
        stores = self._stores
        owned = {request.subject: stores.examples.of_subject(request.subject) for request in due}
        instances = {subject: {example.instance for example in own} for subject, own in owned.items()}
        letters, requests = self._copies.erase(instances)
        with stores.database.transaction():
            finds = [self._found(request, owned[request.subject]) for request in due]
            void = set[int]().union(*(find.void for find in finds))
            for find in finds:
                subject, erasure = find.request.subject, find.erasure
                stores.history.withdraw(erasure.withdrawn, erasure.id)
                stores.examples.erase(subject)
                self._erasures.note(
                    replace(erasure, dead_letters=letters[subject], requests=requests[subject], erased_at=time.time())
                )
            stores.history.forget_rows(void)
            stores.checkpoints.withdraw(void)
            stores.record.revise(self._without([example for own in owned.values() for example in own]))
            self._keep_books()
            erased = stores.database.get(EVENTS, int, 0) + sum(map(len, owned.values()))
            stores.database.put(EVENTS, erased)
            stores.database.note_erased()
        self._waiting = self._erasures.waiting()
        return void

    def _found(self, request: Request, own: Sequence[OwnExample]) -> Found:
        """What the erasure of a subject concerns."""
        history = self._stores.history
        void = self._stores.record.since({example.step for example in own if example.step is not None})
        withdrawn = history.standing(void)
        probes = sum(example.split == "probe" for example in own)
        erasure = replace(
            request.erasure,
            state="retraining",
            examples=len(own) - probes,
            probes=probes,
            withdrawn=withdrawn,
            version=history.next_version() if history.aliases().champion in withdrawn else None,
            not_erased=self._copies.elsewhere,
        )
        return Found(request, erasure, void)

    def _without(self, examples: Sequence[OwnExample]) -> dict[int, Step | None]:
        """The rounds that learned the examples, and the ends of their tasks, as they would be had these never come."""
        record, changes = self._stores.record, dict[int, Step | None]()
        for number, n_erased in Counter(example.step for example in examples if example.step is not None).items():
            step = record.step(number)
            if isinstance(step, Round):
                changes[number] = self._shortened(step, n_erased)
        for step in record.closings({example.task for example in examples}):
            if not self._stores.examples.rows_of(record.way(step.number), step.task):
                changes[step.number] = None
        return changes

    def _shortened(self, step: Round, n_erased: int) -> Round | None:
        """A round with the rows it has left; None where it has none. It takes no more passes than it did."""
        left = self._stores.examples.rows_of([step.number])
        if not left:
            return None
        is_one_pass = step.steps == self._learner.steps_for(left + n_erased, is_flooded=True)
        return replace(step, steps=self._learner.steps_for(left, is_flooded=True)) if is_one_pass else step

    def _keep_books(self) -> None:
        """What is counted and compared from now on comes from what is left."""
        stores, book = self._stores, self._ingest.book
        closed = stores.record.closed_tasks(stores.record.tip)
        book.keep(stores.examples.probes_by_task(), stores.examples.trained_by_task(), closed)
        best: dict[str, Best] = {}
        for version in stores.history.served():
            best = raised(best, version.probes)
        stores.database.put("tasks", book)
        stores.database.put("best", best)
