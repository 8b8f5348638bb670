"""Asks what a dashboard asks, with its variables filled in as Grafana would."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.deploy.prometheus import Prometheus

ROOT = Path(__file__).parents[2]
DIRECTORY = ROOT / "deploy" / "grafana" / "dashboards"
DASHBOARDS = {path.stem: json.loads(path.read_text()) for path in sorted(DIRECTORY.glob("*.json"))}
RATE_INTERVAL_SECONDS = 10
STEP_SECONDS = 1


class Question(NamedTuple):
    """One query of a panel or an annotation."""

    dashboard: str
    title: str
    expression: str
    is_instant: bool

    def __str__(self) -> str:
        return f"{self.dashboard}: {self.title}"


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """The panels that show something, also those inside of rows."""
    listed = [panel for panel in dashboard["panels"] for panel in (panel, *panel.get("panels", ()))]
    return [panel for panel in listed if panel["type"] != "row"]


def questions() -> Iterator[Question]:
    """Every query of every dashboard."""
    for name, dashboard in DASHBOARDS.items():
        for mark in dashboard["annotations"]["list"]:
            yield Question(name, mark["name"], mark["expr"], False)
        for panel in panels(dashboard):
            for target in panel["targets"]:
                yield Question(name, panel["title"], target["expr"], target.get("instant", False))


def filled(expression: str, job: str, model: str, seconds: float) -> str:
    """An expression with its variables filled in, for a dashboard that shows that many seconds."""
    expression = expression.replace("$job", job)
    expression = expression.replace("$__rate_interval", f"{RATE_INTERVAL_SECONDS}s")
    return expression.replace("$__range", f"{int(seconds)}s").replace("$model", model)


class Viewer:
    """Looks at dashboards from a moment on, at one model of one job."""

    def __init__(self, prometheus: Prometheus, job: str, model: str) -> None:
        self.prometheus = prometheus
        self.job, self.model = job, model
        self.began = time.time()

    def ask(self, question: Question) -> list[dict[str, Any]]:
        """The series of a query: over all the time since the beginning, or at this moment."""
        now = time.time()
        query = filled(question.expression, self.job, self.model, now - self.began)
        if question.is_instant:
            return [series | {"values": [series["value"]]} for series in self.prometheus.now(query)]
        span = {"start": self.began, "end": now, "step": STEP_SECONDS}
        series: list[dict[str, Any]] = self.prometheus.get("query_range", query=query, **span)["result"]
        return series
