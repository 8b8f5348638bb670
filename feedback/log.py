"""The durable log between the service and the trainer: appended on one side, read from a cursor on the other."""

from typing import NamedTuple, Protocol

Cursor = dict[int, int]


class Original(NamedTuple):
    """A Kafka record as its producer wrote it, kept so that a dead letter repeats it byte for byte."""

    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


class Record(NamedTuple):
    """One entry of the log, undecoded.

    `offset` counts within `partition`; `position` is the row number that a REST answer named, or None for what other
    programs wrote straight to Kafka. `accepted_at` is Unix seconds. `body` is the JSON of one feedback event; when
    `error` is set there is none to decode and the record is to be dead-lettered with that code. `traceparent` is the
    trace context that it came with.
    """

    partition: int
    offset: int
    position: int | None
    accepted_at: float
    body: bytes | None
    error: str | None = None
    original: Original | None = None
    traceparent: str | None = None


class Appended(NamedTuple):
    """What became of one batch: indices into it by outcome.

    `position` is the highest row number that holds an event of the batch, a duplicate counting where it was first
    stored; 0 when the batch has neither accepted events nor duplicates.
    """

    position: int
    accepted: list[int]
    duplicates: list[int]
    conflicts: list[int]


class FeedbackReader(Protocol):
    """Reads the log from a cursor that the caller keeps: partition number → next offset.

    A partition that the cursor does not name is read from its oldest kept record.
    One thread at a time may use a reader.
    """

    first_offset: int
    """The offset of the first record ever written to a partition."""

    @property
    def identity(self) -> str:
        """Names this very log: it changes when the log is deleted and made anew, so that a kept cursor is void.

        Empty while the log was never reached.
        """
        ...

    def read(self, cursor: Cursor, limit: int, wait_seconds: float) -> list[Record]:
        """Returns up to `limit` records from the cursor on, in order within a partition, and leaves `cursor` as it is.

        It returns as soon as there is one, and an empty list after `wait_seconds` or while the log is unreachable.

        Raises:
            FeedbackGap: records from the cursor on were removed unread.
            FeedbackReplaced: the log is not the one that was opened, or ends before the cursor.
            FeedbackUnavailable: the log cannot be read and waiting alone will not help.
        """
        ...

    def skip_blanks(self, cursor: Cursor) -> Cursor:
        """Returns the cursor moved past offsets without a record, as far as the last `read` came upon them.

        In Kafka these are transaction markers and aborted or expired records; unless skipped, `end` is never reached.
        """
        ...

    def end(self) -> Cursor:
        """The offset that the next record of each partition will get; while unreachable, the last one known."""
        ...

    def commit(self, cursor: Cursor) -> bool:
        """Tells that all before the cursor is accounted for: for lag displays and clearing only, never for resuming.

        Returns whether nothing is left to be done about it; otherwise a later call goes on.
        """
        ...

    def committed(self) -> Cursor:
        """The last cursor that was committed; empty where there is none or the log is unreachable."""
        ...

    def dead_letter(self, record: Record, code: str, detail: str) -> None:
        """Keeps a record that can never be learned from, with its reason, where a person will look for it."""
        ...

    def duplicates_refused(self) -> int:
        """How many appended events were refused as duplicates since the log began; survives restarts."""
        ...

    def close(self) -> None:
        """Releases files and connections, from any thread; a waiting `read` ends, at the latest after its wait."""
        ...
