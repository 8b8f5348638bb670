"""Which tasks exist and when one ends: by an explicit call, by other tasks taking over, or by silence."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from trainer.errors import UnknownTask
from trainer.policies import TaskSettings

Reason = Literal["asked", "other tasks", "idle"]
UNNAMED = re.compile(r"task-([1-9]\d{0,8})")


class Task(msgspec.Struct, kw_only=True):
    """One task as the intake counts it; `others_in_a_row` events of other tasks have come since its last own one."""

    name: str
    closed: bool = False
    trained: int = 0
    probes: int = 0
    others_in_a_row: int = 0
    last_event_at: float = 0.0


class TaskBook(msgspec.Struct, kw_only=True):
    """All tasks in the order in which they were first seen, and how many unnamed ones have ended."""

    tasks: list[Task] = []
    unnamed_ended: int = 0

    def name_for(self, name: str | None) -> str:
        """The task of an event: its own name, or the present unnamed task."""
        return name or f"task-{self.unnamed_ended + 1}"

    def find(self, name: str) -> Task | None:
        """The task of that name, if any event has named it."""
        return next((task for task in self.tasks if task.name == name), None)

    def is_closed(self, name: str) -> bool:
        """Whether the task of that name has ended."""
        task = self.find(name)
        return task is not None and task.closed

    def note(self, name: str, is_probe: bool, at: float) -> Task:
        """Counts one event of a task and returns the task."""
        task = self.find(name)
        if task is None:
            task = Task(name=name)
            self.tasks.append(task)
        for other in self.tasks:
            other.others_in_a_row += 1
        task.others_in_a_row = 0
        task.last_event_at = at
        if is_probe:
            task.probes += 1
        else:
            task.trained += 1
        return task

    def due(self, settings: TaskSettings, now: float) -> Iterator[tuple[str, Reason]]:
        """Open tasks that the settings' rules close now, with the rule that does."""
        for task in self.tasks:
            if task.closed or task.trained == 0:
                continue
            if settings.close_after_events and task.others_in_a_row >= settings.close_after_events:
                yield task.name, "other tasks"
            elif settings.close_after_idle_seconds and now - task.last_event_at >= settings.close_after_idle_seconds:
                yield task.name, "idle"

    def close(self, name: str) -> None:
        """Ends a task; unnamed events belong to a new one from now on if it was the unnamed one.

        Raises:
            UnknownTask: `unknown_task` or `task_already_closed`.
        """
        task = self.find(name)
        if task is None or task.trained == 0:
            raise UnknownTask("unknown_task", "no training event has named that task")
        if task.closed:
            raise UnknownTask("task_already_closed", "that task is closed; late events of it are still learned")
        task.closed = True
        if name == self.name_for(None):
            self.unnamed_ended += 1

    def keep(self, probes: Mapping[str, int], trained: Mapping[str, int], closed: Collection[str]) -> None:
        """Goes on with the tasks that `probes` counts, learned and ended as the other two say."""
        self.tasks = [task for task in self.tasks if task.name in probes]
        for task in self.tasks:
            task.trained, task.probes = trained.get(task.name, 0), probes[task.name]
            task.closed = task.name in closed

    def _unnamed_ended(self, closed: Sequence[str]) -> int:
        """The number of the last unnamed task that ended, where those before it ended too or were erased."""
        ended = 0
        still_open = {_number(task.name) for task in self.tasks if task.name not in closed}
        for number in sorted(filter(None, map(_number, closed))):
            if any(ended < before < number for before in still_open):
                break
            ended = number
        return ended

    def follow(self, closed: Sequence[str], trained: Mapping[str, int], at: float) -> None:
        """Goes to where exactly the tasks `closed` have ended, in that order, and `trained` rows of each are learned.

        A task of which nothing is learned there can only be closed again when something is; what makes one end is
        counted anew from `at`.
        """
        self.unnamed_ended = self._unnamed_ended(closed)
        for task in self.tasks:
            task.closed, task.trained = task.name in closed, trained.get(task.name, 0)
            task.others_in_a_row, task.last_event_at = 0, at


def _number(name: str) -> int:
    """Which unnamed task has this name; 0 for a name that none can have."""
    found = UNNAMED.fullmatch(name)
    return int(found[1]) if found else 0
