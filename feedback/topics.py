"""How this package reaches Kafka: connection options, topics and their identity."""

import logging
from types import TracebackType
from typing import Any, NamedTuple, Self

from kafka import KafkaAdminClient
from kafka.errors import TopicAlreadyExistsError, UnknownTopicOrPartitionError

from feedback.settings import KafkaSettings

MAX_RECORD_BYTES = 16 << 20
"""Twice the default limit of a REST body, so that whatever was accepted also fits into the topic."""
BOOTSTRAP_MILLISECONDS = 1_000
REQUEST_MILLISECONDS = 5_000


class Topic(NamedTuple):
    """A topic as it is now; `identity` differs between topics of one name that existed one after the other."""

    identity: str
    partitions: list[int]


class Topics:
    """Describes and creates topics. Every method may raise `kafka.errors.KafkaError`: callers stay in this package."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._admin = KafkaAdminClient(**connection(settings), bootstrap_timeout_ms=BOOTSTRAP_MILLISECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def find(self, name: str) -> Topic | None:
        """The topic of that name, or None."""
        (described,) = self._admin.describe_topics([name])
        if described["error_code"] == UnknownTopicOrPartitionError.errno or not described["partitions"]:
            return None
        partitions = sorted(partition["partition_index"] for partition in described["partitions"])
        return Topic(str(described["topic_id"]), partitions)

    def ensure(self, name: str, partitions: int) -> None:
        """Creates the topic unless it exists or the settings forbid it."""
        if not self._settings.create_topic or self.find(name) is not None:
            return
        topic = {
            "num_partitions": partitions,
            "replication_factor": self._settings.replication_factor,
            "configs": {"max.message.bytes": str(MAX_RECORD_BYTES)},
        }
        try:
            self._admin.create_topics({name: topic}, wait_for_metadata=True)
        except TopicAlreadyExistsError:
            return

    def close(self) -> None:
        """Closes the connection."""
        self._admin.close()


def connection(settings: KafkaSettings) -> dict[str, Any]:
    """Options that every client of this package shares.

    It also quietens kafka-python unless its logging was configured: while a broker is away the library writes about
    twenty lines a second, and this package reports each change of state itself.
    """
    library = logging.getLogger("kafka")
    if library.level == logging.NOTSET:
        library.setLevel(logging.CRITICAL)
    options: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap_servers.split(","),
        "client_id": "lifelong",
        "security_protocol": settings.security_protocol,
        "request_timeout_ms": REQUEST_MILLISECONDS,
        "reconnect_backoff_max_ms": 1_000,
    }
    if settings.ca_file is not None:
        options["ssl_cafile"] = settings.ca_file
    if settings.sasl_mechanism is not None and settings.password is not None:
        options["sasl_mechanism"] = settings.sasl_mechanism
        options["sasl_plain_username"] = settings.username
        options["sasl_plain_password"] = settings.password.get_secret_value()
    return options
