"""Sends a file of feedback to a running service, in batches that fit its limits."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from contracts.answers import Receipt
from contracts.errors import LifelongError
from contracts.events import FeedbackEvent
from lifelong.client import Client
from lifelong.output import stderr
from lifelong.rows import Row, read_rows
from lifelong.settings import load_settings

BATCH_ROWS = 100
BATCH_BYTES = 2 << 20
REPORTED_REJECTIONS = 20
ALL_KNOWN = (
    "all are known by their ids (those of rows without event_id are made of the file's content) and are not learned "
    "again, not even after a rollback; new ids teach them again"
)
NOTHING = Receipt(0, 0, [])


class RejectedRow(msgspec.Struct, frozen=True):
    """Why a row of the file was not accepted, here or by the service."""

    place: str
    error: str
    detail: str


class Sent(msgspec.Struct, frozen=True):
    """What became of the rows so far; `rejections` are the first few."""

    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
    position: int | None = None
    rejections: tuple[RejectedRow, ...] = ()

    def total(self) -> str:
        """The totals for people."""
        return f"accepted {self.accepted}, duplicates {self.duplicates}, rejected {self.rejected}"

    def lines(self) -> list[str]:
        """The totals, the first rejections, and what to do about these."""
        shown = [self.total(), *(f"  {one.place}: {one.detail} ({one.error})" for one in self.rejections)]
        if self.rejected > len(self.rejections):
            shown.append(f"  and {self.rejected - len(self.rejections)} more")
        if self.rejected and (self.accepted or self.duplicates):
            shown.append("mend these in a file of their own: in a changed file, rows without event_id count as new")
        if self.duplicates and not self.accepted and not self.rejected:
            shown.append(ALL_KNOWN)
        return shown


def send_file(config: Path, file: Path, address: str) -> Sent:
    """Sends a file's events with progress on stderr and returns what became of them.

    Where it ends early, stderr says first what became of the rows before: what was accepted is durable.

    Raises:
        InvalidConfiguration, BadFile, RequestRefused, ServiceUnreachable: as their functions say.
    """
    settings = load_settings(config)
    total, console = Sent(), stderr()
    with Client(address, settings.model) as client, console.status("sending") as progress:
        try:
            for total in send(client, read_rows(file, settings.input)):
                progress.update(total.total())
        except (LifelongError, KeyboardInterrupt):
            if total != Sent():
                console.print(*total.lines(), sep="\n", highlight=False, markup=False, soft_wrap=True)
            raise
    return total


def send(client: Client, rows: Iterable[Row]) -> Iterator[Sent]:
    """Sends the rows that are events and yields the running totals after each batch; an accepted event is durable.

    Raises:
        RequestRefused, ServiceUnreachable: as `Client.feedback`; the batches before are accepted.
    """
    total = Sent()
    for batch in batches(rows):
        events = [row.event for row in batch if isinstance(row.event, FeedbackEvent)]
        receipt = client.feedback(events) if events else NOTHING
        rejections = _rejections(batch, receipt)
        total = Sent(
            total.accepted + receipt.accepted,
            total.duplicates + receipt.duplicates,
            total.rejected + len(rejections) + receipt.more,
            total.position if receipt.position is None else receipt.position,
            (*total.rejections, *rejections)[:REPORTED_REJECTIONS],
        )
        yield total


def batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """The rows in order, at most `BATCH_ROWS` and, unless one alone is larger, `BATCH_BYTES` of instances each."""
    batch: list[Row] = []
    size = 0
    for row in rows:
        weight = _weight(row.event)
        if batch and (len(batch) == BATCH_ROWS or size + weight > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += weight
    if batch:
        yield batch


def _weight(event: FeedbackEvent | LifelongError) -> int:
    if isinstance(event, LifelongError) or event.instance is msgspec.UNSET:
        return 0
    return memoryview(event.instance).nbytes


def _rejections(batch: Sequence[Row], receipt: Receipt) -> list[RejectedRow]:
    """The rows of a batch that were not accepted, in order: what is no event, and what the receipt lists."""
    sent = [row.place for row in batch if isinstance(row.event, FeedbackEvent)]
    faults = {row.place: (row.event.code, row.event.detail) for row in batch if isinstance(row.event, LifelongError)}
    faults |= {sent[one.index]: (one.error, one.detail) for one in receipt.rejected}
    return [RejectedRow(row.place, *faults[row.place]) for row in batch if row.place in faults]
