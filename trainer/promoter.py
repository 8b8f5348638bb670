"""R matrix → decision → alias: measures the learner, asks the gate, publishes what passes."""

import logging
import time
from collections.abc import Sequence
from typing import NamedTuple

from msgspec import structs

from contracts.status import Limits
from contracts.versions import Artifact, Decision, Reason
from trainer.answers import Answers, Best
from trainer.course import Course
from trainer.errors import UnknownVersion
from trainer.examiner import Examiner, raised, report
from trainer.examples import StoredExample
from trainer.history import History
from trainer.policies import PromotionSettings
from trainer.publisher import Candidate, Publisher
from trainer.record import ROOT
from trainer.stores import Stores

logger = logging.getLogger(__name__)
ERASED = "learned again without an erased subject, in the place of a version that had learned from it"
INITIAL = Decision(verdict="promote", reasons=["the initial version: nothing was learned yet, so nothing can be lost"])
PRACTICE_ROUNDS = 3
"""Rounds without new events after which a challenger that the gate keeps back is left to the next event."""


class Outcome(NamedTuple):
    """What came of looking at a challenger: the decision and, unless it was put on hold, its version number.

    `waited_seconds` is the age of the oldest event that it learned and the champion before it had not.
    """

    decision: Decision
    version: int | None
    waited_seconds: float | None


