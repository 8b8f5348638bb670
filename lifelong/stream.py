"""A stream of tasks, sent as a user's feedback would be: over REST, task after task, in small batches."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from contracts.events import FeedbackEvent
from contracts.status import Matrix
from lifelong.client import Client
from lifelong.data import DataSet, Images, Labels
from service.documents import StatusDocument

BATCH_EVENTS = 50
PROCESSED_SECONDS = 600.0
TASKS = ((0, 1), (2, 3), (4, 5), (6, 7), (8, 9))


class Task(NamedTuple):
    """Two digits: rows to learn and rows that are only ever asked about."""

    name: str
    images: Images
    labels: Labels
    test_images: Images
    test_labels: Labels


class Learned(NamedTuple):
    """What the service reports of one model after a task."""

    status: StatusDocument
    matrix: Matrix


def split(data: DataSet, rows_per_task: int, seed: int = 0) -> list[Task]:
    """Five tasks of two digits each, at most `rows_per_task` rows to learn in each, shuffled by `seed`."""
    generator = np.random.default_rng(seed)
    tasks = []
    for pair in TASKS:
        own = data.only(pair)
        order = generator.permutation(len(own.train_labels))[:rows_per_task]
        name = "-and-".join(str(digit) for digit in pair)
        tasks.append(Task(name, own.train_images[order], own.train_labels[order], own.test_images, own.test_labels))
    return tasks


def learn(clients: Sequence[Client], task: Task, advance: Callable[[], None]) -> dict[str, Learned]:
    """Sends a task's rows as feedback to several models alike and ends it; what each then reports, by its name.

    `advance` is called after each row. The models learn side by side; this waits for all of them.

    Raises:
        RequestRefused, ServiceUnreachable: as `Client` says.
    """
    positions: dict[str, int] = {}
    for start in range(0, len(task.labels), BATCH_EVENTS):
        events = _events(task, start)
        for client in clients:
            positions[client.model] = client.feedback(events).position or 0
        for _ in events:
            advance()
    for client in clients:
        client.wait_processed(positions[client.model], PROCESSED_SECONDS)
        client.close_task(task.name)
    return {client.model: Learned(client.status(), client.matrix()) for client in clients}


def test_accuracy(client: Client, tasks: Sequence[Task]) -> list[float]:
    """For each task the share in 0…1 of its test rows that the served version answers rightly over REST."""
    return [_accuracy(client, task) for task in tasks]


def _accuracy(client: Client, task: Task) -> float:
    right = 0
    for start in range(0, len(task.test_labels), 200):
        rows = slice(start, start + 200)
        answers = client.predict(task.test_images[rows].tolist()).predictions
        truth = task.test_labels[rows]
        right += sum(answer.label == str(label) for answer, label in zip(answers, truth, strict=True))
    return right / len(task.test_labels)


def _events(task: Task, start: int) -> list[FeedbackEvent]:
    """The rows from `start` on as events; ids are made of the task and the row, so that none is learned twice."""
    return [
        FeedbackEvent(
            label=str(task.labels[row]),
            event_id=f"{task.name}-{row}",
            instance=msgspec.Raw(msgspec.json.encode(task.images[row].tolist())),
            task=task.name,
        )
        for row in range(start, min(start + BATCH_EVENTS, len(task.labels)))
    ]
