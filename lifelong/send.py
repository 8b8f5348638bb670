"""Sends a file of feedback to a running service, in batches that fit its limits."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from contracts.answers import Rejection
from contracts.events import FeedbackEvent
from lifelong.client import Client
from lifelong.output import stderr
from lifelong.rows import read_events
from lifelong.settings import load_settings

BATCH_EVENTS = 100
BATCH_BYTES = 2 << 20
REPORTED_REJECTIONS = 20


class Sent(msgspec.Struct, frozen=True):
    """What became of the events so far; `rejections` are the first few, their index counted over the whole file."""

    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
    position: int | None = None
    rejections: tuple[Rejection, ...] = ()

    def lines(self) -> list[str]:
        """The totals for people, and the first rejections."""
        total = f"accepted {self.accepted}, duplicates {self.duplicates}, rejected {self.rejected}"
        return [total, *(f"  event {one.index}: {one.detail} ({one.error})" for one in self.rejections)]


def send_file(config: Path, file: Path, address: str) -> Sent:
    """Sends a file's events with progress on stderr and returns what became of them.

    Raises:
        InvalidConfiguration, BadFile, RequestRefused, ServiceUnreachable: as their functions say.
    """
    settings = load_settings(config)
    total = Sent()
    with Client(address, settings.model) as client, stderr().status("sending") as progress:
        for total in send(client, read_events(file, settings.input)):
            progress.update(f"accepted {total.accepted}, duplicates {total.duplicates}, rejected {total.rejected}")
    return total


def send(client: Client, events: Iterable[FeedbackEvent]) -> Iterator[Sent]:
    """Sends the events and yields the running totals after each batch; an accepted event is durable.

    Raises:
        RequestRefused, ServiceUnreachable: as `Client.feedback`; the batches before are accepted.
    """
    total, sent = Sent(), 0
    for batch in batches(events):
        receipt = client.feedback(batch)
        rejections = [Rejection(sent + one.index, one.error, one.detail) for one in receipt.rejected]
        sent += len(batch)
        total = Sent(
            total.accepted + receipt.accepted,
            total.duplicates + receipt.duplicates,
            total.rejected + len(rejections) + receipt.more,
            total.position if receipt.position is None else receipt.position,
            (*total.rejections, *rejections)[:REPORTED_REJECTIONS],
        )
        yield total


def batches(events: Iterable[FeedbackEvent]) -> Iterator[list[FeedbackEvent]]:
    """The events in order, at most `BATCH_EVENTS` and, unless one alone is larger, `BATCH_BYTES` of instances each."""
    batch: list[FeedbackEvent] = []
    size = 0
    for event in events:
        weight = 0 if event.instance is msgspec.UNSET else memoryview(event.instance).nbytes
        if batch and (len(batch) == BATCH_EVENTS or size + weight > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(event)
        size += weight
    if batch:
        yield batch
