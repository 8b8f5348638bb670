"""Metrics: added up over replicas, named by the catalogue, bounded."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from contracts.metrics import BY_NAME, MAX_TASK_SERIES
from contracts.status import Guards, Matrix, TaskStatus
from service.counts import Counts
from service.telemetry import Exposition, Totals, families
from tests.service.versions import status

pytestmark = pytest.mark.unit
REPLICAS = {"serving": 1, "behind": 0}


def values(text: bytes) -> dict[str, float]:
    """Samples by name and label values, as Prometheus reads them."""
    return {
        " ".join([sample.name, *(value for _, value in sorted(sample.labels.items()))]): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def counted() -> Counts:
    """A replica's counts after three requests."""
    counts = Counts()
    counts.predicted(1, 2)
    counts.predicted(2, 1)
    counts.answered("predict", "ok", 0.002)
    counts.answered("predict", "ok", 7.0)
    counts.answered("feedback", "malformed_json", 0.0004)
    return counts


def test_increments_of_replicas_add_up() -> None:
    totals = Totals()
    for counts in (counted(), counted()):
        increments = counts.take()
        assert increments is not None
        totals.add(increments)
    read = values(Exposition([families("pets", totals, None, REPLICAS)]).text())
    assert read["lifelong_predictions_total pets 1"] == 4
    assert read["lifelong_requests_total pets ok predict"] == 4
    assert read["lifelong_requests_total pets malformed_json feedback"] == 2
    assert read["lifelong_request_seconds_count pets predict"] == 4
    assert read["lifelong_request_seconds_sum pets predict"] == pytest.approx(14.004)
    assert read["lifelong_request_seconds_bucket 0.0025 pets predict"] == 2
    assert read["lifelong_request_seconds_bucket +Inf pets predict"] == 4


def test_counts_are_taken_once_and_may_be_given_back() -> None:
    counts = counted()
    taken = counts.take()
    assert taken is not None
    assert counts.take() is None
    counts.answered("predict", "ok", 0.002)
    counts.give_back(taken)
    again = counts.take()
    assert again is not None
    assert again.requests == {("predict", "ok"): 3, ("feedback", "malformed_json"): 1}
    assert again.predictions == {1: 2, 2: 1}
    assert sum(again.durations["predict"].buckets) == 3


def test_requests_that_were_not_remembered_are_counted_once() -> None:
    dropped = [3, 3, 5, 5]
    counts = Counts(lambda: dropped.pop(0))
    totals = Totals()
    taken = counts.take()
    assert taken is not None
    totals.add(taken)
    assert counts.take() is None
    lost = counts.take()
    assert lost is not None
    counts.give_back(lost)
    again = counts.take()
    assert again is not None
    totals.add(again)
    assert values(Exposition([families("pets", totals, None, REPLICAS)]).text()) == {
        "lifelong_requests_dropped_total pets": 5,
        "lifelong_replicas pets serving": 1,
        "lifelong_replicas pets behind": 0,
    }


def test_learning_gauges_come_from_the_trainer() -> None:
    read = values(Exposition([families("pets", Totals(), status(), REPLICAS)]).text())
    assert read["lifelong_task_accuracy_ratio pets default"] == 0.9
    assert read["lifelong_task_min_accuracy_ratio pets default"] == 0.8
    assert read["lifelong_task_forgetting_ratio pets default"] == 0.0
    assert read["lifelong_events pets trained"] == 9
    assert read["lifelong_gate_decisions_total pets promote"] == 1
    assert read["lifelong_champion_version_info pets 1"] == 1
    assert read["lifelong_replicas pets serving"] == 1
    assert "lifelong_backward_transfer_ratio pets" not in read


def test_every_series_is_one_of_the_catalogue_with_its_kind() -> None:
    totals = Totals()
    increments = counted().take()
    assert increments is not None
    totals.add(increments)
    text = Exposition([families("pets", totals, status(), REPLICAS)]).text().decode()
    for family in text_string_to_metric_families(text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        assert (family.type, family.documentation) == (BY_NAME[name].kind, BY_NAME[name].help)


def test_series_are_bounded_whatever_tasks_and_versions_there_are() -> None:
    names = [f"task-{number}" for number in range(1000)]
    tasks = [TaskStatus(task=name, state="closed", trained=1, probes=1, accuracy=0.5) for name in names]
    totals = Totals()
    for version in range(1000):
        counts = Counts()
        counts.predicted(version, 1)
        counts.answered("predict", "ok", 0.001)
        increments = counts.take()
        assert increments is not None
        totals.add(increments)
    matrix = Matrix(tasks=names, forgetting=[0.0] * 1000)
    for family in families("pets", totals, status(tasks=tasks, matrix=matrix), REPLICAS):
        assert len(family.samples) <= max(MAX_TASK_SERIES, 26), family.name
    newest = families("pets", totals, None, REPLICAS)[0].samples
    assert {sample.labels["version"] for sample in newest} == {str(number) for number in range(936, 1000)}


def test_several_models_share_one_exposition() -> None:
    text = Exposition([families(name, Totals(), status(), REPLICAS) for name in ("pets", "trees")]).text()
    assert text.count(b"# TYPE lifelong_replicas gauge") == 1
    assert values(text)["lifelong_replicas trees serving"] == 1


def test_what_keeps_learning_finite_is_exported() -> None:
    guards = Guards(rate_curvature=2.5, skipped_steps=3, restored_rounds=1, quarantined_rows=7)
    read = values(Exposition([families("pets", Totals(), status(guards=guards), REPLICAS)]).text())
    assert read["lifelong_rate_curvature_ratio pets"] == 2.5
    assert read["lifelong_skipped_steps_total pets"] == 3
    assert read["lifelong_restored_rounds_total pets"] == 1
    assert read["lifelong_quarantined_rows_total pets"] == 7
