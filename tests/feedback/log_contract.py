"""What every feedback log promises, as checks that run on each implementation and on doubles that break a promise."""

import threading
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Protocol

import msgspec

from feedback.errors import FeedbackGap, FeedbackReplaced
from feedback.log import Cursor, FeedbackReader, Record

WAIT_SECONDS = 20.0


class Log(Protocol):
    """One log under test: how to write to it, shorten it and open it again."""

    def open(self) -> FeedbackReader: ...

    def write(self, bodies: list[bytes]) -> None: ...

    def write_blanks(self) -> None:
        """Uses up offsets without a record, where the log has such a thing."""

    def drop(self, count: int) -> None:
        """Removes the oldest `count` records for good."""

    def dead_letters(self) -> Iterable[tuple[bytes | None, str, str]]:
        """Body, code and detail of what was put aside."""


def bodies(count: int) -> list[bytes]:
    """Bodies of events, all different."""
    return [msgspec.json.encode({"event_id": uuid.uuid4().hex, "label": str(number)}) for number in range(count)]


def read_all(reader: FeedbackReader, cursor: Cursor, count: int, limit: int = 1000) -> list[Record]:
    """Reads on until `count` records came, moving the cursor as a trainer does."""
    records: list[Record] = []
    deadline = time.monotonic() + WAIT_SECONDS
    while len(records) < count and time.monotonic() < deadline:
        found = reader.read(cursor, limit, 0.2)
        assert len(found) <= limit
        records.extend(found)
        for record in found:
            cursor[record.partition] = record.offset + 1
    return records


def check_nothing_to_read(log: Log) -> None:
    reader = log.open()
    started = time.monotonic()
    assert reader.read({}, 10, 0.1) == []
    assert time.monotonic() - started < WAIT_SECONDS


def check_order_and_content(log: Log) -> None:
    reader, written, before = log.open(), bodies(25), time.time()
    log.write(written)
    records = read_all(reader, {}, 25)
    assert [record.body for record in records] == written
    first = records[0].offset
    assert [record.offset for record in records] == list(range(first, first + 25))
    assert {record.partition for record in records} == {0}
    assert all(record.error is None for record in records)
    assert all(before - 0.002 <= record.accepted_at <= time.time() for record in records)


def check_chunks_join(log: Log) -> None:
    reader, written = log.open(), bodies(40)
    log.write(written)
    for limit in (1, 3, 7, 1000):
        records = read_all(reader, {}, 40, limit)
        assert [record.body for record in records] == written


def check_cursor_belongs_to_caller(log: Log) -> None:
    reader, written = log.open(), bodies(10)
    log.write(written)
    records = read_all(reader, {}, 10)
    cursor = {0: records[4].offset}
    for _ in range(3):
        again = read_all(reader, dict(cursor), 1, limit=1)
        assert [record.body for record in again] == [written[4]]
    kept = dict(cursor)
    reader.read(cursor, 10, 0.2)
    assert cursor == kept


def check_news_end_the_wait(log: Log) -> None:
    reader, late = log.open(), bodies(1)
    cursor = {0: reader.end().get(0, 0)}
    writer = threading.Timer(0.3, log.write, [late])
    writer.start()
    records = read_all(reader, cursor, 1)
    writer.join()
    assert [record.body for record in records] == late


def check_end(log: Log) -> None:
    reader = log.open()
    log.write(bodies(3))
    records = read_all(reader, {}, 3)
    assert reader.end() == {0: records[-1].offset + 1}
    assert reader.read(reader.end(), 10, 0.1) == []


def check_blanks_alone_are_skipped(log: Log) -> None:
    reader, written = log.open(), bodies(5)
    log.write_blanks()
    log.write(written)
    log.write_blanks()
    cursor: Cursor = {}
    records: list[Record] = []
    deadline = time.monotonic() + WAIT_SECONDS
    while cursor != reader.end() and time.monotonic() < deadline:
        found = reader.read(cursor, 2, 0.1)
        records.extend(found)
        cursor = reader.skip_blanks(cursor | {record.partition: record.offset + 1 for record in found})
    assert [record.body for record in records] == written
    assert cursor == reader.end()


