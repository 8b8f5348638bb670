"""What compose.yaml starts, run natively from that very file: Kafka, MLflow on PostgreSQL, Prometheus, both halves."""

from collections.abc import Iterator, Sequence

import httpx
import msgspec
import numpy as np
import pytest
from kafka import KafkaProducer
from mlflow.tracking import MlflowClient

from contracts.events import FeedbackEvent
from lifelong.data import small_digits
from tests.deploy.stack import MODEL, Stack, running

pytestmark = [
    pytest.mark.real,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]
DIGITS = small_digits()
PER_TASK = 60
LEARN_SECONDS = 180.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory) as started:
        yield started


def instance(row: int) -> list[float]:
    """An 8×8 digit in the 784 numbers that the file's model takes."""
    pixels = DIGITS.train_images[row].reshape(-1) / 255
    return [*pixels.tolist(), *[0.0] * (784 - pixels.size)]


def events(labels: Sequence[int], task: str) -> list[FeedbackEvent]:
    rows = np.flatnonzero(np.isin(DIGITS.train_labels, labels))[:PER_TASK]
    return [
        FeedbackEvent(
            event_id=f"{task}-{row}",
            label=int(DIGITS.train_labels[row]),
            instance=msgspec.Raw(msgspec.json.encode(instance(row))),
            task=task,
        )
        for row in rows
    ]


def send_by_kafka(stack: Stack, sent: Sequence[FeedbackEvent]) -> None:
    producer = KafkaProducer(bootstrap_servers=stack.kafka_from_outside)
    futures = [producer.send(f"lifelong.feedback.{MODEL}", msgspec.json.encode(event)) for event in sent]
    for future in futures:
        future.get(timeout=30)
    producer.close()


def wait_learned(stack: Stack, labels: str) -> int:
    """The version that is served once all that was sent is learned and the labels are these."""

    def is_learned() -> bool:
        with stack.client() as client:
            status = client.status()
        is_served = status.served_through >= status.processed_through and status.ledger.pending == 0
        return sorted(status.labels) == list(labels) and is_served and status.registry_lag == 0

    stack.machine.until(is_learned, LEARN_SECONDS, f"a version that knows {labels} is served")
    with stack.client() as client:
        return client.predict([instance(0)]).version


def champion(stack: Stack) -> int:
    """The version that MLflow's registry calls the champion."""
    found = MlflowClient(stack.registry_uri, stack.registry_uri).get_model_version_by_alias(MODEL, "champion")
    return int(found.tags["lifelong.version"])


def test_feedback_by_rest_and_kafka_reaches_predictions_registry_and_metrics_and_the_trainer_may_die(
    stack: Stack,
) -> None:
    with stack.client() as client:
        assert client.feedback(events([0, 1], "by-rest")).accepted == PER_TASK
    send_by_kafka(stack, events([2, 3], "by-kafka"))
    version = wait_learned(stack, "0123")
    assert champion(stack) == version
    stack.prometheus.wait_for(f'lifelong_champion_version_info{{version="{version}"}} == 1')

    stack.container("trainer").kill()
    with stack.client() as client:
        receipt = client.feedback(events([4, 5], "unattended"))
        assert receipt.accepted == PER_TASK
        assert client.predict([instance(0)]).version == version
        stack.machine.until(lambda: not stack.is_trained(), LEARN_SECONDS, "the trainer is missed")

    stack.container("trainer").start()
    resumed = wait_learned(stack, "012345")
    assert resumed > version
    assert champion(stack) == resumed
    with stack.client() as client:
        ledger = client.status().ledger
    assert ledger.balances
    assert ledger.trained + ledger.probe + ledger.late == 3 * PER_TASK


def test_nothing_is_open_to_strangers(stack: Stack) -> None:
    assert httpx.get(f"{stack.address}/metrics", trust_env=False).status_code == 401
    assert registry_status(stack, "mlflow:5000") == 200
    assert registry_status(stack, "mlflow.example.com") == 403


def registry_status(stack: Stack, host: str) -> int:
    url = f"{stack.registry_uri}/api/2.0/mlflow/registered-models/search"
    return httpx.get(url, headers={"host": host}, trust_env=False).status_code


def test_prometheus_has_read_every_rule(stack: Stack) -> None:
    (target,) = stack.prometheus.get("targets")["activeTargets"]
    assert target["health"] == "up"
    rules = [rule for group in stack.prometheus.get("rules")["groups"] for rule in group["rules"]]
    assert rules
    assert [rule["lastError"] for rule in rules if rule.get("lastError")] == []
