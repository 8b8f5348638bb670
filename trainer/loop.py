"""event → example → task → learner → R matrix → decision → alias: the trainer's one line of work, in order."""

import time
from collections.abc import Callable
from typing import Any

from networks.flat import Network
from trainer.examples import StoredExample
from trainer.parts import Parts
from trainer.promoter import Outcome
from trainer.record import Step
from trainer.reporter import Reporter

CATCH_UP_SECONDS = 5.0
"""How long events may not come before a task is closed without them: longer than Kafka's reader waits to reconnect."""
CATCH_UP_WAIT_SECONDS = 0.02


class Trainer:
    """One model's trainer: a single thread calls it, and a kill at any moment loses and repeats nothing."""

    def __init__(self, parts: Parts, reporter: Reporter, on_version: Callable[[], None]) -> None:
        self._stores = parts.stores
        self._ingest = parts.ingest
        self._course = parts.course
        self._promoter = parts.promoter
        self._eraser = parts.eraser
        self._reporter = reporter
        self._on_version = on_version

    @property
    def network(self) -> Network:
        """The network being trained, as of the last applied step."""
        return self._course.network

    def begin(self) -> None:
        """Resumes where an earlier run stopped, weights and all, and makes its champion known.

        Raises:
            CorruptState: the champion's files are damaged and could not be made again.
        """
        started = time.perf_counter()
        self._course.move_to(self._stores.record.tip, lambda _done, _steps: self._save())
        self._note(self._promoter.begin(self._ingest.progress.through), started)
        self._promoter.discard()
        self._conclude()
        self._reporter.remember()

    def end(self) -> None:
        """Saves a checkpoint, so that the next start has nothing to train again, and releases everything."""
        self._save(force=True)
        self._ingest.close()
        self._eraser.close()
        self._stores.database.close()

    def advance(self, wait_seconds: float) -> bool:
        """Takes what has arrived, learns it, and promotes when that is due; returns whether anything happened.

        Without news it practises what the gate has kept back, a few times, so that a correction does not have to wait
        for the next one.
        """
        examples, steps = self._ingest.take(wait_seconds)
        if not examples and not steps and self._promoter.wants_practice:
            steps = self._ingest.practise()
        self._learn(examples, steps)
        is_due = self._promoter.is_due()
        if is_due:
            self._promote()
        if not examples and not is_due:
            self._save()
        self._ingest.acknowledge()
        self._erase()
        self._reporter.report()
        return bool(examples or steps or is_due)

    def close_task(self, task: str) -> dict[str, Any]:
        """Consolidates a task now, after all that the log holds; returns its row of the accuracy matrix.

        What the log does not hand out, as while Kafka is away, is waited for up to 5 seconds and then left for later.

        Raises:
            UnknownTask: `unknown_task` or `task_already_closed`.
        """
        self._catch_up()
        self._learn([], self._ingest.close_task(task))
        self._promote()
        self._reporter.report(at_once=True)
        matrix, is_closed = self._reporter.matrix(), self._ingest.book.is_closed(task)
        row = matrix.accuracy[-1] if is_closed and matrix.tasks else []
        return {"task": task, "closed": is_closed, "tasks": matrix.tasks, "row": row}

    def rollback(self, version: int | None) -> dict[str, Any]:
        """Serves an earlier version again and moves the whole learner back to it; by default the champion's parent.

        What was learned since stays undone; feedback goes on from the present cursor. The answer names the labels that
        the version knows: the one before any feedback may know none.

        Raises:
            UnknownVersion: `unknown_version`, `version_not_kept` or `no_previous_version`; nothing has changed.
        """
        target = self._promoter.find(version)
        step = target.lineage.round
        with self._stores.database.transaction():
            self._promoter.serve_again(target)
            self._return_to(step)
        self._course.move_to(step)
        self._promoter.crown(target)
        self._on_version()
        self._reporter.remember()
        self._reporter.narrate("rollback", {"version": target.version})
        self._reporter.report(at_once=True)
        return {"version": target.version, "labels": list(dict.fromkeys(c.label for c in target.model.columns))}

    def _erase(self) -> None:
        """Erases what is due and learns anew what its subjects had a part in; the champion is served meanwhile."""
        started, void = time.perf_counter(), self._eraser.carry_out()
        if void is not None:
            self._promoter.recount()
            self._reporter.report(at_once=True)
            if self._course.step in void:
                self._course.move_to(self._stores.record.tip, self._relearned)
            self._note(self._promoter.replace(self._ingest.progress.through), started)
            self._promoter.discard()
            self._reporter.remember()
        self._conclude()

    def _note(self, outcome: Outcome | None, started: float) -> None:
        """Tells of an outcome, if there is one, and how long it took."""
        if outcome is not None:
            self._reporter.note_outcome(outcome, time.perf_counter() - started)

    def _relearned(self, done: int, steps: int) -> None:
        self._reporter.note_progress(done, steps)
        self._go_on()

    def _conclude(self) -> None:
        erasures = self._eraser.conclude()
        for done in erasures:
            facts = {"examples": done.examples + done.probes, "withdrawn": done.withdrawn, "version": done.version}
            self._reporter.narrate("erasure", {"erasure": done.id} | facts)
        if erasures:
            self._on_version()
            self._reporter.report(at_once=True)

    def _catch_up(self) -> None:
        """Learns what the log holds now, and not what comes meanwhile: a stream may come faster than it is learned."""
        end, came_at = self._ingest.end(), time.monotonic()
        left = self._ingest.left(end)
        while left and time.monotonic() - came_at < CATCH_UP_SECONDS:
            self._learn(*self._ingest.take(CATCH_UP_WAIT_SECONDS))
            before, left = left, self._ingest.left(end)
            if left < before:
                came_at = time.monotonic()

    def _learn(self, examples: list[StoredExample], steps: list[Step]) -> None:
        self._promoter.note(examples)
        for step in steps:
            started = time.perf_counter()
            result = self._course.apply(step)
            self._reporter.note_step(step, result, time.perf_counter() - started)
            self._go_on()

    def _go_on(self) -> None:
        """What is due between two steps."""
        self._save()
        self._reporter.keep_alive()

    def _save(self, force: bool = False) -> None:
        if self._course.checkpoint(force):
            self._promoter.prune()

    def _promote(self) -> None:
        started = time.perf_counter()
        outcome = self._promoter.consider(self._ingest.progress.through)
        if outcome is None:
            return
        self._reporter.note_outcome(outcome, time.perf_counter() - started)
        if outcome.version is not None:
            self._on_version()
        if outcome.decision.verdict == "refuse" and self._promoter.returns_after_refusal:
            with self._stores.database.transaction():
                self._return_to(self._promoter.champion_step)
            self._course.move_to(self._promoter.champion_step)

    def _return_to(self, step: int) -> None:
        """Continues the record from an earlier step, with the tasks that had ended there; inside a transaction."""
        stores, book = self._stores, self._ingest.book
        stores.record.move_tip(step)
        book.follow(stores.record.closed_tasks(step), stores.examples.trained_by_task(), time.time())
        stores.database.put("tasks", book)