def check_resumes_elsewhere(log: Log) -> None:
    reader, written = log.open(), bodies(12)
    log.write(written)
    cursor: Cursor = {}
    read_all(reader, cursor, 5, limit=5)
    identity = reader.identity
    reader.close()
    other = log.open()
    rest = read_all(other, cursor, 7)
    assert [record.body for record in rest] == written[5:]
    assert other.identity == identity != ""


def check_commit_is_for_display(log: Log) -> None:
    reader, written = log.open(), bodies(8)
    log.write(written)
    records = read_all(reader, {}, 8)
    middle = {0: records[4].offset}
    reader.commit(middle)
    deadline = time.monotonic() + WAIT_SECONDS
    while reader.committed() != middle and time.monotonic() < deadline:
        reader.read(reader.end(), 1, 0.05)
    assert reader.committed() == middle
    assert [record.body for record in read_all(reader, dict(middle), 4)] == written[4:]


def check_commit_says_when_it_is_done(log: Log) -> None:
    reader = log.open()
    log.write(bodies(8))
    end = {0: read_all(reader, {}, 8)[-1].offset + 1}
    deadline = time.monotonic() + WAIT_SECONDS
    while not reader.commit(dict(end)) and time.monotonic() < deadline:
        reader.read(end, 1, 0.05)
    assert reader.commit(dict(end))
    assert reader.committed() == end


def check_gap_is_named(log: Log) -> None:
    reader, written = log.open(), bodies(20)
    log.write(written)
    first = read_all(reader, {}, 20)[0].offset
    reader.close()
    log.drop(12)
    reader, cursor = log.open(), {0: first + 5}
    gap = _gap(reader, cursor)
    assert (gap.partition, gap.first, gap.last) == (0, first + 5, first + 11)
    assert str(first + 11) in gap.detail
    assert [record.body for record in read_all(reader, {0: gap.last + 1}, 8)] == written[12:]


def check_newcomer_meets_no_gap(log: Log) -> None:
    reader, written = log.open(), bodies(20)
    log.write(written)
    read_all(reader, {}, 20)
    reader.close()
    log.drop(12)
    assert [record.body for record in read_all(log.open(), {}, 8)] == written[12:]


def check_foreign_cursor(log: Log) -> None:
    reader = log.open()
    log.write(bodies(3))
    read_all(reader, {}, 3)
    beyond = {0: reader.end()[0] + 100}
    try:
        records = read_all(reader, beyond, 1)
    except FeedbackReplaced:
        return
    raise AssertionError(f"a cursor beyond the end was read: {len(records)} records")


def check_dead_letter_is_kept(log: Log) -> None:
    reader, written = log.open(), bodies(2)
    log.write(written)
    records = read_all(reader, {}, 2)
    reader.dead_letter(records[1], "invalid_event", "$.label: too long")
    reader.close()
    assert list(log.dead_letters()) == [(written[1], "invalid_event", "$.label: too long")]


def check_close_ends_a_wait(log: Log) -> None:
    reader = log.open()
    reader.read({}, 1, 0.1)
    closer = threading.Timer(0.2, reader.close)
    started = time.monotonic()
    closer.start()
    assert reader.read(reader.end(), 1, 2.0) == []
    closer.join()
    assert time.monotonic() - started < WAIT_SECONDS
    assert reader.read({}, 1, 0.0) == []


def _gap(reader: FeedbackReader, cursor: Cursor) -> FeedbackGap:
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        try:
            records = reader.read(cursor, 100, 0.2)
        except FeedbackGap as gap:
            return gap
        assert not records, "a gap was passed over in silence"
    raise AssertionError("the gap was not noticed")


CHECKS: dict[str, Callable[[Log], None]] = {
    name.removeprefix("check_"): check for name, check in list(globals().items()) if name.startswith("check_")
}
