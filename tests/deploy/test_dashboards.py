"""Dashboards: made by code, complete in what they say, and every query answered by a real Prometheus."""

import json
import math
import os
import re
from pathlib import Path
from typing import Any

import pytest

from contracts.metrics import BY_NAME, CATALOGUE
from deploy.grafana.__main__ import documents
from deploy.grafana.preview import draw
from service.errors import STATUSES, status_of
from tests.deploy.asking import DASHBOARDS, DIRECTORY, ROOT, Question, panels, questions
from tests.deploy.conftest import ANSWERED, JOB, OTHER_JOB, Watched
from tests.deploy.stream import MODEL

IMAGES = ROOT / "docs" / "images"
IMAGES_VARIABLE = "LIFELONG_DASHBOARD_IMAGES"
"""Set to anything, a picture of every dashboard is written to `docs/images`."""
MAX_IMAGE_BYTES = 250_000
NAME = re.compile(r"\blifelong_\w+")
SUFFIX = re.compile("_bucket$")
ALL = [pytest.param(question, id=str(question)) for question in questions()]
CHOSEN = {"type": "prometheus", "uid": "${datasource}"}
each_dashboard = pytest.mark.parametrize("name", DASHBOARDS)


@pytest.mark.unit
def test_what_is_committed_is_what_the_code_makes() -> None:
    assert {path.name: path.read_text() for path in DIRECTORY.iterdir()} == documents()


@pytest.mark.unit
@each_dashboard
def test_a_dashboard_can_be_found_again_and_asks_whom_it_is_told_to(name: str) -> None:
    dashboard = DASHBOARDS[name]
    assert dashboard["uid"] == f"lifelong-{name}"
    assert dashboard["timezone"] == "browser"
    datasource, job, model = dashboard["templating"]["list"]
    assert (datasource["name"], datasource["type"], datasource["query"]) == ("datasource", "datasource", "prometheus")
    assert (job["name"], job["label"], job["datasource"]) == ("job", "Service", CHOSEN)
    assert (model["name"], model["datasource"]) == ("model", CHOSEN)
    assert [link["includeVars"] for link in dashboard["links"]] == [True]
    assert '"__inputs"' not in json.dumps(dashboard)
    assert all(mark["datasource"] == CHOSEN for mark in dashboard["annotations"]["list"])


@pytest.mark.unit
@each_dashboard
def test_every_panel_says_what_it_shows_in_which_unit(name: str) -> None:
    titles = set()
    for panel in panels(DASHBOARDS[name]):
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"] == CHOSEN, panel["title"]
        assert all(target["datasource"] == CHOSEN and target["refId"] for target in panel["targets"])
        titles.add((panel["title"], panel["type"]))
    assert len(titles) == len(panels(DASHBOARDS[name]))


@pytest.mark.unit
def test_every_metric_of_a_query_is_in_the_catalogue_and_every_one_of_the_catalogue_is_shown() -> None:
    named = {SUFFIX.sub("", name) for question in questions() for name in NAME.findall(question.expression)}
    assert named == {metric.name for metric in CATALOGUE}


@pytest.mark.unit
@pytest.mark.parametrize("question", ALL)
def test_every_query_asks_about_one_model_of_one_service(question: Question) -> None:
    chosen = '{job="$job", model="$model"'
    assert all(beginning.startswith(chosen) for beginning in NAME.split(question.expression)[1:])


@pytest.mark.unit
@pytest.mark.parametrize("question", ALL)
def test_no_query_adds_up_what_several_replicas_say(question: Question) -> None:
    """Every sum is over series that `max by` all labels, or one answer alone, has made unique."""
    for name in NAME.findall(question.expression):
        labels = ", ".join(["job", *BY_NAME[SUFFIX.sub("", name)].labels, *(["le"] if SUFFIX.search(name) else [])])
        assert f"max by ({labels})" in question.expression or "sum without (state)" in question.expression


@pytest.mark.unit
def test_a_metric_or_label_that_nobody_exports_cannot_be_asked_for() -> None:
    from deploy.grafana import promql

    with pytest.raises(KeyError, match="lifelong_nothing"):
        promql.now("lifelong_nothing")
    with pytest.raises(KeyError, match="has no label task"):
        promql.now("lifelong_events", task="a")


@pytest.mark.unit
@pytest.mark.parametrize("kind", ["stat", "timeseries"])
def test_every_error_is_either_the_services_or_the_clients(kind: str) -> None:
    shown = [panel for panel in panels(DASHBOARDS["serving"]) if panel["type"] == kind]
    asked = {panel["title"]: panel["targets"][0]["expr"] for panel in shown}
    (ours,) = re.findall(r'outcome=~"(.*?)"', asked["Service errors"])
    (neither,) = re.findall(r'outcome!~"(.*?)"', asked["Client errors"])
    assert neither == f"ok|{ours}"
    assert {status_of(code) for code in ours.split("|")} == {429, 500, 503}
    assert all(status_of(code) < 429 for code in STATUSES.keys() - set(ours.split("|")))


