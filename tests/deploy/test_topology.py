"""What compose.yaml starts, run natively from that very file: Kafka, MLflow on PostgreSQL, Prometheus, both halves."""

from collections.abc import Iterator, Sequence

import httpx
import msgspec
import numpy as np
import pytest
from kafka import KafkaProducer
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from contracts.events import FeedbackEvent
from lifelong.data import small_digits
from tests.deploy.containers import HOME
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


def wait_learned(stack: Stack, received: int) -> int:
    """The version that is served, and the registry's champion, once so many events have come and all are learned."""
    served: list[int] = []

    def is_learned() -> bool:
        with stack.client() as client:
            status = client.status()
            has_all = status.ledger.received == received and status.ledger.pending == 0
            if not has_all or status.served_through < status.processed_through:
                return False
            served.append(client.predict([instance(0)]).version)
        return champion(stack) == served[-1]

    stack.machine.until(is_learned, LEARN_SECONDS, f"a version that learned {received} events is served and registered")
    return served[-1]


def is_shown(stack: Stack) -> bool:
    """Whether Prometheus tells of the served version, and of no other, that it is the champion."""
    shown = [series["metric"]["version"] for series in stack.prometheus.now("lifelong_champion_version_info == 1")]
    with stack.client() as client:
        return shown == [str(client.predict([instance(0)]).version)]


def champion(stack: Stack) -> int | None:
    """The version that MLflow's registry calls the champion, as soon as it calls one that."""
    client = MlflowClient(stack.registry_uri, stack.registry_uri)
    try:
        return int(client.get_model_version_by_alias(MODEL, "champion").tags["lifelong.version"])
    except MlflowException:
        return None


def test_feedback_by_rest_and_kafka_reaches_predictions_registry_and_metrics_and_the_trainer_may_die(
    stack: Stack,
) -> None:
    with stack.client() as client:
        assert client.feedback(events([0, 1], "by-rest")).accepted == PER_TASK
    send_by_kafka(stack, events([2, 3], "by-kafka"))
    wait_learned(stack, 2 * PER_TASK)
    stack.machine.until(lambda: is_shown(stack), LEARN_SECONDS, "Prometheus has the version that is served")

    assert stack.passes_its_check("trainer")
    stack.container("trainer").kill()
    assert not stack.passes_its_check("trainer")
    with stack.client() as client:
        version = client.predict([instance(0)]).version  # while the trainer lived, practice may have made another
        receipt = client.feedback(events([4, 5], "unattended"))
        assert receipt.accepted == PER_TASK
        assert client.predict([instance(0)]).version == version
        stack.machine.until(lambda: not stack.is_trained(), LEARN_SECONDS, "the trainer is missed")

    stack.container("trainer").start()
    stack.machine.until(lambda: stack.passes_its_check("trainer"), LEARN_SECONDS, "the trainer passes its health check")
    resumed = wait_learned(stack, 3 * PER_TASK)
    assert resumed > version
    with stack.client() as client:
        ledger = client.status().ledger
    assert ledger.balances
    assert ledger.trained + ledger.probe + ledger.late == 3 * PER_TASK
    assert "ValueError" not in stack.container("trainer").log  # it waited until the dead one's name was free
    assert stack.prometheus.value("max(resets(lifelong_requests_total[1h]))") == 0  # the hub did not die with it


def test_when_the_service_goes_the_trainer_joins_its_successor(stack: Stack) -> None:
    with stack.client() as client:
        before = client.status()
        stack.container("service").kill()
        send_by_kafka(stack, events([6, 7], "meanwhile"))
        stack.container("service").start()
        stack.machine.until(
            stack.is_ready, LEARN_SECONDS, "the service has its champion from the registry or the trainer"
        )
        assert client.predict([instance(0)]).version >= before.version
    assert wait_learned(stack, before.ledger.received + PER_TASK) > before.version
    with stack.client() as client:
        assert {"6", "7"} <= set(client.status().labels)


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


def test_nobody_writes_to_a_home_that_cannot_be_written(stack: Stack) -> None:
    assert not (stack.directory / HOME).exists()
