"""*Feedback and training*: what became of every event, how far behind learning is, and how long its parts take."""

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from deploy.grafana.panels import ALL_GOOD, BAD, GOOD, Ask, Says, annotated, bars, dashboard, lines, number, warns_from
from deploy.grafana.promql import increase, now, rate, since

EVENTS = 'lifelong_events{model="$model", state%s"received"}'
UNBALANCED = f"min by (model) (abs(sum without (state) ({EVENTS % '='}) - sum without (state) ({EVENTS % '!='})))"
"""Compared within each answer, because two of them are not of the same moment."""
JOINED = f"sum by (model) ({rate('lifelong_joined_events_total', outcome='joined')})"
NAMED = f"sum by (model) ({rate('lifelong_joined_events_total')})"


def build() -> Dashboard:
    """The dashboard."""
    made = annotated(dashboard("lifelong-training", "Feedback and training", "What became of every event, and when."))
    _present(made.with_row(Row("Now")))
    _feedback(made.with_row(Row("Feedback")))
    _training(made.with_row(Row("Training")))
    return made


def _present(made: Dashboard) -> None:
    for title, description, unit, expression, colours in (
        ("Trainer", "1 while it reports.", "none", now("lifelong_trainer_up"), ((0.0, BAD), (1.0, GOOD))),
        ("Pending", "In the log, not yet accounted for.", "short", now("lifelong_lag_events"), warns_from(10_000.0)),
        ("Lost or doubled", "Received minus all the rest.", "short", UNBALANCED, ((0.0, GOOD), (1.0, BAD))),
        ("Dead letters", "Can never be learned.", "short", now("lifelong_events", state="dead"), warns_from(1.0)),
        ("Last event", "Since the newest example was accepted.", "s", since("lifelong_last_event"), ALL_GOOD),
        ("Last round", "Since the trainer last learned.", "s", since("lifelong_last_round"), ALL_GOOD),
    ):
        made.with_panel(number(Says(title, description, unit), Ask(expression), colours))


def _feedback(made: Dashboard) -> None:
    made.with_panel(
        lines(
            Says("Ledger flows", "Events a second by where they went; received is the sum of the others.", "eps"),
            Ask(rate("lifelong_events", state="!pending"), "{{state}}"),
        )
    )
    made.with_panel(
        lines(
            Says("Lag", "Events in the log that the trainer has not yet accounted for.", "short"),
            Ask(now("lifelong_lag_events"), "pending"),
        )
    )
    made.with_panel(
        bars(
            Says(
                "Dead letters and quarantine",
                "Dead: can never be learned; the dead-letter topic or the log has the reason. Quarantined: names a "
                "prediction that is not remembered.",
                "short",
            ),
            Ask(increase("lifelong_events", state="~dead|quarantined"), "{{state}}"),
        )
    )
    made.with_panel(
        lines(
            Says(
                "Join rate", "Share of the events naming a prediction whose prediction was remembered.", "percentunit"
            ),
            Ask(f"{JOINED} / ({NAMED} > 0)"),
            is_share=True,
        )
    )


def _training(made: Dashboard) -> None:
    for title, description, name in (
        ("Training step", "Mean over the steps of the last round.", "lifelong_train_step_seconds"),
        ("Round", "The last round of training steps.", "lifelong_round_seconds"),
        ("Consolidation", "The last end of a task, Fisher information included.", "lifelong_consolidation_seconds"),
        ("Decision", "The last measuring, judging and publishing.", "lifelong_decision_seconds"),
        (
            "Event to served",
            "Age of the champion's oldest new event when it was announced.",
            "lifelong_event_to_served_seconds",
        ),
    ):
        made.with_panel(lines(Says(title, description, "s"), Ask(now(name), title.lower()), width=8))
    made.with_panel(
        lines(
            Says(
                "What keeps learning finite",
                "Steps left out, rounds undone and rows set aside because a number was not finite.",
                "short",
            ),
            Ask(now("lifelong_skipped_steps_total"), "steps"),
            Ask(now("lifelong_restored_rounds_total"), "rounds"),
            Ask(now("lifelong_quarantined_rows_total"), "rows"),
            width=8,
        )
    )
    made.with_panel(
        lines(
            Says("Rate × curvature", "Above 1, plain gradient descent takes its steps at a smaller rate.", "none"),
            Ask(now("lifelong_rate_curvature_ratio"), "rate × curvature"),
        )
    )
    made.with_panel(
        lines(
            Says("Registry behind", "Versions that MLflow has not yet been told of.", "short"),
            Ask(now("lifelong_registry_lag_versions"), "versions"),
        )
    )
