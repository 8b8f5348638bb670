"""One service that has lived an eventful life, watched by one Prometheus."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.console.service import Service, running, written
from tests.deploy.asking import ROOT, Viewer
from tests.deploy.prometheus import scraping
from tests.deploy.rules import hasty
from tests.deploy.stream import CONFIGURATION, MODEL, Life

JOB, OTHER_JOB = "school/one", "office/two"
ANSWERED = f'sum(max by (model, version) (lifelong_predictions_total{{job="{JOB}"}}))'


class Watched(NamedTuple):
    """A service, who watches it, and what was done to it."""

    service: Service
    viewer: Viewer
    life: Life


@pytest.fixture(scope="package")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Scraped under two names, as if it had two replicas, and as another job, as if there were two services."""
    directory: Path = tmp_path_factory.mktemp("watched")
    rules = {"rules.yml": hasty((ROOT / "deploy" / "prometheus" / "rules.yml").read_text())}
    with running(directory, [written(directory, MODEL, CONFIGURATION)]) as service:
        port = service.address.rpartition(":")[2]
        jobs = {JOB: [f"127.0.0.1:{port}", f"localhost:{port}"], OTHER_JOB: [f"127.0.0.1:{port}"]}
        with scraping(directory, jobs, rules) as prometheus:
            prometheus.wait_for("lifelong_trainer_up == 1")
            viewer = Viewer(prometheus, JOB, MODEL)
            (log,) = (directory / "state").rglob("feedback.db")
            life = Life(service, prometheus, log)
            life.live()
            prometheus.wait_for(f"{ANSWERED} >= {life.n_answered}")
            yield Watched(service, viewer, life)