@pytest.mark.real
def test_what_the_service_turned_away_is_no_error_of_its_clients(watched: Watched) -> None:
    codes = {}
    for title in ("Service errors", "Client errors"):
        share, by_code = (watched.viewer.ask(question) for question in questions() if question.title == title)
        assert max(float(value) for series in share for _, value in series["values"]) > 0
        codes[title] = {series["metric"]["outcome"] for series in by_code}
    assert codes["Service errors"] >= {"overloaded"}
    assert "malformed_json" in codes["Client errors"] - codes["Service errors"]


@pytest.mark.real
@pytest.mark.parametrize("title", ["Erasures pending", "Oldest pending erasure", "Erased events"])
def test_an_erasure_is_seen_while_it_waits_and_by_what_it_took_out(watched: Watched, title: str) -> None:
    (series,) = (watched.viewer.ask(question) for question in questions() if question.title == title)
    assert max(float(value) for one in series for _, value in one["values"]) > 0


@pytest.mark.real
@pytest.mark.parametrize("question", ALL)
def test_a_real_prometheus_answers_every_query_and_every_annotation(watched: Watched, question: Question) -> None:
    series = watched.viewer.ask(question)
    values = [float(value) for one in series for _, value in one["values"]]
    assert any(math.isfinite(value) for value in values), question.expression


@pytest.mark.real
def test_the_service_is_chosen_from_those_that_are_scraped_and_the_model_from_those_that_it_serves(
    watched: Watched,
) -> None:
    found = []
    for variable in DASHBOARDS["serving"]["templating"]["list"][1:]:
        selector, label = variable["query"].removeprefix("label_values(")[:-1].split(", ")
        match = {"match[]": selector.replace("$job", JOB)}
        found.append(watched.viewer.prometheus.get(f"label/{label}/values", **match))
    assert found == [sorted([JOB, OTHER_JOB]), [MODEL]]


@pytest.mark.real
def test_the_matrix_on_the_dashboard_is_the_service_s_own(watched: Watched) -> None:
    (question,) = [question for question in questions() if question.is_instant]
    shown = {
        (series["metric"]["after"], series["metric"]["probe"]): float(series["value"][1])
        for series in watched.viewer.ask(question)
    }
    matrix = watched.service.get(f"/v1/models/{MODEL}/matrix")
    names = [f"{place:02} {task}" for place, task in enumerate(matrix["tasks"], start=1)]
    assert len(names) == 3
    assert shown == {
        (after, probe): accuracy
        for after, row in zip(names, matrix["R"], strict=True)
        for probe, accuracy in zip(names, row, strict=True)
        if accuracy is not None
    }


@pytest.mark.real
def test_each_promotion_is_marked_once_and_a_rollback_as_what_it_is(watched: Watched) -> None:
    promoted, rolled_back = (moments(watched, name) for name in ("Promotions", "Rollbacks"))
    assert len(promoted) >= 3
    assert len(rolled_back) == 1
    assert not promoted & rolled_back
    assert max(promoted) < rolled_back.copy().pop()


@pytest.mark.real
def test_what_two_replicas_say_counts_once(watched: Watched) -> None:
    assert len(watched.viewer.prometheus.now(f'lifelong_trainer_up{{job="{JOB}"}}')) == 2
    assert watched.viewer.prometheus.value(ANSWERED) == watched.life.n_answered


@pytest.mark.real
@each_dashboard
def test_a_dashboard_can_be_drawn(watched: Watched, name: str, tmp_path: Path) -> None:
    def answers(expression: str, is_instant: bool) -> list[dict[str, Any]]:
        return watched.viewer.ask(Question(name, "", expression, is_instant))

    picture = tmp_path / f"dashboard-{name}.png"
    draw(DASHBOARDS[name], answers, watched.viewer.began, picture)
    assert 10_000 < picture.stat().st_size < MAX_IMAGE_BYTES
    if os.environ.get(IMAGES_VARIABLE):
        (IMAGES / picture.name).write_bytes(picture.read_bytes())


def moments(watched: Watched, name: str) -> set[float]:
    """What an annotation marks, in milliseconds."""
    marks = [question for question in questions() if (question.dashboard, question.title) == ("serving", name)]
    return {float(value) for series in watched.viewer.ask(marks[0]) for _, value in series["values"]}
