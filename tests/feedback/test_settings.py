"""The configuration of the log: defaults, names of topics, and what is refused."""

import pytest
from pydantic import TypeAdapter, ValidationError

from feedback.settings import FeedbackSettings, KafkaSettings, PredictionSettings, SqliteSettings
from feedback.topics import connection

pytestmark = pytest.mark.unit
ADAPTER: TypeAdapter[FeedbackSettings] = TypeAdapter(FeedbackSettings)
KAFKA = {"kind": "kafka", "bootstrap_servers": "one:9092,two:9092"}


def test_the_kind_decides() -> None:
    assert isinstance(ADAPTER.validate_python({"kind": "sqlite"}), SqliteSettings)
    assert isinstance(ADAPTER.validate_python(KAFKA), KafkaSettings)


def test_topics_are_named_after_the_model_unless_they_are_named() -> None:
    settings = KafkaSettings.model_validate(KAFKA)
    assert settings.topic_of("digits") == "lifelong.feedback.digits"
    assert settings.dead_letter_topic_of("digits") == "lifelong.feedback.digits.dead"
    named = KafkaSettings.model_validate({**KAFKA, "topic": "labels"})
    assert (named.topic_of("digits"), named.dead_letter_topic_of("digits")) == ("labels", "labels.dead")


@pytest.mark.parametrize(
    "changes",
    [
        {"bootstrap_servers": "one"},
        {"bootstrap_servers": ""},
        {"topic": "white space"},
        {"partitions": 0},
        {"unknown": 1},
        {"security_protocol": "SASL_SSL"},
        {"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", "username": "me"},
    ],
)
def test_what_cannot_work_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ADAPTER.validate_python({**KAFKA, **changes})


def test_credentials_reach_the_client_and_no_log() -> None:
    secret = "correct horse"
    credentials = {"sasl_mechanism": "SCRAM-SHA-512", "username": "me", "password": secret}
    settings = KafkaSettings.model_validate({**KAFKA, "security_protocol": "SASL_SSL", **credentials})
    assert secret not in repr(settings)
    assert secret not in settings.model_dump_json()
    options = connection(settings)
    assert (options["sasl_plain_username"], options["sasl_plain_password"]) == ("me", secret)
    assert options["bootstrap_servers"] == ["one:9092", "two:9092"]


def test_predictions_are_kept_for_a_day_by_default() -> None:
    assert PredictionSettings().max_age_seconds == 86_400
    with pytest.raises(ValidationError):
        PredictionSettings(max_bytes=1)
