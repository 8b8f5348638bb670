"""Metrics: added up over replicas, named by the catalogue, bounded."""

import pytest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from contracts.metrics import BY_NAME, LATENCY_BUCKETS_SECONDS, MAX_MATRIX_TASKS, MAX_TASK_SERIES
from contracts.status import Guards, Limits, Matrix, TaskStatus, Times, TrainerStatus
from service.counts import Counts, Durations, Increments
from service.telemetry import Exposition, Present, Totals, families
from tests.service.versions import status

pytestmark = pytest.mark.unit
REPLICAS, SERVED = {"serving": 1, "behind": 0}, {1: 1}
HISTOGRAM = len(LATENCY_BUCKETS_SECONDS) + 3
BOUNDS = {"lifelong_answer_seconds": 8 * HISTOGRAM, "lifelong_matrix_accuracy_ratio": MAX_MATRIX_TASKS**2}


def exported(totals: Totals, status: TrainerStatus | None = None, model: str = "pets") -> list[Metric]:
    """The families of a model with a trainer that reports, and one replica."""
    return families(model, totals, Present(status, True, REPLICAS, SERVED))


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
    counts.answered("predict", "ok", 0.002, version=1)
    counts.answered("predict", "ok", 7.0, version=2)
    counts.answered("feedback", "malformed_json", 0.0004)
    counts.joined({"joined": 2, "unknown": 1})
    return counts


def test_increments_of_replicas_add_up() -> None:
    totals = Totals()
    for counts in (counted(), counted()):
        increments = counts.take()
        assert increments is not None
        totals.add(increments)
    read = values(Exposition([exported(totals)]).text())
    assert read["lifelong_predictions_total pets 1"] == 4
    assert read["lifelong_requests_total pets ok predict"] == 4
    assert read["lifelong_requests_total pets malformed_json feedback"] == 2
    assert read["lifelong_request_seconds_count pets predict"] == 4
    assert read["lifelong_request_seconds_sum pets predict"] == pytest.approx(14.004)
    assert read["lifelong_request_seconds_bucket 0.0025 pets predict"] == 2
    assert read["lifelong_request_seconds_bucket +Inf pets predict"] == 4
    assert read["lifelong_answer_seconds_bucket 0.0025 pets 1"] == 2
    assert read["lifelong_answer_seconds_sum pets 2"] == 14.0
    assert read["lifelong_joined_events_total service pets joined"] == 4
    assert read["lifelong_joined_events_total service pets unknown"] == 2


def test_counts_are_taken_once_and_may_be_given_back() -> None:
    counts = counted()
    taken = counts.take()
    assert taken is not None
    assert counts.take() is None
    counts.answered("predict", "ok", 0.002, version=2)
    counts.joined({"joined": 1})
    counts.give_back(taken)
    again = counts.take()
    assert again is not None
    assert again.requests == {("predict", "ok"): 3, ("feedback", "malformed_json"): 1}
    assert again.predictions == {1: 2, 2: 1}
    assert sum(again.durations["predict"].buckets) == 3
    assert sum(again.answers[2].buckets) == 2
    assert again.joins == {"joined": 3, "unknown": 1}


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
    assert values(Exposition([exported(totals)]).text()) == {
        "lifelong_requests_dropped_total pets": 5,
        "lifelong_replicas pets serving": 1,
        "lifelong_replicas pets behind": 0,
        "lifelong_version_replicas pets 1": 1,
        "lifelong_trainer_up pets": 1,
        "lifelong_joined_events_total service pets joined": 0,
        "lifelong_joined_events_total service pets unknown": 0,
    }


def test_learning_gauges_come_from_the_trainer() -> None:
    read = values(Exposition([exported(Totals(), status())]).text())
    assert read["lifelong_task_accuracy_ratio pets default"] == 0.9
    assert read["lifelong_task_min_accuracy_ratio pets default"] == 0.8
    assert read["lifelong_task_forgetting_ratio pets default"] == 0.0
    assert read["lifelong_events pets trained"] == 9
    assert read["lifelong_gate_decisions_total pets promote"] == 1
    assert read["lifelong_gate_decisions_total pets refuse"] == 0
    assert read["lifelong_champion_version_info pets 1"] == 1
    assert read["lifelong_replicas pets serving"] == 1
    assert "lifelong_backward_transfer_ratio pets" not in read


