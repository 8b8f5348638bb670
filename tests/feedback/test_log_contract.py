"""Both logs keep the contract, and every check of it fails on a log that breaks that promise."""

import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition

from feedback.kafka import KafkaReader
from feedback.log import Cursor, FeedbackReader, Record
from feedback.settings import KafkaSettings
from feedback.sqlite import PARTITION, SqliteLog
from tests.broker import Broker
from tests.feedback.log_contract import CHECKS, Log


class SqliteUnderTest:
    """The embedded log in a file of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened: list[FeedbackReader] = []

    def open(self) -> FeedbackReader:
        reader = SqliteLog(self._path)
        self._opened.append(reader)
        return reader

    def write(self, bodies: list[bytes]) -> None:
        with_ids = [(uuid.uuid4().hex, body) for body in bodies]
        writer = SqliteLog(self._path)
        assert len(writer.append(with_ids).accepted) == len(bodies)
        writer.close()

    def write_blanks(self) -> None:
        """Every position of this log holds an event."""

    def drop(self, count: int) -> None:
        log = SqliteLog(self._path)
        log.commit({PARTITION: count + 1})
        log.close()

    def dead_letters(self) -> Iterable[tuple[bytes | None, str, str]]:
        log = SqliteLog(self._path)
        letters = log.dead_letters()
        log.close()
        return [(letter.body, letter.code, letter.detail) for letter in letters]

    def close(self) -> None:
        for reader in self._opened:
            reader.close()


class KafkaUnderTest:
    """A topic of its own on a shared broker."""

    def __init__(self, broker: Broker) -> None:
        self._servers = broker.bootstrap_servers
        self._model = uuid.uuid4().hex
        self._settings = KafkaSettings(kind="kafka", bootstrap_servers=self._servers)
        self._topic = self._settings.topic_of(self._model)
        self._opened: list[FeedbackReader] = []

    def open(self) -> FeedbackReader:
        reader = KafkaReader(self._settings, self._model)
        self._opened.append(reader)
        assert reader.end()
        return reader

    def write(self, bodies: list[bytes]) -> None:
        producer = KafkaProducer(bootstrap_servers=self._servers, linger_ms=5)
        for body in bodies:
            producer.send(self._topic, body)
        producer.flush()
        producer.close()

    def write_blanks(self) -> None:
        producer = KafkaProducer(bootstrap_servers=self._servers, transactional_id=uuid.uuid4().hex)
        producer.init_transactions()
        for _ in range(2):
            producer.begin_transaction()
            producer.send(self._topic, b"aborted")
            producer.flush()
            producer.abort_transaction()
        producer.close()

    def drop(self, count: int) -> None:
        admin = KafkaAdminClient(bootstrap_servers=self._servers)
        admin.delete_records({TopicPartition(self._topic, 0): count})
        admin.close()

    def dead_letters(self) -> Iterable[tuple[bytes | None, str, str]]:
        place = TopicPartition(self._settings.dead_letter_topic_of(self._model), 0)
        consumer = KafkaConsumer(bootstrap_servers=self._servers, enable_auto_commit=False)
        consumer.assign([place])
        consumer.seek(place, 0)
        found = consumer.poll(timeout_ms=5000).get(place, [])
        consumer.close()
        for message in found:
            headers = dict(message.headers)
            yield message.value, headers["lifelong-error"].decode(), headers["lifelong-detail"].decode()

    def close(self) -> None:
        for reader in self._opened:
            reader.close()


@pytest.fixture
def sqlite_log(tmp_path: Path) -> Iterator[SqliteUnderTest]:
    log = SqliteUnderTest(tmp_path / "feedback.db")
    yield log
    log.close()


@pytest.fixture
def kafka_log(broker: Broker) -> Iterator[KafkaUnderTest]:
    log = KafkaUnderTest(broker)
    yield log
    log.close()


@pytest.mark.unit
@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS.keys())
def test_sqlite_keeps_the_contract(check: Callable[[Log], None], sqlite_log: SqliteUnderTest) -> None:
    check(sqlite_log)


@pytest.mark.real
@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS.keys())
def test_kafka_keeps_the_contract(check: Callable[[Log], None], kafka_log: KafkaUnderTest) -> None:
    check(kafka_log)


class _Broken:
    """A reader that passes everything on; each subclass breaks one promise."""

    def __init__(self, log: FeedbackReader) -> None:
        self._log = log
        self.identity = log.identity
        self.first_offset = log.first_offset

    def read(self, cursor: Cursor, limit: int, wait_seconds: float) -> list[Record]:
        return self._log.read(cursor, limit, wait_seconds)

    def skip_blanks(self, cursor: Cursor) -> Cursor:
        return self._log.skip_blanks(cursor)

    def end(self) -> Cursor:
        return self._log.end()

    def commit(self, cursor: Cursor) -> bool:
        return self._log.commit(cursor)

    def committed(self) -> Cursor:
        return self._log.committed()

    def dead_letter(self, record: Record, code: str, detail: str) -> None:
        self._log.dead_letter(record, code, detail)

    def duplicates_refused(self) -> int:
        return self._log.duplicates_refused()

    def close(self) -> None:
        self._log.close()


class Inventing(_Broken):
    def read(self, *_: object) -> list[Record]:
        return [Record(0, 1, 1, 0.0, b"{}")]


class Reversing(_Broken):
    def read(self, cursor: Cursor, limit: int, wait_seconds: float) -> list[Record]:
        return super().read(cursor, limit, wait_seconds)[::-1]


class Overfilling(_Broken):
    def read(self, cursor: Cursor, limit: int, wait_seconds: float) -> list[Record]:
        return super().read(cursor, limit + 1, wait_seconds)


class MovingTheCursor(_Broken):
    def read(self, cursor: Cursor, limit: int, wait_seconds: float) -> list[Record]:
        records = super().read(cursor, limit, wait_seconds)
        cursor.update({record.partition: record.offset + 1 for record in records})
        return records


class KeepingItsOwnPlace(_Broken):
    _place: Cursor | None = None

    def read(self, cursor: Cursor, limit: int, wait_seconds: float) -> list[Record]:
        records = super().read(self._place or cursor, limit, wait_seconds)
        self._place = {record.partition: record.offset + 1 for record in records} or self._place
        return records


class Stale(_Broken):
    _first: list[Record] | None = None

    def read(self, cursor: Cursor, limit: int, *_: object) -> list[Record]:
        if self._first is None:
            self._first = super().read(cursor, limit, 0.0)
        return self._first


class OffByOne(_Broken):
    def end(self) -> Cursor:
        return {partition: offset - 1 for partition, offset in self._log.end().items()}


class Hasty(_Broken):
    def skip_blanks(self, cursor: Cursor) -> Cursor:
        return cursor | self._log.end()


class Anonymous(_Broken):
    def __init__(self, log: FeedbackReader) -> None:
        super().__init__(log)
        self.identity = uuid.uuid4().hex


class Forgetful(_Broken):
    def commit(self, *_: object) -> bool:
        return True

    def dead_letter(self, *_: object) -> None:
        return


class Overlooking(_Broken):
    """Treats every cursor that it does not understand as the oldest record."""

    def read(self, cursor: Cursor, limit: int, wait_seconds: float) -> list[Record]:
        oldest = self._log.read({}, 1, 0.0)
        is_known = oldest and oldest[0].offset <= cursor.get(0, 1) <= self._log.end()[0]
        return self._log.read(cursor if is_known else {}, limit, wait_seconds)


class NeverNewcomer(_Broken):
    def read(self, cursor: Cursor, limit: int, wait_seconds: float) -> list[Record]:
        return [] if cursor == {} else super().read(cursor, limit, wait_seconds)


BREACHES: list[tuple[type[_Broken], str]] = [
    (Inventing, "nothing_to_read"),
    (Reversing, "order_and_content"),
    (Overfilling, "chunks_join"),
    (MovingTheCursor, "cursor_belongs_to_caller"),
    (KeepingItsOwnPlace, "cursor_belongs_to_caller"),
    (Stale, "chunks_join"),
    (OffByOne, "end"),
    (Hasty, "blanks_alone_are_skipped"),
    (Anonymous, "resumes_elsewhere"),
    (Forgetful, "commit_is_for_display"),
    (Forgetful, "commit_says_when_it_is_done"),
    (Overlooking, "gap_is_named"),
    (NeverNewcomer, "newcomer_meets_no_gap"),
    (Overlooking, "foreign_cursor"),
    (Forgetful, "dead_letter_is_kept"),
]


@pytest.mark.unit
@pytest.mark.parametrize(("double", "name"), BREACHES, ids=[f"{double.__name__}-{name}" for double, name in BREACHES])
def test_a_broken_log_fails_its_check(
    double: type[_Broken], name: str, sqlite_log: SqliteUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = sqlite_log.open
    monkeypatch.setattr("tests.feedback.log_contract.WAIT_SECONDS", 0.5)
    monkeypatch.setattr(sqlite_log, "open", lambda: double(whole()))
    with pytest.raises(AssertionError):
        CHECKS[name](sqlite_log)
