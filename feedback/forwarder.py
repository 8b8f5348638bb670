"""Carries accepted events from the local outbox to the Kafka topic, so that no REST answer waits for a broker."""

import logging
import threading
import time

import msgspec

from contracts.events import DEFAULT_TASK
from contracts.traces import TRACEPARENT
from feedback.errors import FeedbackGap, FeedbackReplaced, FeedbackUnavailable
from feedback.log import Cursor, Record
from feedback.messages import position_header
from feedback.publisher import Message, Publisher
from feedback.settings import KafkaSettings
from feedback.sqlite import PARTITION, SqliteLog

BATCH_RECORDS = 1_000
IDLE_SECONDS = 0.25
RETRY_SECONDS = 0.5
LOGGER = logging.getLogger(__name__)


class _Keys(msgspec.Struct, frozen=True):
    task: str | None = None
    subject: str | None = None


_DECODER = msgspec.json.Decoder(_Keys)


class Forwarder:
    """Publishes every event of the outbox at least once, in order, with its position as a header.

    How far it came is kept in the outbox itself: after a crash it goes on there and may repeat its last batch, which
    readers recognise by event id. While Kafka is unreachable events wait in the outbox and appends go on.
    """

    def __init__(self, outbox: SqliteLog, settings: KafkaSettings, model: str) -> None:
        self._outbox = outbox
        self._settings = settings
        self._publisher = Publisher(settings, settings.topic_of(model), settings.partitions)
        self._stopping = threading.Event()
        self._failure: str | None = None
        self._thread = threading.Thread(target=self._run, name="forwarder", daemon=True)

    @property
    def failure(self) -> str | None:
        """Why nothing is being forwarded now, as the name of an error; None when all is well."""
        return self._failure

    @property
    def is_running(self) -> bool:
        """Whether the thread is alive."""
        return self._thread.is_alive()

    def pending(self) -> int:
        """How many accepted events are not in the topic yet."""
        return self._outbox.end()[PARTITION] - self._outbox.committed()[PARTITION]

    def start(self) -> None:
        """Starts forwarding in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Ends after the batch in hand; the rest stays in the outbox."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            detail = ""
            try:
                failure = self._forward()
            except (FeedbackUnavailable, FeedbackGap, FeedbackReplaced) as error:
                failure, detail = error.code, error.detail
            if failure != self._failure:
                LOGGER.warning("Forwarding to Kafka: %s", detail or failure or "works again")
            self._failure = failure
            if failure is not None:
                self._stopping.wait(RETRY_SECONDS)
        self._publisher.close()

    def _forward(self) -> str | None:
        cursor = self._outbox.committed()
        records = self._outbox.read(cursor, BATCH_RECORDS, IDLE_SECONDS)
        if not records:
            return None
        sent, failure, is_refused = self._publisher.publish([self._message(record) for record in records])
        if is_refused:
            failure = self._give_up(records[sent], failure or "")
            sent += failure is None
        if sent:
            forwarded: Cursor = {PARTITION: records[sent - 1].offset + 1}
            self._outbox.commit(forwarded)
        return failure

    def _give_up(self, record: Record, reason: str) -> str | None:
        """Keeps a record that Kafka refuses, and sends its position without it: the reader accounts for it as dead."""
        LOGGER.error("Event %d was refused by Kafka and is kept in the outbox: %s", record.offset, reason)
        self._outbox.dead_letter(record, "refused_by_kafka", reason)
        message = self._message(record)
        # The key or the time may be why it was refused, and Kafka takes no record without both key and value.
        marker = message._replace(key=message.key or message.headers[0][1], value=None, timestamp=time.time())
        return self._publisher.publish([marker]).failure

    def _message(self, record: Record) -> Message:
        headers = [position_header(self._outbox.identity, record.position)]
        if record.traceparent:
            headers.append((TRACEPARENT, record.traceparent.encode()))
        return Message(self._key(record.body or b""), record.body, headers, record.accepted_at)

    def _key(self, body: bytes) -> bytes | None:
        try:
            keys = _DECODER.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        key = keys.task or DEFAULT_TASK if self._settings.key == "task" else keys.subject
        return key.encode() if key else None