def test_every_series_is_one_of_the_catalogue_with_its_kind() -> None:
    totals = Totals()
    increments = counted().take()
    assert increments is not None
    totals.add(increments)
    text = Exposition([exported(totals, status())]).text().decode()
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
        counts.answered("predict", "ok", 0.001, version)
        increments = counts.take()
        assert increments is not None
        totals.add(increments)
    matrix = Matrix(tasks=names, accuracy=[[0.5] * 1000] * 1000, forgetting=[0.0] * 1000)
    for family in exported(totals, status(tasks=tasks, matrix=matrix)):
        assert len(family.samples) <= BOUNDS.get(family.name, MAX_TASK_SERIES), family.name
    versions = {family.name: {sample.labels.get("version") for sample in family.samples} for family in exported(totals)}
    assert versions["lifelong_predictions"] == {str(number) for number in range(936, 1000)}
    assert versions["lifelong_answer_seconds"] == {str(number) for number in range(992, 1000)}


def test_a_version_that_answers_again_has_series_and_the_one_that_answered_longest_ago_has_none() -> None:
    totals = Totals()
    for version in [*range(MAX_TASK_SERIES), 1, MAX_TASK_SERIES]:
        totals.add(Increments(predictions={version: 1}, answers={version: Durations()}))
    assert 1 in totals.predictions.keys() & totals.answers.keys()
    assert totals.predictions[1] == 2
    assert 0 not in totals.predictions


def test_several_models_share_one_exposition() -> None:
    text = Exposition([exported(Totals(), status(), name) for name in ("pets", "trees")]).text()
    assert text.count(b"# TYPE lifelong_replicas gauge") == 1
    assert values(text)["lifelong_replicas trees serving"] == 1


def test_what_keeps_learning_finite_is_exported() -> None:
    guards = Guards(rate_curvature=2.5, skipped_steps=3, restored_rounds=1, quarantined_rows=7)
    read = values(Exposition([exported(Totals(), status(guards=guards))]).text())
    assert read["lifelong_rate_curvature_ratio pets"] == 2.5
    assert read["lifelong_skipped_steps_total pets"] == 3
    assert read["lifelong_restored_rounds_total pets"] == 1
    assert read["lifelong_quarantined_rows_total pets"] == 7


def test_cells_of_the_matrix_are_named_so_that_they_sort_and_unmeasured_ones_are_left_out() -> None:
    names = [f"t{number}" for number in range(1, 15)]
    rows: list[list[float | None]] = [[0.5 if j <= i else None for j in range(14)] for i in range(14)]
    rows[12][13] = 0.25
    text = Exposition([exported(Totals(), status(matrix=Matrix(tasks=names, accuracy=rows)))]).text().decode()
    assert text.count("lifelong_matrix_accuracy_ratio{") == 12 * 13 / 2 + 1
    assert 'lifelong_matrix_accuracy_ratio{after="13 t13",model="pets",probe="14 t14"} 0.25' in text
    assert 'after="02 t2"' not in text


def test_what_the_gate_counts_allows_and_when_things_happened_is_exported() -> None:
    told = status(
        reasons={"refuse": {"drops_too_far": 2, "over_budget": 1}},
        limits=Limits(max_drop=0.1, budget=0.2),
        times=Times(event=1.0, round=2.0, rollback=3.0),
        joins={"joined": 5},
        tasks=[TaskStatus(task="default", state="open", trained=9, probes=4, accuracy=0.5, best_accuracy=0.75)],
    )
    read = values(Exposition([exported(Totals(), told)]).text())
    assert read["lifelong_gate_reasons_total pets drops_too_far refuse"] == 2
    assert read["lifelong_gate_reasons_total pets over_budget refuse"] == 1
    assert read["lifelong_forgetting_budget_ratio pets"] == 0.2
    assert read["lifelong_max_drop_ratio pets"] == 0.1
    assert read["lifelong_last_event_timestamp_seconds pets"] == 1.0
    assert read["lifelong_last_round_timestamp_seconds pets"] == 2.0
    assert read["lifelong_rollback_timestamp_seconds pets"] == 3.0
    assert read["lifelong_joined_events_total trainer pets joined"] == 5
    assert read["lifelong_task_best_accuracy_ratio pets default"] == 0.75
    assert read["lifelong_task_probe_rows pets default"] == 4


def test_a_silent_trainer_is_said_to_be_down_and_what_it_last_told_stays() -> None:
    read = values(Exposition([families("pets", Totals(), Present(status(), False, REPLICAS, SERVED))]).text())
    assert read["lifelong_trainer_up pets"] == 0
    assert read["lifelong_average_accuracy_ratio pets"] == 0.9
