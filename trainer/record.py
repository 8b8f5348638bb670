"""The record of rounds: what was trained, in which order, decided before it is applied (invariant 10).

The record is a tree. Every step names the step it continues from, so a rollback is a move of the tip, and the weights
at any step are a pure function of the chain from the root to it.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Literal

import msgspec
from msgspec.structs import replace

from trainer.database import Database, json_array

ROOT = 0


class Round(msgspec.Struct, frozen=True, kw_only=True, tag="round"):
    """Train on the examples `first_sequence`…`last_sequence` of the training split, for `passes` steps at least.

    One pass over the new rows always happens; steps beyond it revisit recent rows and the replay buffer. A round with
    no rows of its own, `first_sequence` above `last_sequence`, only does the latter. Without some of its rows it takes
    as many as one pass does then, and `least_steps`.
    """

    number: int
    parent: int
    first_sequence: int
    last_sequence: int
    steps: int
    least_steps: int | None = None


class Closing(msgspec.Struct, frozen=True, kw_only=True, tag="closing"):
    """Consolidate a task: importance, exemplars and a row of the accuracy matrix."""

    number: int
    parent: int
    task: str
    last_sequence: int
    reason: Literal["asked", "other tasks", "idle"]


Step = Round | Closing


_DECODER: msgspec.json.Decoder[Step] = msgspec.json.Decoder(Step)


class Record:
    """Appends steps, walks them back and moves the tip; writes belong inside `Database.transaction`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def tip(self) -> int:
        """The step whose weights the learner has, or is about to have."""
        return int(self._database.get("tip", int, ROOT))

    def next_number(self) -> int:
        """The number of the next step; numbers are never used twice, not even after a rollback."""
        highest = self._database.value("SELECT coalesce(max(number), 0) FROM steps")
        return int(max(highest, self._database.get("erased_step", int, ROOT))) + 1

    def append(self, steps: Sequence[Step]) -> None:
        """Adds steps and moves the tip to the last of them."""
        for step in steps:
            values = (step.number, step.parent, msgspec.json.encode(step))
            self._database.execute("INSERT INTO steps VALUES (?, ?, ?)", values)
        if steps:
            self._database.put("tip", steps[-1].number)

    def chain(self, tip: int) -> Iterator[Step]:
        """The steps from `tip` back to the root, newest first."""
        number = tip
        while number != ROOT:
            step = self.step(number)
            yield step
            number = step.parent

    def step(self, number: int) -> Step:
        """One step."""
        return _DECODER.decode(self._database.value("SELECT document FROM steps WHERE number=?", (number,)))

    def since(self, steps: Collection[int]) -> set[int]:
        """These steps and all that continue from one of them, on any branch."""
        later = set(steps)
        for number, parent in self._database.rows("SELECT number, parent FROM steps ORDER BY number"):
            if parent in later:
                later.add(number)
        return later

    def revise(self, changes: Mapping[int, Step | None]) -> None:
        """Replaces steps by others of their number; those for which there is None go, and what followed follows on."""
        heirs: dict[int, int] = {}
        for step in self._all():
            revised, parent = changes.get(step.number, step), heirs.get(step.parent, step.parent)
            if revised is None:
                self._database.put("erased_step", max(step.number, self._database.get("erased_step", int, ROOT)))
                heirs[step.number] = parent
                self._database.execute("DELETE FROM steps WHERE number=?", (step.number,))
            elif revised is not step or parent != step.parent:
                values = (parent, msgspec.json.encode(replace(revised, parent=parent)), step.number)
                self._database.execute("UPDATE steps SET parent=?, document=? WHERE number=?", values)
        self._database.put("tip", heirs.get(self.tip, self.tip))

    def way(self, number: int) -> list[int]:
        """The numbers of a step and of all that it goes on from; the root is not among them."""
        query = """
            WITH RECURSIVE way(number) AS (SELECT ?1 UNION SELECT parent FROM steps JOIN way USING (number))
            SELECT number FROM way WHERE number != ?2"""
        return [row[0] for row in self._database.rows(query, (number, ROOT))]

    def closings(self, tasks: Collection[str]) -> list[Closing]:
        """The steps that ended one of these tasks, on any branch, in order."""
        return [step for step in self._all() if isinstance(step, Closing) and step.task in tasks]

    def closed_tasks(self, tip: int) -> list[str]:
        """The tasks that were closed on the way to `tip`, in that order."""
        return [step.task for step in self.chain(tip) if isinstance(step, Closing)][::-1]

    def move_tip(self, tip: int) -> None:
        """Continues the record from `tip`; examples trained on other branches count as undone."""
        before, after = ({step.number for step in self.chain(end)} for end in (self.tip, tip))
        for undone, steps in ((True, before - after), (False, after - before)):
            encoded = json_array(sorted(steps))
            change = "UPDATE events SET undone=? WHERE step IN (SELECT value FROM json_each(?))"
            self._database.execute(change, (undone, encoded))
        self._database.put("tip", tip)

    def _all(self) -> Iterator[Step]:
        """Every step, on any branch, in order."""
        rows = self._database.rows("SELECT document FROM steps ORDER BY number")
        return (_DECODER.decode(document) for (document,) in rows)
