"""Sends records to Kafka and says which of them Kafka has."""

import contextlib
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from kafka import KafkaProducer
from kafka.errors import (
    InvalidRecordError,
    InvalidTimestampError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)

from feedback.settings import KafkaSettings
from feedback.topics import BOOTSTRAP_MILLISECONDS, MAX_RECORD_BYTES, Topics, connection

DELIVERY_MILLISECONDS = 8_000
ACKNOWLEDGED_SECONDS = 10.0
"""More than the delivery may take, so that the client itself gives up first: only then can it be closed."""
CLOSE_SECONDS = 1.0
BATCH_BYTES = 256 << 10
LINGER_MILLISECONDS = 5
REFUSED = (MessageSizeTooLargeError, RecordListTooLargeError, InvalidRecordError, InvalidTimestampError)
"""What is wrong with the record itself: too large, without the key that a compacted topic needs, or too old."""


class Message(NamedTuple):
    """What is to be sent; `timestamp` is Unix seconds."""

    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]
    timestamp: float


class Published(NamedTuple):
    """`sent` messages, counted from the first, are in the topic; `failure` says why the next one is not.

    `is_refused` is true when that message can never be sent, however often it is tried.
    """

    sent: int
    failure: str | None = None
    is_refused: bool = False


class Publisher:
    """Publishes to one topic, at least once; one thread at a time may use it.

    After a failure the producer is thrown away with all it still holds, so that a long outage costs no memory; after a
    refusal it would also repeat that error for every record that follows.
    """

    def __init__(self, settings: KafkaSettings, topic: str, partitions: int) -> None:
        self._settings = settings
        self._topic = topic
        self._partitions = partitions
        self._producer: Any = None

    def publish(self, messages: Sequence[Message]) -> Published:
        """Sends the messages in order and waits until each is in the topic or has failed.

        It takes about 10 seconds at most, unless one is refused: Kafka refuses its neighbours too, and only alone does
        it show which one is meant, so the rest is sent one by one up to that one.
        """
        published = self._publish(messages)
        if not published.is_refused or len(messages) == 1:
            return published
        sent = published.sent
        for message in messages[sent:]:
            alone = self._publish([message])
            if alone.failure is not None:
                return alone._replace(sent=sent)
            sent += 1
        return Published(sent)

    def close(self) -> None:
        """Closes the connection and forgets what was not acknowledged."""
        if self._producer is not None:
            with contextlib.suppress(KafkaError, OSError):
                self._producer.close(timeout=CLOSE_SECONDS)
            self._producer = None

    def _publish(self, messages: Sequence[Message]) -> Published:
        try:
            self._open()
            futures, unsent = self._send(messages)
        except (KafkaError, OSError) as error:
            self.close()
            return Published(0, type(error).__name__)
        sent, failures = _await(futures)
        failures += unsent
        if not failures:
            return Published(sent)
        self.close()
        refusal = next((failure for failure in failures if isinstance(failure, REFUSED)), None)
        return Published(sent, type(refusal or failures[0]).__name__, refusal is not None)

    def _send(self, messages: Sequence[Message]) -> tuple[list[Any], list[Exception]]:
        futures: list[Any] = []
        for message in messages:
            try:
                future = self._producer.send(
                    self._topic,
                    value=message.value,
                    key=message.key,
                    headers=message.headers,
                    timestamp_ms=int(message.timestamp * 1000),
                )
            except MessageSizeTooLargeError as error:
                return futures, [error]
            futures.append(future)
        return futures, []

    def _open(self) -> None:
        if self._producer is not None:
            return
        with Topics(self._settings) as topics:
            topics.ensure(self._topic, self._partitions)
        self._producer = KafkaProducer(
            **connection(self._settings),
            bootstrap_timeout_ms=BOOTSTRAP_MILLISECONDS,
            delivery_timeout_ms=DELIVERY_MILLISECONDS,
            max_block_ms=BOOTSTRAP_MILLISECONDS,
            max_request_size=MAX_RECORD_BYTES,
            batch_size=BATCH_BYTES,
            linger_ms=LINGER_MILLISECONDS,
            allow_auto_create_topics=False,
            metrics_enabled=False,
        )


def _await(futures: list[Any]) -> tuple[int, list[Exception]]:
    """Waits for all; returns how many succeeded before the first failure, and all failures."""
    deadline = time.monotonic() + ACKNOWLEDGED_SECONDS
    sent = 0
    failures: list[Exception] = []
    for future in futures:
        try:
            future.get(timeout=max(0.0, deadline - time.monotonic()))
            sent += not failures
        except KafkaError as error:
            failures.append(error)
    return sent, failures
