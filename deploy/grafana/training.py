"""*Feedback and training*: what became of every event, how far behind learning is, and how long its parts take."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana.panels import ALL_GOOD, BAD, GOOD, Ask, Panel, Says, bars, dashboard, lines, number, warns_from
from deploy.grafana.promql import increase, now, per_model, rate, since

EVENTS = 'sum without (state) (lifelong_events{job="$job", model="$model", state%s"received"})'
UNBALANCED = per_model("min", f"abs({EVENTS % '='} - {EVENTS % '!='})")
"""Compared within each answer, because two of them are not of the same moment."""
JOINED = per_model("sum", rate("lifelong_joined_events_total", outcome="joined"))
NAMED = per_model("sum", rate("lifelong_joined_events_total"))
ERASURES = now("lifelong_erasures_pending")


JOIN_MEANING = "Share of the events naming a prediction whose prediction was remembered."
FLOWS_MEANING = "Events a second by where they went; received is the sum of the others."
DEAD_MEANING = (
    "Dead: can never be learned; the dead-letter topic or the log has the reason. Quarantined: names a "
    "prediction that is not remembered."
)
LAG_MEANING = "Events in the log that the trainer has not yet accounted for."
FINITE_MEANING = "Steps left out, rounds undone and rows set aside because a number was not finite."
PENDING_MEANING = "Requests to forget a subject that are not carried out yet."
OLDEST_MEANING = "Since somebody asked for the erasure that waits longest; 0 while none is pending."
ERASED_MEANING = "Training and probe events that were erased with their subjects."
CURVATURE_MEANING = "Above 1, plain gradient descent takes its steps at a smaller rate."
DURATIONS = (
    ("Training step", "Mean over the steps of the last round.", "lifelong_train_step_seconds"),
    ("Round", "The last round of training steps.", "lifelong_round_seconds"),
    ("Consolidation", "The last end of a task, Fisher information included.", "lifelong_consolidation_seconds"),
    ("Decision", "The last measuring, judging and publishing.", "lifelong_decision_seconds"),
    (
        "Event to served",
        "Age of the champion's oldest new event when it was announced.",
        "lifelong_event_to_served_seconds",
    ),
)


def build() -> Dashboard:
    """The dashboard."""
    rows = {"Now": _present(), "Feedback": _feedback(), "Training": _training(), "Erasure": _erasure()}
    return dashboard("lifelong-training", "Feedback and training", "What became of every event, and when.", rows)


def _present() -> list[Panel]:
    numbers = (
        ("Trainer", "1 while it reports.", "none", now("lifelong_trainer_up"), ((0.0, BAD), (1.0, GOOD))),
        ("Pending", "In the log, not yet accounted for.", "short", now("lifelong_lag_events"), warns_from(10_000.0)),
        ("Lost or doubled", "Received minus all the rest.", "short", UNBALANCED, ((0.0, GOOD), (1.0, BAD))),
        ("Dead letters", "Can never be learned.", "short", now("lifelong_events", state="dead"), warns_from(1.0)),
        ("Last event", "Since the newest example was accepted.", "s", since("lifelong_last_event"), ALL_GOOD),
        ("Last round", "Since the trainer last learned.", "s", since("lifelong_last_round"), ALL_GOOD),
    )
    return [number(Says(title, meaning, unit), Ask(asked), colours) for title, meaning, unit, asked, colours in numbers]


def _feedback() -> list[Panel]:
    flows = Ask(rate("lifelong_events", state="!pending"), "{{state}}")
    dead = Ask(increase("lifelong_events", state="~dead|quarantined"), "{{state}}")
    joined = Ask(f"{JOINED} / ({NAMED} > 0)")
    return [
        lines(Says("Ledger flows", FLOWS_MEANING, "eps"), flows),
        lines(Says("Lag", LAG_MEANING, "short"), Ask(now("lifelong_lag_events"), "pending")),
        bars(Says("Dead letters and quarantine", DEAD_MEANING, "short"), dead),
        lines(Says("Join rate", JOIN_MEANING, "percentunit"), joined, is_share=True),
    ]


def _training() -> list[Panel]:
    guards = {"steps": "skipped_steps", "rounds": "restored_rounds", "rows": "quarantined_rows"}
    left_out = [Ask(now(f"lifelong_{name}_total"), legend) for legend, name in guards.items()]
    curvature = Ask(now("lifelong_rate_curvature_ratio"), "rate × curvature")
    behind = Ask(now("lifelong_registry_lag_versions"), "versions")
    return [
        *(lines(Says(title, text, "s"), Ask(now(name), title.lower()), width=8) for title, text, name in DURATIONS),
        lines(Says("What keeps learning finite", FINITE_MEANING, "short"), *left_out, width=8),
        lines(Says("Rate × curvature", CURVATURE_MEANING, "none"), curvature),
        lines(Says("Registry behind", "Versions that MLflow has not yet been told of.", "short"), behind),
    ]


def _erasure() -> list[Panel]:
    oldest = Ask(f"{since('lifelong_oldest_erasure')} or 0 * {ERASURES}", "oldest")
    erased = Ask(increase("lifelong_erased_events_total"), "events")
    return [
        lines(Says("Erasures pending", PENDING_MEANING, "short"), Ask(ERASURES, "pending"), width=8),
        lines(Says("Oldest pending erasure", OLDEST_MEANING, "s"), oldest, width=8),
        bars(Says("Erased events", ERASED_MEANING, "short"), erased, width=8),
    ]
