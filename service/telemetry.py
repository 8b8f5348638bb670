"""The series of one model for Prometheus: counters added up over replicas, gauges read from the trainer's status."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import generate_latest

from contracts.metrics import BY_NAME, LATENCY_BUCKETS_SECONDS, MAX_TASK_SERIES
from contracts.status import TrainerStatus
from service.counts import Durations, Increments

Samples = list[tuple[tuple[str, ...], float]]


class Totals:
    """Counters of one model over all its replicas since the hub began."""

    def __init__(self) -> None:
        self.predictions: dict[int, int] = {}
        self.dropped = 0
        self.requests: defaultdict[tuple[str, str], int] = defaultdict(int)
        self.durations: defaultdict[str, Durations] = defaultdict(Durations)

    def add(self, increments: Increments) -> None:
        """Adds a replica's increments; only the newest 64 versions keep a series of their own."""
        self.dropped += increments.dropped
        for version, n_instances in increments.predictions.items():
            self.predictions[version] = self.predictions.get(version, 0) + n_instances
        while len(self.predictions) > MAX_TASK_SERIES:
            del self.predictions[min(self.predictions)]
        for key, n_requests in increments.requests.items():
            self.requests[key] += n_requests
        for route, durations in increments.durations.items():
            self.durations[route].add(durations)


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


def families(model: str, totals: Totals, status: TrainerStatus | None, replicas: Mapping[str, int]) -> list[Metric]:
    """The present value of every series of the catalogue that has one."""
    samples: dict[str, Samples] = {
        "lifelong_predictions_total": [((str(version),), n) for version, n in totals.predictions.items()],
        "lifelong_requests_dropped_total": [((), totals.dropped)],
        "lifelong_requests_total": [(key, n) for key, n in totals.requests.items()],
        "lifelong_replicas": [((state,), n) for state, n in replicas.items()],
    }
    if status is not None:
        samples |= _learning(status) | _tasks(status)
    made = [_family(name, model, values) for name, values in samples.items() if values]
    return [*made, *_durations(model, totals)]


def _learning(status: TrainerStatus) -> dict[str, Samples]:
    matrix = status.matrix
    accuracies = [task.accuracy for task in status.tasks if task.accuracy is not None]
    ledger = {name: getattr(status.ledger, name) for name in status.ledger.__struct_fields__}
    values = {
        "lifelong_average_accuracy_ratio": matrix.average_accuracy,
        "lifelong_backward_transfer_ratio": matrix.backward_transfer,
        "lifelong_forward_transfer_ratio": matrix.forward_transfer,
        "lifelong_worst_task_accuracy_ratio": min(accuracies, default=None),
        "lifelong_lag_events": status.lag,
        "lifelong_train_step_seconds": status.seconds.train_step,
        "lifelong_rate_curvature_ratio": status.guards.rate_curvature,
        "lifelong_skipped_steps_total": status.guards.skipped_steps,
        "lifelong_restored_rounds_total": status.guards.restored_rounds,
        "lifelong_quarantined_rows_total": status.guards.quarantined_rows,
        "lifelong_round_seconds": status.seconds.round,
        "lifelong_decision_seconds": status.seconds.decision,
        "lifelong_consolidation_seconds": status.seconds.consolidation,
        "lifelong_event_to_served_seconds": status.seconds.event_to_served,
        "lifelong_promotion_timestamp_seconds": status.promoted_at or None,
        "lifelong_registry_lag_versions": status.registry_lag,
    }
    samples: dict[str, Samples] = {name: [((), value)] for name, value in values.items() if value is not None}
    samples["lifelong_events"] = [((state,), n) for state, n in ledger.items()]
    samples["lifelong_gate_decisions_total"] = [((verdict,), n) for verdict, n in status.gate.items()]
    if status.version:
        samples["lifelong_champion_version_info"] = [((str(status.version),), 1)]
    return samples


def _tasks(status: TrainerStatus) -> dict[str, Samples]:
    newest = status.tasks[-MAX_TASK_SERIES:]
    forgetting = dict(zip(status.matrix.tasks, status.matrix.forgetting, strict=False))
    values = {
        "lifelong_task_accuracy_ratio": [(task.task, task.accuracy) for task in newest],
        "lifelong_task_min_accuracy_ratio": [(task.task, task.min_accuracy) for task in newest],
        "lifelong_task_forgetting_ratio": [(task.task, forgetting.get(task.task)) for task in newest],
    }
    return {name: [((task,), value) for task, value in pairs if value is not None] for name, pairs in values.items()}


def _family(name: str, model: str, samples: Samples) -> Metric:
    metric = BY_NAME[name]
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = kind(name, metric.help, labels=metric.labels)
    for labels, value in samples:
        family.add_metric((model, *labels), value)
    return family


def _durations(model: str, totals: Totals) -> list[Metric]:
    if not totals.durations:
        return []
    metric = BY_NAME["lifelong_request_seconds"]
    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    for route, durations in totals.durations.items():
        running, buckets = 0, []
        for bound, count in zip((*LATENCY_BUCKETS_SECONDS, "+Inf"), durations.buckets, strict=True):
            running += count
            buckets.append((str(bound), float(running)))
        family.add_metric((model, route), buckets, durations.sum_seconds)
    return [family]
