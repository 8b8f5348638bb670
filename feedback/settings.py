"""The configuration of the feedback log and of the prediction log."""

from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator

from contracts.inputs import Specification

TopicName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")]
TOPIC_PREFIX = "lifelong.feedback."
DEAD_LETTER_SUFFIX = ".dead"


class SqliteSettings(Specification):
    """The embedded log: one file in the model's state directory."""

    kind: Literal["sqlite"] = "sqlite"


class KafkaSettings(Specification):
    """A Kafka topic. Feedback over REST still goes to the local file first and is forwarded from there."""

    kind: Literal["kafka"]
    bootstrap_servers: str = Field(pattern=r"^[^\s,:]+:\d+(,[^\s,:]+:\d+)*$")
    topic: TopicName | None = None
    dead_letter_topic: TopicName | None = None
    create_topic: bool = True
    partitions: int = Field(default=1, ge=1, le=1000)
    replication_factor: int = Field(default=-1, ge=-1)
    key: Literal["task", "subject"] = "task"
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    ca_file: str | None = None
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    username: str | None = None
    password: SecretStr | None = None

    @model_validator(mode="after")
    def _credentials_where_needed(self) -> Self:
        uses_sasl = self.security_protocol.startswith("SASL")
        if uses_sasl and None in (self.sasl_mechanism, self.username, self.password):
            raise ValueError(f"{self.security_protocol} needs sasl_mechanism, username and password")
        return self

    def topic_of(self, model: str) -> str:
        """The topic that carries the model's feedback."""
        return self.topic or TOPIC_PREFIX + model

    def dead_letter_topic_of(self, model: str) -> str:
        """The topic that receives records which cannot be learned from."""
        return self.dead_letter_topic or self.topic_of(model) + DEAD_LETTER_SUFFIX


FeedbackSettings = Annotated[SqliteSettings | KafkaSettings, Field(discriminator="kind")]


class PredictionSettings(Specification):
    """How long an answered instance can still be joined by its prediction id, and what all of them may take on disk."""

    max_age_seconds: float = Field(default=86_400.0, gt=0)
    max_bytes: int = Field(default=1 << 30, ge=1 << 20)
