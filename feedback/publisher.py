"""Sends records to Kafka and says which of them Kafka has."""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from kafka import KafkaProducer
from kafka.errors import KafkaError, MessageSizeTooLargeError

from feedback.settings import KafkaSettings
from feedback.topics import BOOTSTRAP_MILLISECONDS, MAX_RECORD_BYTES, Topics, connection

ACKNOWLEDGED_SECONDS = 10.0
BATCH_BYTES = 256 << 10
LINGER_MILLISECONDS = 5


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

    After a failure the producer is thrown away with all it still holds, so that a long outage costs no memory.
    """

    def __init__(self, settings: KafkaSettings, topic: str, partitions: int) -> None:
        self._settings = settings
        self._topic = topic
        self._partitions = partitions
        self._producer: Any = None

    def publish(self, messages: Sequence[Message]) -> Published:
        """Sends the messages in order and waits, at most 10 seconds, until the broker has them."""
        sent = 0
        deadline = time.monotonic() + ACKNOWLEDGED_SECONDS
        try:
            self._open()
            futures, refused = self._send(messages)
            for future in futures:
                future.get(timeout=max(0.0, deadline - time.monotonic()))
                sent += 1
        except MessageSizeTooLargeError:
            refused = True
        except (KafkaError, OSError) as error:
            self.close()
            return Published(sent, type(error).__name__)
        return Published(sent, "MessageSizeTooLargeError" if refused else None, refused)

    def close(self) -> None:
        """Closes the connection and forgets what was not acknowledged."""
        if self._producer is not None:
            self._producer.close(timeout=0)
            self._producer = None

    def _send(self, messages: Sequence[Message]) -> tuple[list[Any], bool]:
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
            except MessageSizeTooLargeError:
                return futures, True
            futures.append(future)
        return futures, False

    def _open(self) -> None:
        if self._producer is not None:
            return
        with Topics(self._settings) as topics:
            topics.ensure(self._topic, self._partitions)
        self._producer = KafkaProducer(
            **connection(self._settings),
            bootstrap_timeout_ms=BOOTSTRAP_MILLISECONDS,
            max_block_ms=BOOTSTRAP_MILLISECONDS,
            max_request_size=MAX_RECORD_BYTES,
            batch_size=BATCH_BYTES,
            linger_ms=LINGER_MILLISECONDS,
            allow_auto_create_topics=False,
            metrics_enabled=False,
        )