class Promoter:
    """Decides when a challenger is due and what becomes of it."""

    def __init__(
        self, stores: Stores, course: Course, examiner: Examiner, publisher: Publisher, policy: PromotionSettings
    ) -> None:
        self._database = stores.database
        self._examples = stores.examples
        self._history: History = stores.history
        self._course = course
        self._examiner = examiner
        self._publisher = publisher
        self._policy = policy
        self._examined_at = 0.0
        self._examined_step = ROOT
        self._kept_back_step = ROOT
        self._kept_back = 0
        self.champion_step = ROOT

    def begin(self, processed_through: int) -> Outcome | None:
        """Takes up the champion of an earlier run, replaces a withdrawn one, or makes the untrained network version 1.

        Raises:
            CorruptState: `bad_version`, as `Publisher.rebuild`.
        """
        champion = self._history.aliases().champion
        if not champion:
            self._publish(self._examiner.measure(self._course.answering), INITIAL, processed_through, {})
        elif self._history.is_withdrawn(champion):
            return self.replace(processed_through)
        else:
            self.crown(self._whole(champion))
        return None

    def recount(self) -> None:
        """Measures on the probe rows that are stored, after some were erased."""
        self._examiner.refill(self._examples.probes())
        self._kept_back, self._examined_step = 0, ROOT

    def replace(self, processed_through: int) -> Outcome | None:
        """Where the champion is withdrawn, makes the learner as it is now the champion, whatever it is worth."""
        if not self._history.is_withdrawn(self._history.aliases().champion):
            return None
        decision = Decision(verdict="promote", reasons=[ERASED], codes=["erased"])
        answers = self._examiner.measure(self._course.answering)
        best = raised(self.best(), report(answers, decision))
        return Outcome(decision, self._publish(answers, decision, processed_through, best), None)

    def discard(self) -> None:
        """Deletes the files of withdrawn versions."""
        self._publisher.discard()

    def _whole(self, version: int) -> Artifact:
        """A version from its files or, where these are damaged, from the record."""
        try:
            return self._publisher.read(version)
        except UnknownVersion as fault:
            logger.warning("version %d is made again from the record: %s", version, fault.detail)
        tip, stored = self._course.step, self._history.version(version)
        self._course.move_to(stored.step)
        artifact = self._publisher.rebuild(stored, self._course.answering)
        self._course.move_to(tip)
        return artifact

    def crown(self, version: Artifact) -> None:
        """Compares with this version from now on, and has the service serve it."""
        self._examiner.enthrone(version.model.columns, version.weights, None)
        self.champion_step = version.lineage.round
        self._publisher.announce()

    @property
    def limits(self) -> Limits:
        """What a version may cost a task, alone and together with those before it."""
        return Limits(max_drop=self._policy.max_drop, budget=self._policy.budget)

    @property
    def returns_after_refusal(self) -> bool:
        """Whether the learner goes back to the champion when a challenger is refused."""
        return self._policy.refused == "restore"

    @property
    def wants_practice(self) -> bool:
        """Whether the gate kept the learner back as it is now, and more steps on the same events may still help."""
        is_kept_back = self._course.step == self._kept_back_step != ROOT
        return is_kept_back and self._kept_back <= PRACTICE_ROUNDS and not self.returns_after_refusal

    def best(self) -> dict[str, Best]:
        """Per task, the best that a promoted version reached."""
        best: dict[str, Best] = self._database.get("best", dict[str, Best], {})
        return best

    def note(self, examples: Sequence[StoredExample]) -> None:
        """Takes note of new examples and adds the probe rows among them."""
        if examples:
            self._kept_back, self._examined_step = 0, ROOT
        self._examiner.add(examples)

    def find(self, version: int | None) -> Artifact:
        """A version, whole and checked; by default the one that the champion was learned from.

        Raises:
            UnknownVersion: `unknown_version`, `version_not_kept` or `no_previous_version`.
        """
        target = self._history.aliases().previous if version is None else version
        if target is None:
            raise UnknownVersion("no_previous_version", "there is no version before the present one")
        self._history.version(target)
        if self._history.is_withdrawn(target):
            raise UnknownVersion("version_not_kept", "the version was withdrawn: it had learned from an erased subject")
        return self._publisher.read(target)

    def serve_again(self, version: Artifact) -> None:
        """Makes a version the champion; belongs inside `Database.transaction`, and `crown` after it.

        What it reached counts for the budget from now on, whatever versions without its labels made of that meanwhile.
        """
        self._database.put("best", raised(self.best(), version.probes))
        now = time.time()
        if version.version <= self._history.aliases().champion:
            self._database.put("rolled_back_at", now)
        self._history.serve(version.version, now)

    def prune(self) -> None:
        """Deletes versions and checkpoints that nothing goes back to any more."""
        self._publisher.prune(self._policy.keep_versions)

    def is_due(self) -> bool:
        """Whether something new was learned and the last look at it was long enough ago."""
        unseen = self._course.step not in (self.champion_step, self._examined_step)
        return unseen and time.monotonic() - self._examined_at >= self._policy.min_interval_seconds

    def consider(self, processed_through: int) -> Outcome | None:
        """Measures the learner beside the champion and does what the gate says; None where it answers as that does."""
        self._examined_at = time.monotonic()
        self._examined_step = self._course.step
        answering = self._course.answering
        if self._examiner.is_champion(answering):
            return None
        challenger = self._examiner.measure(answering)
        current = self._examples.tasks_trained_since(self._first_new())
        decision, best = self._examiner.judge(challenger, current, self.best())
        if decision.verdict != "promote":
            self._kept_back_step, self._kept_back = self._course.step, self._kept_back + 1
        if decision.verdict == "hold":
            return Outcome(decision, None, None)
        if decision.verdict == "promote" and self._policy.mode != "auto":
            reason = f"it passed the gate, but promotion.mode is {self._policy.mode}"
            codes: list[Reason] = ["not_auto", *(decision.codes or ())]
            decision = structs.replace(decision, verdict="hold", reasons=[reason, *decision.reasons], codes=codes)
        oldest = self._examples.oldest_since(self._first_new())
        version = self._publish(challenger, decision, processed_through, best)
        return Outcome(decision, version, None if oldest is None else time.time() - oldest)

    def _first_new(self) -> int:
        """The first sequence number that the champion has not learned."""
        champion = self._history.version(self._history.aliases().champion)
        return champion.lineage.events.last_sequence + 1

    def _publish(self, answers: Answers, decision: Decision, processed: int, best: dict[str, Best]) -> int:
        network = self._course.answering
        last = self._examples.next_sequence() - 1
        matrix = self._history.matrix(self._course.closings)
        candidate = Candidate(network, self._course.step, last, processed, report(answers, decision), matrix)
        version = self._publisher.publish(candidate, best)
        if decision.verdict == "promote":
            self._examiner.enthrone(network.columns, network.weights(), answers)
            self.champion_step = self._course.step
        self.prune()
        return version
