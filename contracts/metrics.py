"""The metric catalogue: every series of the product, once. Code, dashboards and docs take names from here alone."""

from typing import Literal, NamedTuple

from contracts.versions import Reason

Kind = Literal["counter", "gauge", "histogram"]
MAX_TASK_SERIES = 64
MAX_MATRIX_TASKS = 12
"""T tasks have T² cells: more than the newest are for `/v1/models/{model}/matrix`."""
MAX_TIMED_VERSIONS = 8
"""A histogram is 15 series: of more versions, they would be most of what Prometheus keeps of a model."""
LATENCY_BUCKETS_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Metric(NamedTuple):
    """One exported series family; `labels` are bounded sets, never raw user input."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ("model",)


TASK, STATE, CELL = ("model", "task"), ("model", "state"), ("model", "after", "probe")
CATALOGUE = (
    Metric("lifelong_task_accuracy_ratio", "gauge", "Champion's accuracy on the task's probe set, 0 to 1.", TASK),
    Metric("lifelong_task_best_accuracy_ratio", "gauge", "Best accuracy that a served version had on the task.", TASK),
    Metric("lifelong_task_forgetting_ratio", "gauge", "Best earlier accuracy minus the present one, per task.", TASK),
    Metric("lifelong_task_min_accuracy_ratio", "gauge", "Lowest accuracy of a task since it was closed.", TASK),
    Metric("lifelong_task_probe_rows", "gauge", "Probe rows that a task's accuracy is measured on.", TASK),
    Metric("lifelong_matrix_accuracy_ratio", "gauge", "R[i][j]: accuracy on a probe set after a task, 0 to 1.", CELL),
    Metric("lifelong_average_accuracy_ratio", "gauge", "Mean accuracy over all probe sets."),
    Metric("lifelong_backward_transfer_ratio", "gauge", "Mean of R[T][j] - R[j][j]; negative means forgetting."),
    Metric("lifelong_forward_transfer_ratio", "gauge", "Mean of R[j-1][j] - b[j]; positive means earlier tasks help."),
    Metric("lifelong_worst_task_accuracy_ratio", "gauge", "Lowest accuracy over all probe sets."),
    Metric("lifelong_forgetting_budget_ratio", "gauge", "What a task may lose since its best: promotion.budget."),
    Metric("lifelong_max_drop_ratio", "gauge", "What one version may cost a task: promotion.max_drop."),
    Metric("lifelong_events", "gauge", "Feedback events by where they are in the ledger.", STATE),
    Metric("lifelong_lag_events", "gauge", "Events in the log that the trainer has not yet accounted for."),
    Metric(
        "lifelong_joined_events_total",
        "counter",
        "Events that named a prediction, by who looked it up and whether it was remembered.",
        ("model", "by", "outcome"),
    ),
    Metric("lifelong_last_event_timestamp_seconds", "gauge", "Unix time at which the newest example was accepted."),
    Metric("lifelong_last_round_timestamp_seconds", "gauge", "Unix time at which a round was last learned."),
    Metric("lifelong_trainer_up", "gauge", "1 while the trainer reports, 0 after 5 seconds of silence."),
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
    Metric(
        "lifelong_gate_reasons_total",
        "counter",
        "Reasons of promotion decisions; one decision may have several.",
        ("model", "verdict", "reason"),
    ),
    Metric("lifelong_champion_version_info", "gauge", "1 for the version that is served.", ("model", "version")),
    Metric("lifelong_promotion_timestamp_seconds", "gauge", "Unix time at which the champion last changed."),
    Metric(
        "lifelong_rollback_timestamp_seconds", "gauge", "Unix time at which the learner last went back to a version."
    ),
    Metric("lifelong_registry_lag_versions", "gauge", "Versions unknown to the registry; 1 for aliases alone."),
    Metric("lifelong_erasures_pending", "gauge", "Requests to forget a subject that are not carried out yet."),
    Metric("lifelong_oldest_erasure_timestamp_seconds", "gauge", "Unix time of the oldest of them; absent if none."),
    Metric("lifelong_erased_events_total", "counter", "Training and probe events erased with their subjects."),
    Metric("lifelong_replicas", "gauge", "Replicas by whether they serve the champion.", STATE),
    Metric("lifelong_version_replicas", "gauge", "Live replicas by the version that they serve.", ("model", "version")),
    Metric("lifelong_predictions_total", "counter", "Instances answered, by version.", ("model", "version")),
    Metric("lifelong_requests_total", "counter", "Requests by route and outcome.", ("model", "route", "outcome")),
    Metric("lifelong_requests_dropped_total", "counter", "Answered requests that feedback cannot name."),
    Metric("lifelong_request_seconds", "histogram", "Duration of requests, by route.", ("model", "route")),
    Metric(
        "lifelong_answer_seconds",
        "histogram",
        "Duration of answered predict and infer requests, by version.",
        ("model", "version"),
    ),
)
LABELS = {
    "model": "a configured model",
    "task": f"the newest {MAX_TASK_SERIES} tasks",
    "after": f"the newest {MAX_MATRIX_TASKS} closed tasks, with their place in front, so that they sort: `07 name`",
    "probe": "the same tasks, as owners of probe sets",
    "state": "of events: `received`, and where they are: `trained`, `probe`, `duplicate`, `late`, `quarantined`, "
    "`dead`, `pending`; of replicas: `serving` the champion or `behind`",
    "by": "`service`, before the event was accepted, or `trainer`, for what other programs wrote to Kafka",
    "outcome": "of joins: `joined`, or `unknown` where the prediction is not remembered or never was; of requests: "
    "`ok`, `client_gone` or the `error` code of the answer",
    "verdict": "`promote`, `refuse`, `hold`",
    "reason": "the codes below",
    "version": f"the {MAX_TASK_SERIES} versions that answered last, {MAX_TIMED_VERSIONS} of them where there are "
    "histograms; of replicas: those that live ones serve",
    "route": "`predict`, `infer`, `explain`, `feedback`",
}
REASONS: dict[Reason, str] = {
    "nothing_lost": "no tested set lost anything beyond chance",
    "no_probe_rows": "no set has the rows that could show a loss",
    "gained": "a current task rose, or rows with labels that are new to the champion are right",
    "gain_outweighs": "weighed together, what was gained is more than what was lost",
    "loss_outweighs": "weighed together, it is not",
    "loss_without_gain": "something was lost and nothing measurably gained",
    "new_unmeasured": "something was lost for labels that too few probe rows measure",
    "drops_too_far": "one version would cost a task more than `promotion.max_drop`",
    "too_many_flips": "too many rows that were right become wrong",
    "over_budget": "a task would stand further below its best than `promotion.budget`",
    "too_few_rows": "a loss on few rows: more of them are needed to tell it from chance",
    "not_auto": "it passed, but `promotion.mode` leaves it to a person",
    "erased": "it takes the place of versions that had learned from an erased subject, whatever it is worth",
}
PAGE_HEAD = (
    "# Metrics",
    "",
    "Everything that `/metrics` exports. Any replica gives the same answer: the hub of each model adds up what the",
    "replicas count, and the learning gauges come from the trainer's last status. At most "
    f"{MAX_TASK_SERIES} tasks have series of their own.",
)
LABELS_HEAD = (
    "Every label has a bounded set of values. Of what clients send, only the names of tasks are among",
    "them.",
)
BY_NAME = {metric.name: metric for metric in CATALOGUE}


def page() -> str:
    """The catalogue as `docs/metrics.md` begins; a test holds the committed page against it."""
    metrics = [f"| `{m.name}` | {m.kind} | {', '.join(m.labels)} | {m.help} |" for m in CATALOGUE]
    labels = [f"| `{name}` | {bound} |" for name, bound in LABELS.items()]
    reasons = [f"| `{code}` | {meaning} |" for code, meaning in REASONS.items()]
    parts = [
        *PAGE_HEAD,
        *("", "| name | kind | labels | meaning |", "|---|---|---|---|", *metrics),
        *("", "## Labels", "", *LABELS_HEAD, "", "| label | values |", "|---|---|", *labels),
        *("", "## Reasons of the gate", "", "The rules are in [the gate](gate.md).", ""),
        *("| code | meaning |", "|---|---|", *reasons, ""),
    ]
    return "\n".join(parts)
