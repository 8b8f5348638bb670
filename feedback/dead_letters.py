"""Copies what can never be learned from to the dead-letter topic, without making the reader wait."""

import logging
import threading
import time
from collections import deque

from feedback.log import Original, Record
from feedback.publisher import Message, Publisher
from feedback.settings import KafkaSettings

MAX_PENDING = 10_000
"""Copies kept while Kafka is away; what comes after is in the trainer's own record only."""
BATCH_MESSAGES = 500
RETRY_SECONDS = 0.5
IDLE_SECONDS = 0.25
CLOSE_SECONDS = 5.0
LOGGER = logging.getLogger(__name__)


class DeadLetters:
    """A queue with a thread that empties it into the topic: original key, value and headers, plus the reason.

    Added headers: `lifelong-error` (the code), `lifelong-detail`, `lifelong-source` (topic:partition:offset).
    """

    def __init__(self, settings: KafkaSettings, model: str) -> None:
        self._source = settings.topic_of(model)
        self._publisher = Publisher(settings, settings.dead_letter_topic_of(model), partitions=1)
        self._pending: deque[Message] = deque()
        self._wake, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="dead-letters", daemon=True)
        self._thread.start()

    def add(self, record: Record, code: str, detail: str) -> None:
        """Takes a record over; it is sent as soon as Kafka can be reached."""
        if len(self._pending) >= MAX_PENDING:
            LOGGER.error("Too many dead letters wait for Kafka: one is kept in the trainer's own record only")
            return
        key, value, headers = record.original or Original(None, record.body, [])
        source = f"{self._source}:{record.partition}:{record.offset}"
        reason = [("lifelong-error", code), ("lifelong-detail", detail), ("lifelong-source", source)]
        whole = [(name, content or b"") for name, content in headers]
        whole += [(name, text.encode()) for name, text in reason]
        self._pending.append(Message(key, b"" if value is None else value, whole, time.time()))
        self._wake.set()

    @property
    def is_empty(self) -> bool:
        """Whether the topic has all that was added."""
        return not self._pending

    def close(self) -> None:
        """Tries for up to 5 seconds to send the rest."""
        self._closing.set()
        self._wake.set()
        self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        failure: str | None = None
        while not (self._closing.is_set() and (failure or not self._pending)):
            self._wake.wait(IDLE_SECONDS)
            self._wake.clear()
            while self._pending:
                before, failure = failure, self._send()
                if failure not in {None, before}:
                    LOGGER.warning("Dead letters wait for Kafka: %s", failure)
                if failure is not None:
                    self._closing.wait(RETRY_SECONDS)
                    break
        self._publisher.close()

    def _send(self) -> str | None:
        batch = [self._pending[index] for index in range(min(BATCH_MESSAGES, len(self._pending)))]
        sent, failure, is_refused = self._publisher.publish(batch)
        if is_refused:
            LOGGER.error("A dead letter was refused by Kafka and is kept in the trainer's own record only")
            sent, failure = sent + 1, None
        for _ in range(sent):
            self._pending.popleft()
        return failure
