"""The series of one model for Prometheus: counters added up over replicas, gauges read from the trainer's status."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, get_args

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import generate_latest

from contracts.metrics import (
    BY_NAME,
    LATENCY_BUCKETS_SECONDS,
    MAX_MATRIX_TASKS,
    MAX_TASK_SERIES,
    MAX_TIMED_VERSIONS,
)
from contracts.status import JoinOutcome, Matrix, TrainerStatus
from contracts.versions import Reason, Verdict
from service.counts import Durations, Increments

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
CODES: tuple[Reason, ...] = get_args(Reason)
OUTCOMES: tuple[JoinOutcome, ...] = get_args(JoinOutcome)
"""Exported from zero on: Prometheus does not see a counter's first step if it begins with it."""
Samples = list[tuple[tuple[str, ...], float]]


class Totals:
    """Counters of one model over all its replicas since the hub began."""

    def __init__(self) -> None:
        self.predictions: dict[int, int] = {}
        self.dropped = 0
        self.requests: defaultdict[tuple[str, str], int] = defaultdict(int)
        self.durations: defaultdict[str, Durations] = defaultdict(Durations)
        self.answers: dict[int, Durations] = {}
        self.joins: Counter[JoinOutcome] = Counter()

    def add(self, increments: Increments) -> None:
        """Adds a replica's increments; only the versions that answered last keep series of their own."""
        self.dropped += increments.dropped
        self.joins.update(increments.joins)
        for version, n_instances in increments.predictions.items():
            self.predictions[version] = self.predictions.pop(version, 0) + n_instances
        for key, n_requests in increments.requests.items():
            self.requests[key] += n_requests
        for route, durations in increments.durations.items():
            self.durations[route].add(durations)
        for version, durations in increments.answers.items():
            self.answers[version] = self.answers.pop(version, Durations())
            self.answers[version].add(durations)
        _keep_last(self.predictions, MAX_TASK_SERIES)
        _keep_last(self.answers, MAX_TIMED_VERSIONS)


class Exposition:
    """A collector over the families of several models, each family named once."""

    def __init__(self, models: Sequence[Sequence[Metric]]) -> None:
        self._families: dict[str, Metric] = {}
        for family in (family for families in models for family in families):
            known = self._families.setdefault(family.name, family)
            if known is not family:
                known.samples.extend(family.samples)

    def collect(self) -> Iterator[Metric]:
        """The merged families."""
        yield from self._families.values()

    def text(self) -> bytes:
        """The families in Prometheus's text format."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return generate_latest(registry)


class Present(NamedTuple):
    """What a hub knows at this moment: the trainer's last status, whether it still reports, and who serves.

    `replicas` counts live replicas by whether they serve the champion, `versions` by what they serve.
    """

    status: TrainerStatus | None
    is_trainer_up: bool
    replicas: Mapping[str, int]
    versions: Mapping[int, int]


def families(model: str, totals: Totals, present: Present) -> list[Metric]:
    """The present value of every series of the catalogue that has one."""
    samples: dict[str, Samples] = {
        "lifelong_predictions_total": [((str(version),), n) for version, n in totals.predictions.items()],
        "lifelong_requests_dropped_total": [((), totals.dropped)],
        "lifelong_requests_total": [(key, n) for key, n in totals.requests.items()],
        "lifelong_replicas": [((state,), n) for state, n in present.replicas.items()],
        "lifelong_version_replicas": [((str(version),), n) for version, n in present.versions.items()],
        "lifelong_trainer_up": [((), present.is_trainer_up)],
        "lifelong_joined_events_total": _joins("service", totals.joins),
    }
    if (status := present.status) is not None:
        samples |= _single(status) | _counted(status) | _tasks(status)
        samples["lifelong_matrix_accuracy_ratio"] = _cells(status.matrix)
        samples["lifelong_joined_events_total"] += _joins("trainer", status.joins)
    made = [_family(name, model, values) for name, values in samples.items() if values]
    by_version = {str(version): durations for version, durations in totals.answers.items()}
    timed = {"lifelong_request_seconds": totals.durations, "lifelong_answer_seconds": by_version}
    return [*made, *(_histogram(name, model, durations) for name, durations in timed.items() if durations)]


def _single(status: TrainerStatus) -> dict[str, Samples]:
    """What has one value a model, where it has one."""
    values = _measured(status) | _told(status)
    return {name: [((), value)] for name, value in values.items() if value is not None}


def _measured(status: TrainerStatus) -> dict[str, float | None]:
    accuracies = [task.accuracy for task in status.tasks if task.accuracy is not None]
    return {
        "lifelong_average_accuracy_ratio": status.matrix.average_accuracy,
        "lifelong_backward_transfer_ratio": status.matrix.backward_transfer,
        "lifelong_forward_transfer_ratio": status.matrix.forward_transfer,
        "lifelong_worst_task_accuracy_ratio": min(accuracies, default=None),
        "lifelong_forgetting_budget_ratio": status.limits.budget if status.limits else None,
        "lifelong_max_drop_ratio": status.limits.max_drop if status.limits else None,
    }


def _told(status: TrainerStatus) -> dict[str, float | None]:
    guards, seconds, times, erasures = status.guards, status.seconds, status.times, status.erasures
    return {
        "lifelong_lag_events": status.lag,
        "lifelong_train_step_seconds": seconds.train_step,
        "lifelong_rate_curvature_ratio": guards.rate_curvature,
        "lifelong_skipped_steps_total": guards.skipped_steps,
        "lifelong_restored_rounds_total": guards.restored_rounds,
        "lifelong_quarantined_rows_total": guards.quarantined_rows,
        "lifelong_round_seconds": seconds.round,
        "lifelong_decision_seconds": seconds.decision,
        "lifelong_consolidation_seconds": seconds.consolidation,
        "lifelong_event_to_served_seconds": seconds.event_to_served,
        "lifelong_last_event_timestamp_seconds": times.event,
        "lifelong_last_round_timestamp_seconds": times.round,
        "lifelong_promotion_timestamp_seconds": status.promoted_at or None,
        "lifelong_rollback_timestamp_seconds": times.rollback,
        "lifelong_registry_lag_versions": status.registry_lag,
        "lifelong_erasures_pending": erasures.pending,
        "lifelong_oldest_erasure_timestamp_seconds": erasures.oldest_asked_at,
        "lifelong_erased_events_total": erasures.events,
    }


def _counted(status: TrainerStatus) -> dict[str, Samples]:
    """Events by where they are, the gate's decisions and reasons, and the version served, if there is one."""
    ledger = status.ledger
    return {
        "lifelong_events": [((state,), getattr(ledger, state)) for state in ledger.__struct_fields__],
        "lifelong_gate_decisions_total": [((verdict,), status.gate.get(verdict, 0)) for verdict in VERDICTS],
        "lifelong_gate_reasons_total": [
            ((verdict, code), status.reasons.get(verdict, {}).get(code, 0)) for verdict in VERDICTS for code in CODES
        ],
        "lifelong_champion_version_info": [((str(status.version),), 1)] if status.version else [],
    }


