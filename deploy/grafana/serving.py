"""*Serving*: how much is asked, what fails, how long answers take by version, and who serves which."""

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from deploy.grafana.panels import (
    ALL_GOOD,
    Ask,
    Says,
    annotated,
    bars,
    champion,
    dashboard,
    falling_from,
    lines,
    number,
    warns_from,
)
from deploy.grafana.promql import changes, increase, now, quantile, rate

REQUESTS = rate("lifelong_requests_total")
FAILED = rate("lifelong_requests_total", outcome="!ok")
SHARES = ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))


def build() -> Dashboard:
    """The dashboard."""
    made = annotated(
        dashboard("lifelong-serving", "Serving", "What is asked, how it is answered, and by which version.")
    )
    _present(made.with_row(Row("Now")))
    _requests(made.with_row(Row("Requests")))
    _versions(made.with_row(Row("Versions")))
    return made


def _present(made: Dashboard) -> None:
    made.with_panel(champion())
    behind = now("lifelong_replicas", state="behind")
    failing = f"(sum by (model) ({FAILED}) or 0 * sum by (model) ({REQUESTS})) / (sum by (model) ({REQUESTS}) > 0)"
    for title, description, unit, expression, colours in (
        ("Requests", "All routes.", "reqps", f"sum by (model) ({REQUESTS})", ALL_GOOD),
        ("Errors", "Share not answered ok.", "percentunit", failing, falling_from(0.01, 0.05)),
        ("Replicas", "That serve the champion.", "short", now("lifelong_replicas", state="serving"), ALL_GOOD),
        ("Replicas behind", "That serve another version.", "short", behind, warns_from(1.0)),
        (
            "Swaps",
            "Changes of the champion.",
            "short",
            changes("lifelong_promotion_timestamp_seconds", "$__range"),
            ALL_GOOD,
        ),
    ):
        made.with_panel(number(Says(title, description, unit), Ask(expression), colours))


def _requests(made: Dashboard) -> None:
    made.with_panel(
        lines(
            Says("Requests", "Requests a second by route.", "reqps"),
            Ask(f"sum by (route) ({REQUESTS})", "{{route}}"),
        )
    )
    made.with_panel(
        lines(
            Says("Errors", "Requests a second that were not answered ok, by the error's code.", "reqps"),
            Ask(FAILED, "{{route}}: {{outcome}}"),
        )
    )
    timed = "lifelong_request_seconds"
    made.with_panel(
        lines(
            Says("Latency", "By route, from a request's head to the last byte of its answer.", "s"),
            *(Ask(quantile(share, timed, "route"), f"{name} {{{{route}}}}") for share, name in SHARES),
        )
    )
    made.with_panel(
        bars(
            Says("Not remembered", "Answered requests whose predictions feedback cannot name.", "short"),
            Ask(increase("lifelong_requests_dropped_total"), "requests"),
        )
    )


def _versions(made: Dashboard) -> None:
    made.with_panel(
        lines(
            Says("Predictions", "Instances answered a second, by the version that answered.", "cps"),
            Ask(rate("lifelong_predictions_total"), "version {{version}}"),
        )
    )
    made.with_panel(
        lines(
            Says("Latency by version", "p95 of answered requests, for the eight versions that answered last.", "s"),
            Ask(quantile(0.95, "lifelong_answer_seconds", "version"), "version {{version}}"),
        )
    )
    made.with_panel(
        bars(
            Says("Swaps", "Changes of the champion: promotions and rollbacks.", "short"),
            Ask(changes("lifelong_promotion_timestamp_seconds"), "swaps"),
        )
    )
    made.with_panel(
        lines(
            Says(
                "Replicas' versions", "Replicas that serve the champion, and those that still serve another.", "short"
            ),
            Ask(now("lifelong_replicas"), "{{state}}"),
        )
    )
