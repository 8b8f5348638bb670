"""*Serving*: how much is asked, what fails, how long answers take by version, and who serves which."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana.panels import (
    ALL_GOOD,
    Ask,
    Panel,
    Says,
    bars,
    champion,
    dashboard,
    falling_from,
    lines,
    number,
    warns_from,
)
from deploy.grafana.promql import changes, increase, now, per_model, quantile, rate
from service.errors import SERVICE_FAULTS

REQUESTS = rate("lifelong_requests_total")
ALL = per_model("sum", REQUESTS)
SERVICE, CLIENTS = "~" + "|".join(SERVICE_FAULTS), "!~" + "|".join(["ok", *SERVICE_FAULTS])
SHARES = ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
LATENCY_MEANING = "By route, from a request's head to the last byte of its answer."
BY_VERSION_MEANING = "p95 of answered requests, for the eight versions that answered last."
SERVICE_MEANING = "Requests a second that failed or were turned away for the service's sake, by the error's code."
CLIENTS_MEANING = "Requests a second with which clients were at fault, or that they gave up, by the error's code."
VERSIONS_MEANING = "Live replicas by the version that they serve: two of them while a swap is on its way."


def build() -> Dashboard:
    """The dashboard."""
    rows = {"Now": _present(), "Requests": _requests(), "Versions": _versions()}
    return dashboard("lifelong-serving", "Serving", "What is asked, how it is answered, and by which version.", rows)


def _present() -> list[Panel]:
    serving, behind = (now("lifelong_replicas", state=state) for state in ("serving", "behind"))
    swaps = changes("lifelong_promotion_timestamp_seconds", "$__range")
    numbers = (
        ("Requests", "All routes.", "reqps", ALL, ALL_GOOD),
        ("Service errors", "Share that the service failed.", "percentunit", _share(SERVICE), falling_from(0.01, 0.05)),
        ("Client errors", "Share that clients got wrong.", "percentunit", _share(CLIENTS), warns_from(0.05)),
        ("Replicas", "That serve the champion.", "short", serving, ALL_GOOD),
        ("Replicas behind", "That serve another version.", "short", behind, warns_from(1.0)),
        ("Swaps", "Changes of the champion.", "short", swaps, ALL_GOOD),
    )
    made = (number(Says(title, text, unit), Ask(asked), colours, 3) for title, text, unit, asked, colours in numbers)
    return [champion(width=6), *made]


def _share(outcomes: str) -> str:
    """The share of requests that came to some outcomes: 0, not nothing, where none did."""
    those = per_model("sum", rate("lifelong_requests_total", outcome=outcomes))
    return f"({those} or 0 * {ALL}) / ({ALL} > 0)"


def _requests() -> list[Panel]:
    asked = Ask(f"sum by (route) ({REQUESTS})", "{{route}}")
    service, clients = (
        Ask(rate("lifelong_requests_total", outcome=outcomes), "{{route}}: {{outcome}}")
        for outcomes in (SERVICE, CLIENTS)
    )
    timed = "lifelong_request_seconds"
    times = [Ask(quantile(share, timed, "route"), f"{name} {{{{route}}}}") for share, name in SHARES]
    dropped = Ask(increase("lifelong_requests_dropped_total"), "requests")
    return [
        lines(Says("Requests", "Requests a second by route.", "reqps"), asked, width=8),
        lines(Says("Service errors", SERVICE_MEANING, "reqps"), service, width=8),
        lines(Says("Client errors", CLIENTS_MEANING, "reqps"), clients, width=8),
        lines(Says("Latency", LATENCY_MEANING, "s"), *times),
        bars(Says("Not remembered", "Answered requests whose predictions feedback cannot name.", "short"), dropped),
    ]


def _versions() -> list[Panel]:
    answered = Ask(rate("lifelong_predictions_total"), "version {{version}}")
    times = Ask(quantile(0.95, "lifelong_answer_seconds", "version"), "version {{version}}")
    swaps = Ask(changes("lifelong_promotion_timestamp_seconds"), "swaps")
    serving = Ask(now("lifelong_version_replicas"), "version {{version}}")
    return [
        lines(Says("Predictions", "Instances answered a second, by the version that answered.", "cps"), answered),
        lines(Says("Latency by version", BY_VERSION_MEANING, "s"), times),
        bars(Says("Swaps", "Changes of the champion: promotions and rollbacks.", "short"), swaps),
        bars(Says("Replicas' versions", VERSIONS_MEANING, "short"), serving),
    ]
