"""A real Prometheus for tests: started on files of ours, asked over its own interface."""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from service.environment import free_port
from tests.answering import awaited, wait_answering

READY_SECONDS = 60.0


class Prometheus:
    """A running server."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._client = httpx.Client(base_url=address, trust_env=False, timeout=30.0)

    def get(self, path: str, **parameters: Any) -> Any:
        """The data of an answer."""
        answer = self._client.get(f"/api/v1/{path}", params=parameters).json()
        assert answer["status"] == "success", f"{parameters}: {answer.get('error')}"
        return answer["data"]

    def now(self, query: str) -> list[dict[str, Any]]:
        """The series of an instant query."""
        series: list[dict[str, Any]] = self.get("query", query=query)["result"]
        return series

    def value(self, query: str) -> float | None:
        """The value of an instant query that has one series at most."""
        series = self.now(query)
        assert len(series) < 2, series
        return float(series[0]["value"][1]) if series else None

    def wait_for(self, query: str, seconds: float = 60.0) -> None:
        """Waits until a query has a series."""
        awaited(lambda: self.now(query), seconds, lambda: query)

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()


@contextmanager
def scraping(directory: Path, jobs: Mapping[str, Sequence[str]], rules: Mapping[str, str]) -> Iterator[Prometheus]:
    """Scrapes the targets of jobs each second and evaluates rule files, given by name, as often."""
    for name, text in rules.items():
        (directory / name).write_text(text)
    scraped = [{"job_name": job, "static_configs": [{"targets": list(targets)}]} for job, targets in jobs.items()]
    every = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    configuration = {"global": every, "rule_files": list(rules), "scrape_configs": scraped}
    (directory / "prometheus.yml").write_text(json.dumps(configuration))
    port = free_port()
    options = ["--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address=127.0.0.1:{port}"]
    with (directory / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(["prometheus", *options], cwd=directory, stdout=log, stderr=log)
    server = Prometheus(f"http://127.0.0.1:{port}")
    try:
        wait_answering(f"{server.address}/-/ready", process, directory / "prometheus.log", READY_SECONDS)
        yield server
    finally:
        server.close()
        process.terminate()
        process.wait(30)
