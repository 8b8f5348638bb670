"""The metric catalogue: every series of the product, once. Code, dashboards and docs take names from here alone."""

from typing import Literal, NamedTuple

Kind = Literal["counter", "gauge", "histogram"]
MAX_TASK_SERIES = 64
LATENCY_BUCKETS_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Metric(NamedTuple):
    """One exported series family; `labels` are bounded sets, never raw user input."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ("model",)


TASK, STATE = ("model", "task"), ("model", "state")
CATALOGUE = (
    Metric("lifelong_task_accuracy_ratio", "gauge", "Champion's accuracy on the task's probe set, 0 to 1.", TASK),
    Metric("lifelong_task_forgetting_ratio", "gauge", "Best earlier accuracy minus the present one, per task.", TASK),
    Metric("lifelong_task_min_accuracy_ratio", "gauge", "Lowest accuracy of a task since it was closed.", TASK),
    Metric("lifelong_average_accuracy_ratio", "gauge", "Mean accuracy over all probe sets."),
    Metric("lifelong_backward_transfer_ratio", "gauge", "Mean of R[T][j] - R[j][j]; negative means forgetting."),
    Metric("lifelong_forward_transfer_ratio", "gauge", "Mean of R[j-1][j] - b[j]; positive means earlier tasks help."),
    Metric("lifelong_worst_task_accuracy_ratio", "gauge", "Lowest accuracy over all probe sets."),
    Metric("lifelong_events", "gauge", "Feedback events by where they are in the ledger.", STATE),
    Metric("lifelong_lag_events", "gauge", "Events in the log that the trainer has not yet accounted for."),
    Metric("lifelong_train_step_seconds", "gauge", "Mean duration of a training step in the last round."),
    Metric("lifelong_rate_curvature_ratio", "gauge", "Learning rate times the penalty's largest second derivative."),
    Metric("lifelong_skipped_steps_total", "counter", "Training steps left out for a number that was not finite."),
    Metric("lifelong_restored_rounds_total", "counter", "Rounds after which the network was what it was before."),
    Metric("lifelong_quarantined_rows_total", "counter", "Rows learned no more, because each alone broke a step."),
    Metric("lifelong_round_seconds", "gauge", "Duration of the last round of training steps."),
    Metric("lifelong_decision_seconds", "gauge", "Duration of the last promotion decision, publishing included."),
    Metric("lifelong_consolidation_seconds", "gauge", "Duration of the last task consolidation, Fisher included."),
    Metric("lifelong_event_to_served_seconds", "gauge", "Age of the champion's oldest event when it was announced."),
    Metric("lifelong_gate_decisions_total", "counter", "Promotion decisions by verdict.", ("model", "verdict")),
    Metric("lifelong_champion_version_info", "gauge", "1 for the version that is served.", ("model", "version")),
    Metric("lifelong_promotion_timestamp_seconds", "gauge", "Unix time of the last promotion."),
    Metric("lifelong_registry_lag_versions", "gauge", "Versions that the registry has not yet been told of."),
    Metric("lifelong_replicas", "gauge", "Replicas by whether they serve the champion.", STATE),
    Metric("lifelong_predictions_total", "counter", "Instances answered, by version.", ("model", "version")),
    Metric("lifelong_requests_total", "counter", "Requests by route and outcome.", ("model", "route", "outcome")),
    Metric(
        "lifelong_requests_dropped_total",
        "counter",
        "Answered requests that feedback cannot name.",
    ),
    Metric("lifelong_request_seconds", "histogram", "Duration of predict and feedback requests.", ("model", "route")),
)
PAGE_HEAD = (
    "# Metrics",
    "",
    "Everything that `/metrics` exports. Any replica gives the same answer: the hub of each model adds up what the",
    "replicas count, and the learning gauges come from the trainer's last status. At most "
    f"{MAX_TASK_SERIES} tasks have series of their own.",
    "",
    "| name | kind | labels | meaning |",
    "|---|---|---|---|",
)
BY_NAME = {metric.name: metric for metric in CATALOGUE}


def page() -> str:
    """The catalogue as `docs/metrics.md` begins; a test holds the committed page against it."""
    rows = [f"| `{m.name}` | {m.kind} | {', '.join(m.labels)} | {m.help} |" for m in CATALOGUE]
    return "\n".join([*PAGE_HEAD, *rows, ""])
