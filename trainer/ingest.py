"""Feedback log → recorded steps: what arrived, what became of it and what will be trained, in one transaction."""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence

from contracts.status import JoinOutcome, Ledger
from feedback.errors import FeedbackGap
from feedback.log import Cursor, FeedbackReader, Record
from trainer.errors import ForeignState
from trainer.examples import StoredExample
from trainer.intake import Intake, Sorted
from trainer.planning import Plan
from trainer.policies import TaskSettings
from trainer.progress import Progress
from trainer.record import Step
from trainer.settings import LearnerSettings
from trainer.stores import Stores
from trainer.tasks import Reason, TaskBook

ROUND_EVENTS = 512
"""Events that a round takes at most: it bounds how long the first of them waits for the last."""
BACKLOG_WAIT_SECONDS = 1.0
"""How long the rest of a backlog may take to come: longer than a broker on a busy machine takes to answer."""
RESEND_WAIT_SECONDS = 5.0
"""How long a record that is known to be in the log may take to come."""
ACKNOWLEDGE_SECONDS = 1.0
"""Each time costs a transaction in the log that appends wait for, or a request to Kafka."""


Arrange = Callable[[Sequence[StoredExample], Collection[str]], list[list[StoredExample]]]
"""Puts a backlog into the order in which its parts are learned, and numbers it anew."""


