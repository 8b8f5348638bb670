"""Forgetting a subject: its data is taken out of every store, and what was learned from it out of the record."""

import logging
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from msgspec.structs import replace

from contracts.erasures import Erasure
from feedback.errors import FeedbackUnavailable
from feedback.log import Cursor
from trainer.answers import Best
from trainer.copies import Copies, digest
from trainer.erasures import EVENTS, Erasures, Request
from trainer.errors import StateUnwritable
from trainer.examiner import raised
from trainer.examples import OwnExample
from trainer.ingest import Ingest
from trainer.record import Round, Step
from trainer.settings import LearnerSettings
from trainer.stores import Stores

LOGGER = logging.getLogger(__name__)
LOOK_SECONDS = 0.5
"""How often requests are looked for, and looked at while they wait."""
CLEAN_SECONDS = 30.0
"""How long a file that could not be written anew is left alone."""


class Target(NamedTuple):
    """What has to be read, and gone from the log, before a request is due: all there was when it was seen first."""

    position: int
    until: Cursor


class Found(NamedTuple):
    """What an erasure concerns, as it will be certified, and the steps of the record whose weights are void."""

    subject: str
    erasure: Erasure
    examples: list[OwnExample]
    void: set[int]


class Eraser:
    """Carries requests out, in the trainer's thread; after a kill at any moment a restart goes on.

    The erasure itself is one transaction. Before it, copies elsewhere are deleted, which may be done again; after it,
    the champion is a withdrawn version until the trainer has replaced it, and `conclude` follows.
    """

    def __init__(self, stores: Stores, ingest: Ingest, copies: Copies, learner: LearnerSettings) -> None:
        self._stores = stores
        self._ingest = ingest
        self._copies = copies
        self._learner = learner
        self._erasures = Erasures(stores.database)
        self._targets: dict[tuple[str, int], Target] = {}
        self._is_unfinished = self._is_unclean = bool(self._erasures.in_state("retraining"))
        self._looks_at = self._cleans_at = 0.0

    def carry_out(self) -> set[int] | None:
        """Erases what is due; returns the steps of the record whose weights are void, None where nothing was due."""
        if time.monotonic() < self._looks_at:
            return None
        self._looks_at = time.monotonic() + LOOK_SECONDS
        waiting = {(request.erasure.id, request.times_asked): request for request in self._erasures.waiting()}
        try:
            self._targets = {key: self._targets.get(key) or self._target() for key in waiting}
            due = [request for key, request in waiting.items() if self._is_reached(self._targets[key])]
            return self._erase(due) if due else None
        except FeedbackUnavailable as error:
            LOGGER.warning("an erasure waits: %s", error.detail)
            return None

    def conclude(self) -> list[Erasure]:
        """Returns the erasures that from now on wait for the registry alone, if for anything.

        It follows when the champion is replaced. Where a file cannot be written, there are none yet.
        """
        if not self._is_unfinished or not self._is_clean():
            return []
        erasures = self._erasures.in_state("retraining")
        for erasure in erasures:
            if erasure.withdrawn:
                self._erasures.note(replace(erasure, state="withdrawing"))
            else:
                self._erasures.complete(erasure)
        self._is_unfinished = False
        return erasures

    def close(self) -> None:
        """Releases the log."""
        self._copies.close()

    def _is_clean(self) -> bool:
        """Whether nothing erased is left in the trainer's files; tries to make it so."""
        if self._is_unclean and time.monotonic() >= self._cleans_at:
            try:
                self._stores.checkpoints.sweep()
                self._stores.database.scrub()
                self._is_unclean = False
            except StateUnwritable as error:
                self._cleans_at = time.monotonic() + CLEAN_SECONDS
                LOGGER.warning("an erasure waits: %s", error.detail)
        return not self._is_unclean

    def _target(self) -> Target:
        return Target(self._copies.position(), self._ingest.end())

    def _is_reached(self, target: Target) -> bool:
        """Whether that was read, and the log has dropped all that was read up to now: it is what will be erased."""
        read = self._ingest.progress.through
        return read >= target.position and not self._ingest.left(target.until) and self._copies.is_clear(read)

    def _erase(self, due: Sequence[Request]) -> set[int]:
        stores = self._stores
        digests = {one.subject: set(map(digest, stores.examples.instances_of(one.subject))) for one in due}
        letters, requests = self._copies.erase(digests)
        with stores.database.transaction():
            again = {request.erasure.id: request.times_asked for request in self._erasures.waiting()}
            finds = [self._found(request) for request in due if again[request.erasure.id] == request.times_asked]
            for find in finds:
                subject, withdrawn = find.subject, find.erasure.withdrawn
                stores.history.withdraw(withdrawn, find.erasure.id)
                stores.examples.erase(subject)
                counted = replace(find.erasure, dead_letters=letters[subject], requests=requests[subject])
                self._erasures.note(replace(counted, erased_at=time.time()))
            void = set[int]().union(*(find.void for find in finds))
            self._rewrite([example for find in finds for example in find.examples], void)
        self._is_unfinished = self._is_unclean = True
        self._is_clean()
        return void

    def _found(self, request: Request) -> Found:
        """What the erasure of a subject concerns."""
        history, own = self._stores.history, self._stores.examples.of_subject(request.subject)
        learned = {example.step for example in own if example.step is not None}
        void = self._stores.record.since(learned) if learned else set[int]()
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
        return Found(request.subject, erasure, own, void)

    def _rewrite(self, erased: Sequence[OwnExample], void: set[int]) -> None:
        """Leaves a record, and books, that know nothing of the erased examples."""
        stores = self._stores
        stores.history.forget_rows(void)
        stores.checkpoints.withdraw(void)
        stores.record.revise(self._without(erased))
        self._keep_books()
        stores.database.put(EVENTS, stores.database.get(EVENTS, int, 0) + len(erased))
        stores.database.note_erased()

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
        """A round with the rows it has left, and as many steps as it would have had for these; None without any."""
        left = self._stores.examples.rows_of([step.number])
        if not left:
            return None
        passes = partial(self._learner.steps_for, is_flooded=True)
        least = step.least_steps
        if least is None:  # an earlier release's round
            least = 0 if step.steps == passes(left + n_erased) else step.steps
        return replace(step, steps=max(passes(left), least))

    def _keep_books(self) -> None:
        """What is counted and compared from now on comes from what is left."""
        stores, book = self._stores, self._ingest.book
        closed = stores.record.closed_tasks(stores.record.tip)
        book.keep(stores.examples.probes_by_task(), stores.examples.trained_by_task(), closed)
        best: dict[str, Best] = {}
        for probes in stores.history.served_probes():
            best = raised(best, probes)
        stores.history.forget_baselines()
        stores.database.put("tasks", book)
        stores.database.put("best", best)
