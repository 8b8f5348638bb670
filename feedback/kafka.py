"""The log as a Kafka topic, read with explicit offsets by kafka-python.

No deserialisers, no automatic commits, no automatic resets: bytes are decoded by the caller, the cursor is the
caller's, and lost records are an error with a name. A broker that is away reads as a log without news.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import (
    AuthorizationError,
    CorruptRecordError,
    KafkaError,
    OffsetOutOfRangeError,
    SaslAuthenticationFailedError,
    UnknownTopicOrPartitionError,
    UnsupportedCodecError,
)

from feedback.blanks import START, Blanks
from feedback.dead_letters import DeadLetters
from feedback.errors import FeedbackReplaced, FeedbackUnavailable, check_kept
from feedback.group import GroupOffsets
from feedback.log import Cursor, Record
from feedback.messages import to_record
from feedback.settings import KafkaSettings
from feedback.topics import Topic, Topics, connection

MAX_POLL_RECORDS = 5_000
PARTITION_BYTES = 1 << 20
"""What one fetch brings of a partition: with 8 MB the client idles while they come, a third of its time."""
IDLE_CHECK_SECONDS = 1.0
TRUST_SECONDS = 0.05
"""How old the last look at the topic may be when records are handed out: less than it takes to delete a topic, make it
anew and fill it up to the cursor, which Kafka does not report."""
RETRY_SECONDS = 2.0
ISOLATED_MILLISECONDS = 1_000
"""How long one partition is asked alone for a damaged batch: long enough for a fetch."""
QUERY_MILLISECONDS = 2_000
PERMANENT = (AuthorizationError, SaslAuthenticationFailedError, UnsupportedCodecError, UnknownTopicOrPartitionError)
UNREADABLE = (CorruptRecordError, UnicodeDecodeError)
"""A wrong checksum, or a header name that is not UTF-8, which brokers accept and kafka-python cannot read."""
LOGGER = logging.getLogger(__name__)
_Polled = Mapping[TopicPartition, Sequence[Any]]


class KafkaReader:
    """A `FeedbackReader` over every partition of the model's topic; it connects when first used and when it must.

    The positions in its records are those of the outbox of that identity; other outboxes' events come without one.
    Beyond the interface it raises `FeedbackUnavailable` where waiting does not help: access refused, no such topic,
    or a compression that this Python cannot read.
    """

    first_offset = 0

    def __init__(self, settings: KafkaSettings, model: str, outbox: str = "") -> None:
        self._settings, self._model, self._outbox = settings, model, outbox
        self._name = settings.topic_of(model)
        self._topics: Topics | None = None
        self._topic: Topic | None = None
        self._consumer: Any = None
        self._dead_letters: DeadLetters | None = None
        self._attended: list[TopicPartition] = []
        self._next: Cursor = {}
        self._end: Cursor = {}
        self._blanks, self._group = Blanks(), GroupOffsets(self._name)
        self._checked_at = self._retry_at = 0.0
        self._turn = 0
        self._closed = threading.Event()
        self._using = threading.Lock()

    @property
    def identity(self) -> str:
        """The topic's id; empty until the topic was reached for the first time."""
        return self._topic.identity if self._topic else ""

    def read(self, cursor: Cursor, limit: int, wait_seconds: float) -> list[Record]:
        """Returns the next records; see `FeedbackReader.read`."""
        deadline = time.monotonic() + wait_seconds
        try:
            with self._using:
                if self._open():
                    return self._read(cursor, limit, wait_seconds)
        except PERMANENT as error:
            self._disconnect(error)
            code = "unknown_topic" if isinstance(error, UnknownTopicOrPartitionError) else "kafka_refused"
            detail = f"topic {self._name} cannot be read ({type(error).__name__})"
            raise FeedbackUnavailable(code, detail) from error
        except (KafkaError, OSError) as error:
            self._disconnect(error)
        self._closed.wait(max(0.0, deadline - time.monotonic()))
        return []

    def skip_blanks(self, cursor: Cursor) -> Cursor:
        """Returns the cursor moved past offsets without a record; see `FeedbackReader.skip_blanks`."""
        return self._blanks.skip(cursor)

    def end(self) -> Cursor:
        """The offset that the next record of each partition will get, transactions still open not counted."""
        try:
            with self._using:
                if not self._open():
                    return dict(self._end)
                ends = self._consumer.end_offsets(self._partitions(), timeout_ms=QUERY_MILLISECONDS)
            self._end = {place.partition: offset for place, offset in ends.items()}
        except (KafkaError, OSError) as error:
            self._disconnect(error)
        return dict(self._end)

    def commit(self, cursor: Cursor) -> bool:
        """Moves the offsets of the group `lifelong.<model>`, for lag displays; true once the broker has them.

        Never past a record whose dead letter is still under way: after a crash, dead letters from `committed` on are
        the ones that may have to be sent again.
        """
        if self._dead_letters is not None and not self._dead_letters.is_empty:
            return False
        try:
            with self._using:
                return self._consumer is not None and self._group.move(self._consumer, cursor)
        except (KafkaError, OSError) as error:
            self._disconnect(error)
        return False

    def committed(self) -> Cursor:
        """The group's offsets; empty where nothing was committed or the topic cannot be reached."""
        try:
            with self._using:
                places = self._partitions() if self._open() else []
                found = [self._consumer.committed(place, timeout_ms=QUERY_MILLISECONDS) for place in places]
        except (KafkaError, OSError) as error:
            self._disconnect(error)
            return {}
        return {place.partition: offset for place, offset in zip(places, found, strict=True) if offset is not None}

    def dead_letter(self, record: Record, code: str, detail: str) -> None:
        """Sends the record as it came, with its reason in the headers, to the dead-letter topic in the background."""
        if self._dead_letters is None:
            self._dead_letters = DeadLetters(self._settings, self._model)
        self._dead_letters.add(record, code, detail)

    def duplicates_refused(self) -> int:
        """Always 0: a topic takes duplicates; the outbox in front of it counts those it refused."""
        return 0

    def close(self) -> None:
        """Sends what is left of the dead letters and closes the connections."""
        self._closed.set()
        if self._dead_letters is not None:
            self._dead_letters.close()
        with self._using:
            self._disconnect(None)

    def _open(self) -> bool:
        if self._consumer is not None:
            return True
        if self._closed.is_set() or time.monotonic() < self._retry_at:
            return False
        self._topics = Topics(self._settings)
        self._topics.ensure(self._name, self._settings.partitions)
        if not self._is_same_topic():
            raise UnknownTopicOrPartitionError(self._name)
        self._consumer = KafkaConsumer(
            **connection(self._settings),
            group_id=f"lifelong.{self._model}",
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            allow_auto_create_topics=False,
            max_poll_records=MAX_POLL_RECORDS,
            max_partition_fetch_bytes=PARTITION_BYTES,
            metrics_enabled=False,
        )
        return True

    def _disconnect(self, error: Exception | None) -> None:
        if error is not None:
            LOGGER.warning("Kafka topic %s: %s", self._name, type(error).__name__)
        with contextlib.suppress(KafkaError, OSError):
            if self._topics is not None:
                self._topics.close()
            if self._consumer is not None:
                self._consumer.close(autocommit=False, timeout_ms=QUERY_MILLISECONDS)
        self._consumer = self._topics = None
        self._blanks.forget()
        self._attended, self._next = [], {}
        self._retry_at = time.monotonic() + RETRY_SECONDS

    def _partitions(self) -> list[TopicPartition]:
        return [TopicPartition(self._name, number) for number in self._topic.partitions] if self._topic else []

    def _is_same_topic(self) -> bool:
        """Looks at the topic again; false when it cannot be found, an error when it is another one."""
        found = self._topics.find(self._name) if self._topics else None
        if found is None:
            return False
        if self._topic is not None and found.identity != self._topic.identity:
            self._checked_at = 0.0
            raise FeedbackReplaced("log_replaced", f"topic {self._name} was deleted and made anew")
        self._topic, self._checked_at = found, time.monotonic()
        return True

    def _read(self, cursor: Cursor, limit: int, wait_seconds: float) -> list[Record]:
        if not self._is_confirmed(IDLE_CHECK_SECONDS):
            return []
        places = self._partitions()
        if places != self._attended:
            self._attend(places)
        self._seek(cursor, places)
        try:
            polled = self._consumer.poll(timeout_ms=int(wait_seconds * 1000), max_records=limit)
        except UNREADABLE:
            return self._isolate(cursor, limit)
        except OffsetOutOfRangeError:
            self._explain_loss(cursor)
            return []
        behind = [place for place in places if max(0, self._next[place.partition]) < self._end.get(place.partition, 0)]
        silent = [place for place in behind if place not in polled]
        if not (polled or silent) or not self._is_confirmed(TRUST_SECONDS):
            return []
        for place in silent:
            position = self._consumer.position(place, timeout_ms=QUERY_MILLISECONDS)
            self._blanks.note(place.partition, self._next[place.partition], position)
        return self._deliver(polled)

    def _is_confirmed(self, age_seconds: float) -> bool:
        """Whether the topic is still the one that was opened, as of at most `age_seconds` ago."""
        if time.monotonic() - self._checked_at <= age_seconds or self._is_same_topic():
            return True
        self._disconnect(None)
        return False

    def _seek(self, cursor: Cursor, places: Sequence[TopicPartition]) -> None:
        for place in places:
            wanted = cursor.get(place.partition, START)
            if wanted == self._next.get(place.partition):
                continue
            offset = self._oldest([place])[place] if wanted == START else wanted
            self._consumer.seek(place, offset)
            self._next[place.partition] = wanted

    def _oldest(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        offsets: dict[TopicPartition, int] = self._consumer.beginning_offsets(places, timeout_ms=QUERY_MILLISECONDS)
        return offsets

    def _attend(self, places: list[TopicPartition]) -> None:
        """Assigns anew; the poll in between makes the client drop what it holds, a damaged batch above all.

        Without it kafka-python 3.0 returns to the exhausted batch for ever, in a loop that heeds no timeout.
        """
        self._consumer.unsubscribe()
        self._consumer.poll(timeout_ms=0)
        self._consumer.assign(places)
        self._attended, self._next = places, {}

    def _isolate(self, cursor: Cursor, limit: int) -> list[Record]:
        """Asks each partition alone, because the error does not say which one holds the damaged batch."""
        self._turn += 1
        places = self._partitions()
        turn = self._turn % len(places)
        records: list[Record] = []
        for place in places[turn:] + places[:turn]:
            self._attend([place])
            self._seek(cursor, [place])
            try:
                records = self._deliver(self._consumer.poll(timeout_ms=ISOLATED_MILLISECONDS, max_records=limit))
            except UNREADABLE:
                offset = self._consumer.position(place)
                records = [Record(place.partition, offset, None, time.time(), None, "corrupt_record")]
            if records:
                break
        self._attend(places)
        return records

    def _explain_loss(self, cursor: Cursor) -> None:
        self._next = {}
        self._is_same_topic()
        places = self._partitions()
        oldest = self._oldest(places)
        ends = self._consumer.end_offsets(places, timeout_ms=QUERY_MILLISECONDS)
        for place in places:
            if (wanted := cursor.get(place.partition, START)) != START:
                check_kept(self._name, place.partition, wanted, oldest[place], ends[place])

    def _deliver(self, polled: _Polled) -> list[Record]:
        records: list[Record] = []
        for place, messages in polled.items():
            records.extend(to_record(message, self._outbox) for message in messages)
            self._next[place.partition] = messages[-1].offset + 1
            self._end[place.partition] = max(self._end.get(place.partition, 0), messages[-1].offset + 1)
        return records
