"""*Forgetting*: what the champion still knows of every task, what it lost, and what the gate let pass."""

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from deploy.grafana.panels import (
    BAD,
    GOOD,
    WARNING,
    Ask,
    Says,
    annotated,
    bars,
    champion,
    dashboard,
    falling_from,
    lines,
    matrix,
    number,
)
from deploy.grafana.promql import increase, now

ACCURACY, BEST = now("lifelong_task_accuracy_ratio"), now("lifelong_task_best_accuracy_ratio")
LOWEST = now("lifelong_task_min_accuracy_ratio")
SPENT = f"({BEST} - {ACCURACY})"
BUDGET, MAX_DROP = now("lifelong_forgetting_budget_ratio"), now("lifelong_max_drop_ratio")
AVERAGE, WORST = now("lifelong_average_accuracy_ratio"), now("lifelong_worst_task_accuracy_ratio")
BACKWARD, FORWARD = now("lifelong_backward_transfer_ratio"), now("lifelong_forward_transfer_ratio")
BACKWARD_MEANING = "Mean of R[T][j] − R[j][j]: below zero, older tasks were forgotten."
BUDGET_MEANING = "The largest share of promotion.budget that a task has used since its best."
GAP_MEANING = "The most that a task had fallen since its end and has won back by now."
MATRIX_MEANING = (
    "Row: measured when this task ended. Column: on this task's probe set. Down a column, what was known "
    "of a task fades; right of the diagonal is what was known before. The newest twelve tasks."
)
SPENT_MEANING = (
    "How far the champion stands below the best that a served version reached. The gate refuses what takes "
    "a task beyond the budget, and what costs it more than the largest drop at once."
)
AVERAGE_MEANING = "Mean over all probe sets after the last task; the champion's worst one."
TRANSFER_MEANING = "Backward: below zero is forgetting. Forward: above zero, earlier tasks help."
COLOURS = ((0.0, BAD), (0.5, "orange"), (0.7, WARNING), (0.85, "light-green"), (0.95, GOOD))


def build() -> Dashboard:
    """The dashboard."""
    made = annotated(
        dashboard("lifelong-forgetting", "Forgetting", "What is still known of every task, and what is not.")
    )
    _present(made.with_row(Row("Now")))
    _over_time(made.with_row(Row("Over time")))
    _gate(made.with_row(Row("Gate")))
    return made


def _present(made: Dashboard) -> None:
    made.with_panel(champion())
    for title, description, expression, colours in (
        ("Average accuracy", "Mean accuracy over all probe sets after the last task.", AVERAGE, COLOURS),
        ("Worst task", "The champion's lowest accuracy on any probe set.", WORST, COLOURS),
        ("Backward transfer", BACKWARD_MEANING, BACKWARD, ((-1.0, BAD), (-0.2, WARNING), (-0.1, GOOD))),
        ("Budget used", BUDGET_MEANING, f"max by (model) ({SPENT}) / {BUDGET}", falling_from(0.5, 1.0)),
        ("Stability gap", GAP_MEANING, f"max by (model) ({ACCURACY} - {LOWEST})", falling_from(0.1, 0.2)),
    ):
        made.with_panel(number(Says(title, description, "percentunit"), Ask(expression), colours))
    made.with_panel(
        matrix(
            Says("Accuracy matrix R", MATRIX_MEANING, "percentunit"),
            Ask(now("lifelong_matrix_accuracy_ratio")),
            "after",
            "probe",
            COLOURS,
        )
    )


def _over_time(made: Dashboard) -> None:
    for title, description, is_share, asks in (
        ("Accuracy per task", "The champion's accuracy on each probe set.", True, [Ask(ACCURACY, "{{task}}")]),
        ("Average and worst", AVERAGE_MEANING, True, [Ask(AVERAGE, "average"), Ask(WORST, "worst")]),
        (
            "Forgetting against its budget",
            SPENT_MEANING,
            False,
            [Ask(SPENT, "{{task}}"), Ask(BUDGET, "budget"), Ask(MAX_DROP, "largest drop of one version")],
        ),
        (
            "Forgetting at task ends",
            "max over i of R[i][j] − R[T][j]: the learner's, served or not.",
            False,
            [Ask(now("lifelong_task_forgetting_ratio"), "{{task}}")],
        ),
        ("Transfer", TRANSFER_MEANING, False, [Ask(BACKWARD, "backward"), Ask(FORWARD, "forward")]),
        (
            "Stability gap per task",
            "Present accuracy minus the lowest since the task ended.",
            False,
            [Ask(f"{ACCURACY} - {LOWEST}", "{{task}}")],
        ),
    ):
        made.with_panel(lines(Says(title, description, "percentunit"), *asks, is_share=is_share))


def _gate(made: Dashboard) -> None:
    made.with_panel(
        bars(
            Says("Verdicts", "Decisions of the gate by verdict.", "short"),
            Ask(increase("lifelong_gate_decisions_total"), "{{verdict}}"),
            width=8,
        )
    )
    made.with_panel(
        bars(
            Says("Reasons", "What the decisions came from; the codes are explained in docs/metrics.md.", "short"),
            Ask(f"{increase('lifelong_gate_reasons_total')} > 0", "{{verdict}}: {{reason}}"),
            width=8,
        )
    )
    made.with_panel(
        lines(
            Says(
                "Probe rows",
                "What each task is measured on: 100 rows show a loss of seven points, 1,000 of two.",
                "short",
            ),
            Ask(now("lifelong_task_probe_rows"), "{{task}}"),
            width=8,
        )
    )
