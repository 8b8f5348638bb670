"""What the trainer tells the service: its status after every change, the news, and the list of versions."""

import time
from collections.abc import Callable
from typing import Any, Literal

from msgspec.structs import replace

from contracts.status import Durations, Guards, Matrix, News, TaskStatus, Times, TrainerStatus
from contracts.versions import Decision, Reason, Verdict
from trainer.erasures import Erasures
from trainer.history import Aliases
from trainer.learner import TrainingResult
from trainer.parts import Parts
from trainer.promoter import Outcome
from trainer.publisher import Service
from trainer.record import Closing, Step
from trainer.traces import Traces

HEARTBEAT_SECONDS = 1.0
VERSIONS_SHOWN = 200
UNTOLD = -1
Told = Literal["round", "task", "decision", "promotion", "rollback", "erasure", "training"]
Reasons = dict[Verdict, dict[Reason, int]]


class Reporter:
    """Builds the status and hands it over; a service that missed the present champion gets it again."""

    def __init__(self, model: str, parts: Parts, service: Service, announce: Callable[[], None]) -> None:
        self._model = model
        self._parts = parts
        self._service = service
        self._announce = announce
        self._traces = Traces(model, parts.stores)
        self._erasures = Erasures(parts.stores.database)
        self._certified = UNTOLD
        self._reported_at = 0.0
        self._is_stale = True
        self._news: list[News] = []
        self._gate: dict[str, int] = parts.stores.database.get("gate", dict[str, int], {})
        self._reasons: Reasons = parts.stores.database.get("reasons", Reasons, {})
        self._guards = parts.stores.database.get("guards", Guards, Guards())
        self._durations = Durations()
        self._learned_at: float | None = parts.stores.database.get("learned_at", float)
        self._served = (0, 0)

    def note_step(self, step: Step, result: TrainingResult | None, seconds: float) -> None:
        """Takes note of an applied step."""
        if isinstance(step, Closing):
            self._durations = replace(self._durations, consolidation=seconds)
            self.narrate("task", {"task": step.task, "state": "closed", "reason": step.reason})
        elif result is not None:
            self._durations = replace(self._durations, train_step=result.step_seconds, round=seconds)
            self._learned_at = time.time()
            self._traces.note_round(step, seconds)
            self._parts.stores.database.put("learned_at", self._learned_at)
            self._note_guards(result)
            facts = {"steps": result.steps, "skipped": result.skipped, "restored": result.restored}
            rows = self._parts.stores.examples.by_sequence(result.quarantined)
            broken = {"quarantined": [row.event_id for row in rows]}
            self.narrate("round", {"round": step.number, "loss": result.loss, "seconds": seconds} | facts | broken)
        self._is_stale = True

    def note_outcome(self, outcome: Outcome, seconds: float) -> None:
        """Takes note of a promotion decision and of how long it took."""
        self._durations = replace(self._durations, decision=seconds)
        self._traces.note_outcome(outcome, seconds)
        verdict = outcome.decision.verdict
        self._count(outcome.decision)
        self.narrate("decision", {"verdict": verdict, "version": outcome.version, "reasons": outcome.decision.reasons})
        if verdict == "promote":
            self._durations = replace(self._durations, event_to_served=outcome.waited_seconds)
            self.narrate("promotion", {"version": outcome.version})
        if outcome.version is not None:
            self.remember()
        self._is_stale = True

    def narrate(self, event: Told, data: dict[str, Any]) -> None:
        """Adds one event to the stream."""
        self._news.append(News(event=event, time=time.time(), data=data))

    def note_progress(self, done: int, steps: int) -> None:
        """Says, once a second, how far the record is learned anew."""
        if self._is_silent:
            self.narrate("training", {"step": done, "steps": steps})

    def remember(self) -> None:
        """Hands the list of versions over."""
        self._service.remember(self._parts.stores.history.records(VERSIONS_SHOWN))

    def matrix(self) -> Matrix:
        """The accuracy matrix so far."""
        return self._parts.matrix.matrix(self._parts.course)

    def report(self, at_once: bool = False) -> None:
        """Hands the status over if something changed or a second has passed."""
        if self._news:
            self._service.narrate(self._news)
            self._news = []
        if not (at_once or self._is_stale or self._is_silent):
            return
        self._is_stale = False
        self._reported_at = time.monotonic()
        self._certify()
        if not self._service.report(self.status()):
            self._certified = UNTOLD
            self._announce()
            self.remember()

    def _certify(self) -> None:
        """Hands the erasures over if one of them has changed, which the registry's mirror may have done."""
        if (revision := self._erasures.revision()) != self._certified:
            self._service.certify(self._erasures.newest)
            self._certified = revision

    def keep_alive(self) -> None:
        """Reports if a second has passed: for between the steps of a long backlog."""
        if self._is_silent:
            self.report()

    @property
    def _is_silent(self) -> bool:
        return time.monotonic() - self._reported_at >= HEARTBEAT_SECONDS

    def status(self) -> TrainerStatus:
        """The trainer's status at this moment."""
        course, ingest, promoter = self._parts.course, self._parts.ingest, self._parts.promoter
        return replace(
            self._standing(),
            capacity=course.network.capacity(),
            guards=self._guards,
            reasons=self._reasons,
            limits=promoter.limits,
            times=self._times(),
            joins=dict(ingest.joins),
            workers=course.learner.workers,
            erasures=self._erasures.counts(),
        )

    def _standing(self) -> TrainerStatus:
        """Where learning and serving stand, without how it came to that."""
        stores, ingest, course = self._parts.stores, self._parts.ingest, self._parts.course
        aliases, ledger = stores.history.aliases(), ingest.ledger()
        return TrainerStatus(
            model=self._model,
            version=aliases.champion,
            generation=aliases.generation,
            round=course.step,
            processed_through=ingest.progress.through,
            served_position=self._served_position(aliases),
            labels=list(dict.fromkeys(column.label for column in course.network.columns)),
            tasks=self._tasks(),
            matrix=self.matrix(),
            ledger=ledger,
            gate=self._gate,
            seconds=self._durations,
            device=str(course.network.theta.device),
            registry_lag=stores.history.registry_lag(aliases),
            promoted_at=stores.history.promoted_at(),
            lag=ledger.pending,
        )

    def _count(self, decision: Decision) -> None:
        database, reasons = self._parts.stores.database, self._reasons.setdefault(decision.verdict, {})
        self._gate[decision.verdict] = self._gate.get(decision.verdict, 0) + 1
        for code in decision.codes or ():
            reasons[code] = reasons.get(code, 0) + 1
        with database.transaction():
            database.put("gate", self._gate)
            database.put("reasons", self._reasons)

    def _times(self) -> Times:
        stores = self._parts.stores
        rolled_back_at = stores.database.get("rolled_back_at", float)
        return Times(event=stores.examples.last_accepted_at(), round=self._learned_at, rollback=rolled_back_at)

    def _note_guards(self, result: TrainingResult) -> None:
        self._guards = replace(
            self._guards,
            rate_curvature=result.rate_curvature,
            skipped_steps=self._guards.skipped_steps + result.skipped,
            restored_rounds=self._guards.restored_rounds + result.restored,
            quarantined_rows=self._guards.quarantined_rows + len(result.quarantined),
        )
        if result.skipped or result.quarantined:
            self._parts.stores.database.put("guards", self._guards)

    def _served_position(self, aliases: Aliases) -> int:
        """How far the champion has learned: what its lineage says, and what came after it without training rows.

        A training row that was undone, or that the gate keeps back, holds it where it is.
        """
        stores = self._parts.stores
        lineage = stores.history.version(aliases.champion).lineage
        generation, position = self._served
        if generation != aliases.generation:
            position = lineage.processed_through
        if not stores.examples.has_training_after(lineage.events.last_sequence):
            position = self._parts.ingest.progress.through
        self._served = (aliases.generation, position)
        return position

    def _tasks(self) -> list[TaskStatus]:
        accuracy = self._parts.examiner.champion_accuracy()
        book = self._parts.ingest.book.tasks
        self._parts.matrix.note_worst({task.name for task in book if task.closed}, accuracy)
        best = self._parts.promoter.best()
        return [
            TaskStatus(
                task=task.name,
                state="closed" if task.closed else "open",
                trained=task.trained,
                probes=task.probes,
                accuracy=accuracy.get(task.name),
                best_accuracy=best[task.name].accuracy if task.name in best else None,
                min_accuracy=self._parts.matrix.worst.get(task.name),
            )
            for task in book
        ]