def _tasks(status: TrainerStatus) -> dict[str, Samples]:
    newest = status.tasks[-MAX_TASK_SERIES:]
    forgetting = dict(zip(status.matrix.tasks, status.matrix.forgetting, strict=False))
    values: dict[str, list[tuple[str, float | None]]] = {
        "lifelong_task_accuracy_ratio": [(task.task, task.accuracy) for task in newest],
        "lifelong_task_best_accuracy_ratio": [(task.task, task.best_accuracy) for task in newest],
        "lifelong_task_min_accuracy_ratio": [(task.task, task.min_accuracy) for task in newest],
        "lifelong_task_probe_rows": [(task.task, task.probes) for task in newest],
        "lifelong_task_forgetting_ratio": [(task.task, forgetting.get(task.task)) for task in newest],
    }
    return {name: [((task,), value) for task, value in pairs if value is not None] for name, pairs in values.items()}


def _cells(matrix: Matrix) -> Samples:
    """The newest rows and columns of the accuracy matrix, named so that they sort in the order of the tasks."""
    digits = max(2, len(str(len(matrix.tasks))))
    names = [f"{place:0{digits}} {task}" for place, task in enumerate(matrix.tasks, start=1)]
    newest = slice(-MAX_MATRIX_TASKS, None)
    return [
        ((after, probe), accuracy)
        for after, row in zip(names[newest], matrix.accuracy[newest], strict=True)
        for probe, accuracy in zip(names[newest], row[newest], strict=True)
        if accuracy is not None
    ]


def _joins(by: str, joins: Mapping[JoinOutcome, int]) -> Samples:
    return [((by, outcome), joins.get(outcome, 0)) for outcome in OUTCOMES]


def _family(name: str, model: str, samples: Samples) -> Metric:
    metric = BY_NAME[name]
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = kind(name, metric.help, labels=metric.labels)
    for labels, value in samples:
        family.add_metric((model, *labels), value)
    return family


def _histogram(name: str, model: str, by_label: Mapping[str, Durations]) -> Metric:
    metric = BY_NAME[name]
    family = HistogramMetricFamily(name, metric.help, labels=metric.labels)
    for label, durations in by_label.items():
        running, buckets = 0, []
        for bound, count in zip((*LATENCY_BUCKETS_SECONDS, "+Inf"), durations.buckets, strict=True):
            running += count
            buckets.append((str(bound), float(running)))
        family.add_metric((model, label), buckets, durations.sum_seconds)
    return family


def _keep_last(by_version: dict[int, Any], most: int) -> None:
    """Keeps the versions that were put in last; one that answers is taken out and put in again."""
    while len(by_version) > most:
        del by_version[next(iter(by_version))]
