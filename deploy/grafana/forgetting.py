"""*Forgetting*: what the champion still knows of every task, what it lost, and what the gate let pass."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana.panels import (
    BAD,
    GOOD,
    WARNING,
    Ask,
    Panel,
    Says,
    bars,
    champion,
    dashboard,
    falling_from,
    lines,
    matrix,
    number,
)
from deploy.grafana.promql import increase, now, per_model

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
ENDS_MEANING = "max over i of R[i][j] − R[T][j]: the learner's, served or not."
GAPS_MEANING = "Present accuracy minus the lowest since the task ended."
REASONS_MEANING = "What the decisions came from; the codes are explained in docs/metrics.md."
ROWS_MEANING = "What each task is measured on: 100 rows show a loss of seven points, 1,000 of two."
TRANSFER_MEANING = "Backward: below zero is forgetting. Forward: above zero, earlier tasks help."
COLOURS = ((0.0, BAD), (0.5, "orange"), (0.7, WARNING), (0.85, "light-green"), (0.95, GOOD))


def build() -> Dashboard:
    """The dashboard."""
    rows = {"Now": _present(), "Over time": _over_time(), "Gate": _gate()}
    return dashboard("lifelong-forgetting", "Forgetting", "What is still known of every task, and what is not.", rows)


def _present() -> list[Panel]:
    numbers = (
        ("Average accuracy", "Mean accuracy over all probe sets after the last task.", AVERAGE, COLOURS),
        ("Worst task", "The champion's lowest accuracy on any probe set.", WORST, COLOURS),
        ("Backward transfer", BACKWARD_MEANING, BACKWARD, ((-1.0, BAD), (-0.2, WARNING), (-0.1, GOOD))),
        ("Budget used", BUDGET_MEANING, f"{per_model('max', SPENT)} / {BUDGET}", falling_from(0.5, 1.0)),
        ("Stability gap", GAP_MEANING, per_model("max", f"{ACCURACY} - {LOWEST}"), falling_from(0.1, 0.2)),
    )
    cells = Ask(now("lifelong_matrix_accuracy_ratio"))
    return [
        champion(),
        *(number(Says(title, text, "percentunit"), Ask(asked), colours) for title, text, asked, colours in numbers),
        matrix(Says("Accuracy matrix R", MATRIX_MEANING, "percentunit"), cells, "after", "probe", COLOURS),
    ]


def _over_time() -> list[Panel]:
    limits = (Ask(BUDGET, "budget"), Ask(MAX_DROP, "largest drop of one version"))
    learners = now("lifelong_task_forgetting_ratio")
    shares = (
        ("Accuracy per task", "The champion's accuracy on each probe set.", [Ask(ACCURACY, "{{task}}")]),
        ("Average and worst", AVERAGE_MEANING, [Ask(AVERAGE, "average"), Ask(WORST, "worst")]),
    )
    differences = (
        ("Forgetting against its budget", SPENT_MEANING, [Ask(SPENT, "{{task}}"), *limits]),
        ("Forgetting at task ends", ENDS_MEANING, [Ask(learners, "{{task}}")]),
        ("Transfer", TRANSFER_MEANING, [Ask(BACKWARD, "backward"), Ask(FORWARD, "forward")]),
        ("Stability gap per task", GAPS_MEANING, [Ask(f"{ACCURACY} - {LOWEST}", "{{task}}")]),
    )
    return [
        *(lines(Says(title, meaning, "percentunit"), *asks, is_share=True) for title, meaning, asks in shares),
        *(lines(Says(title, meaning, "percentunit"), *asks) for title, meaning, asks in differences),
    ]


def _gate() -> list[Panel]:
    verdicts = Ask(increase("lifelong_gate_decisions_total"), "{{verdict}}")
    reasons = Ask(f"{increase('lifelong_gate_reasons_total')} > 0", "{{verdict}}: {{reason}}")
    rows = Ask(now("lifelong_task_probe_rows"), "{{task}}")
    return [
        bars(Says("Verdicts", "Decisions of the gate by verdict.", "short"), verdicts, width=8),
        bars(Says("Reasons", REASONS_MEANING, "short"), reasons, width=8),
        lines(Says("Probe rows", ROWS_MEANING, "short"), rows, width=8),
    ]