class Ingest:
    """Reads the log from the stored cursor; nothing it returns can be lost or happen twice."""

    def __init__(
        self,
        reader: FeedbackReader,
        intake: Intake,
        stores: Stores,
        learner: LearnerSettings,
        tasks: TaskSettings,
        arrange: Arrange,
    ) -> None:
        self._reader = reader
        self._intake = intake
        self._stores = stores
        self._learner = learner
        self._tasks = tasks
        self._arrange = arrange
        database = stores.database
        self.book: TaskBook = database.get("tasks", TaskBook, TaskBook())
        self.progress: Progress = database.get("progress", Progress, Progress())
        self.joins: Counter[JoinOutcome] = Counter(database.get("joins", dict[JoinOutcome, int], {}))
        self._cursor: Cursor = database.get("cursor", Cursor, {})
        self._identity: str = database.get("log", str, "")
        self._has_resent = False
        self._acknowledged: Cursor = {}
        self._acknowledges_at = 0.0

    def take(self, wait_seconds: float) -> tuple[list[StoredExample], list[Step]]:
        """Waits for events; returns the examples among them and the steps to apply now, all of it recorded."""
        records, cursor, is_flooded = self._read(wait_seconds)
        self._require_same_log()
        self._resend_dead_letters()
        result = self._intake.sort(records, self.book) if records else Sorted()
        for record, letter in result.dead:
            self._reader.dead_letter(record, letter.code, letter.detail)
        parts, due = [result.examples], self._due(is_quiet=not records)
        if not records and not due and cursor == self._cursor:
            return [], []  # what an idle trainer does fifty times a second
        if len(records) > ROUND_EVENTS:
            parts = self._arrange(result.examples, {name for name, _ in due})
        plan = self._plan(parts, due, is_flooded)
        self._commit(records, result, plan, cursor)
        return [example for part in parts for example in part], plan.steps

    def practise(self) -> list[Step]:
        """Records a round without new events: more steps on recent events and exemplars."""
        plan = self._new_plan()
        plan.practise()
        with self._stores.database.transaction():
            self._stores.record.append(plan.steps)
        return plan.steps

    def close_task(self, name: str) -> list[Step]:
        """Records the closing of a task.

        Raises:
            UnknownTask: `unknown_task` or `task_already_closed`.
        """
        self.book.close(name)
        plan = self._new_plan()
        plan.close(name, "asked")
        with self._stores.database.transaction():
            self._stores.record.append(plan.steps)
            self._stores.database.put("tasks", self.book)
        return plan.steps

    def end(self) -> Cursor:
        """Where the log ends at this moment."""
        return self._reader.end()

    def left(self, end: Cursor) -> int:
        """Events before that end which have not been read yet."""
        return self._between(self._cursor, end)

    def ledger(self) -> Ledger:
        """Where every event is."""
        return self._stores.examples.ledger(self.left(self.end()), self._reader.duplicates_refused())

    def acknowledge(self) -> None:
        """Tells the log how far it has been accounted for, at most once a second and until that is done."""
        if self._cursor == self._acknowledged or time.monotonic() < self._acknowledges_at:
            return
        self._acknowledges_at = time.monotonic() + ACKNOWLEDGE_SECONDS
        if self._reader.commit(self._cursor):
            self._acknowledged = self._cursor

    def _require_same_log(self) -> None:
        """Refuses to read on in a log that took the place of the one that the cursor belongs to."""
        identity = self._reader.identity
        if identity and identity != self._identity:
            if self._identity:
                raise ForeignState("other_log", "the feedback log was replaced by another; its cursor is void")
            self._identity = identity
            self._stores.database.put("log", identity)

    def _resend_dead_letters(self) -> None:
        """Hands over once more what an earlier run noted and may not have delivered; a repeated one does no harm."""
        if self._has_resent or not self._reader.identity:
            return
        self._has_resent = True
        for letter in self._stores.examples.dead_letters(self._reader.committed()):
            place = self._reader.end() | {letter.partition: letter.offset}
            with contextlib.suppress(FeedbackGap):
                for record in self._reader.read(place, 1, RESEND_WAIT_SECONDS):
                    if (record.partition, record.offset) == (letter.partition, letter.offset):
                        self._reader.dead_letter(record, letter.code, letter.detail)

    def close(self) -> None:
        """Releases the logs."""
        self._reader.close()
        self._intake.close()

    def _read(self, wait_seconds: float) -> tuple[list[Record], Cursor, bool]:
        """A round's events or, for a curriculum, as many of those in the log as are taken at once.

        With the cursor after them, and whether more are probably waiting.
        """
        records, cursor = self._next(self._cursor, ROUND_EVENTS, wait_seconds)
        if not records or self._tasks.curriculum == "given":
            return records, cursor, len(records) == ROUND_EVENTS
        end, most = self._reader.end(), self._tasks.backlog_events
        while len(records) < most and self._between(cursor, end):
            more, cursor = self._next(cursor, most - len(records), BACKLOG_WAIT_SECONDS)
            if not more:
                break
            records += more
        return records, cursor, self._between(cursor, end) > 0

    def _next(self, cursor: Cursor, limit: int, wait_seconds: float) -> tuple[list[Record], Cursor]:
        """Up to so many events from a cursor on, and the cursor after them."""
        records = self._reader.read(cursor, limit, wait_seconds)
        cursor = cursor | {record.partition: record.offset + 1 for record in records}
        return records, self._reader.skip_blanks(cursor)

    def _between(self, cursor: Cursor, end: Cursor) -> int:
        first = self._reader.first_offset
        return sum(max(0, offset - cursor.get(partition, first)) for partition, offset in end.items())

    def _new_plan(self) -> Plan:
        return Plan(self._stores.record, self._learner, self._stores.examples.next_sequence() - 1)

    def _plan(
        self, parts: Sequence[Sequence[StoredExample]], due: Sequence[tuple[str, Reason]], is_flooded: bool
    ) -> Plan:
        """Rounds that learn the parts; a task that is over by their end is closed after the round with its last row."""
        plan = self._new_plan()
        rounds = [part[at : at + ROUND_EVENTS] for part in parts for at in range(0, len(part), ROUND_EVENTS)]
        ends = {example.task: place for place, rows in enumerate(rounds) for example in rows}
        for place in range(max(1, len(rounds))):
            if rounds:
                plan.learn(rounds[place], is_flooded or place < len(rounds) - 1)
            for name, reason in due:
                if ends.get(name, 0) == place:
                    self.book.close(name)
                    plan.close(name, reason)
        return plan

    def _due(self, is_quiet: bool) -> list[tuple[str, Reason]]:
        """Tasks to close now; silence counts at the end of the log alone, as the events of a backlog are all old."""
        due = list(self.book.due(self._tasks, time.time()))
        if all(reason != "idle" for _, reason in due):
            return due
        is_at_end = is_quiet and bool(self._reader.identity) and not self.left(self.end())
        return due if is_at_end else [(name, reason) for name, reason in due if reason != "idle"]

    def _commit(self, records: Sequence[Record], result: Sorted, plan: Plan, cursor: Cursor) -> None:
        self.progress.note(record.position for record in records)
        self.joins += result.joins
        with self._stores.database.transaction():
            for examples, number in plan.parts:
                self._stores.examples.add(examples, number)
            self._stores.examples.add_traceparents(result.traceparents)
            self._stores.examples.add_dead_letters([letter for _, letter in result.dead] + result.set_aside)
            self._stores.examples.count(dict(result.counts))
            self._stores.record.append(plan.steps)
            values = {"tasks": self.book, "progress": self.progress, "cursor": cursor, "joins": self.joins}
            for name, value in values.items():
                self._stores.database.put(name, value)
        self._cursor = cursor
