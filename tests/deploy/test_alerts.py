"""The alerts: valid rules, a firing and a quiet case for each, and a page that says what to do."""

import re
import subprocess
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from contracts.metrics import BY_NAME
from lifelong.__main__ import app
from lifelong.settings import Settings
from tests.deploy.conftest import JOB, OTHER_JOB, Watched
from tests.deploy.rules import DIRECTORY, RULES, alerts, limited

ROOT = Path(__file__).parents[2]
RUNBOOKS = ROOT / "docs" / "runbooks"
CASES = sorted((DIRECTORY / "tests").glob("*.yml"))
FIRING = 'ALERTS{alertstate="firing"}'
NAME = re.compile(r"\blifelong_\w+")
GROUPED = re.compile(r"\b(?:by|on) \((.*?)\)")


def promtool(*arguments: str | Path) -> str:
    """What promtool says; it must find no fault."""
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def expectations() -> list[dict[str, Any]]:
    """Every expectation of every case."""
    tests = chain.from_iterable(yaml.safe_load(path.read_text())["tests"] for path in CASES)
    return [expected for test in tests for expected in test["alert_rule_test"]]


@pytest.mark.real
def test_promtool_accepts_the_rules_and_the_example_of_scraping() -> None:
    assert f"{len(alerts())} rules found" in promtool("check", "rules", RULES)
    assert "SUCCESS" in promtool("check", "config", DIRECTORY / "scrape.yaml")


@pytest.mark.real
def test_every_case_comes_out_as_it_says() -> None:
    assert promtool("test", "rules", *CASES).count("SUCCESS") == len(CASES)


@pytest.mark.real
def test_rules_that_are_each_limited_to_one_service_say_the_same_together_as_those_for_all(tmp_path: Path) -> None:
    for number, job in enumerate((JOB, OTHER_JOB)):
        (tmp_path / f"{number}.yml").write_text(limited(RULES.read_text(), job))
    cases = yaml.safe_load((DIRECTORY / "tests" / "releases.yml").read_text())
    (tmp_path / "cases.yml").write_text(yaml.safe_dump(cases | {"rule_files": ["0.yml", "1.yml"]}))
    promtool("test", "rules", tmp_path / "cases.yml")


@pytest.mark.unit
@pytest.mark.parametrize("rule", alerts().values(), ids=alerts())
def test_every_alert_tells_services_apart_and_can_be_limited_to_one(rule: dict[str, Any]) -> None:
    assert all(selected.startswith('{job=~".+"') for selected in NAME.split(rule["expr"])[1:])
    assert all(labels.split(", ")[0] == "job" for labels in GROUPED.findall(rule["expr"]))
    assert "$labels.job" in rule["annotations"]["summary"]


@pytest.mark.unit
@pytest.mark.parametrize("name", alerts())
def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_is_quiet(name: str) -> None:
    fires = {bool(expected["exp_alerts"]) for expected in expectations() if expected["alertname"] == name}
    assert fires == {True, False}


@pytest.mark.unit
@pytest.mark.parametrize(("name", "rule"), alerts().items())
def test_every_alert_says_what_is_the_matter_and_where_to_read_on(name: str, rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == f"docs/runbooks/{name}.md"


@pytest.mark.unit
@pytest.mark.parametrize(("name", "rule"), alerts().items())
def test_every_page_says_what_it_means_what_to_look_at_and_what_to_do(name: str, rule: dict[str, Any]) -> None:
    page = (RUNBOOKS / f"{name}.md").read_text()
    assert page.startswith(f"# {name}\n")
    assert re.findall(r"^## (.*)$", page, re.MULTILINE) == ["What it means", "What to look at", "What to do"]
    assert set(NAME.findall(rule["expr"])) <= set(NAME.findall(page))


@pytest.mark.unit
def test_there_is_a_page_for_nothing_else_and_the_list_is_complete() -> None:
    pages = {path.stem for path in RUNBOOKS.glob("Lifelong*.md")}
    assert pages == alerts().keys()
    listed = re.findall(r"\]\((Lifelong\w+)\.md\)", (RUNBOOKS / "README.md").read_text())
    assert listed == list(alerts())


@pytest.mark.unit
@pytest.mark.parametrize("path", sorted(RUNBOOKS.glob("*.md")), ids=lambda path: path.stem)
def test_settings_and_commands_that_a_page_names_exist_and_its_links_lead_somewhere(path: Path) -> None:
    page = path.read_text()
    for section, key in re.findall(r"`(\w+)\.(\w+)(?::[^`]*)?`", page):
        model = Settings.model_fields.get(section)
        assert model is None or key in fields(model.annotation), f"{section}.{key}"
    commands = set(re.findall(r"`lifelong (\w+)", page))
    assert commands <= set(typer.main.get_group(app).commands)
    for link in re.findall(r"\]\(([^)#]+)", page):
        assert (path.parent / link).exists(), link


def fields(section: Any) -> dict[str, Any]:
    """The fields of a section of the configuration."""
    return getattr(section, "model_fields", {})


@pytest.mark.unit
def test_rules_and_cases_name_only_metrics_of_the_catalogue() -> None:
    named = set(NAME.findall("".join(path.read_text() for path in [RULES, *CASES])))
    assert named <= BY_NAME.keys()


@pytest.mark.real
def test_a_real_prometheus_fires_what_is_the_case_at_a_real_service_and_nothing_else(watched: Watched) -> None:
    prometheus = watched.viewer.prometheus
    for job in (JOB, OTHER_JOB):
        prometheus.wait_for(f'ALERTS{{alertname="LifelongDeadLetters", alertstate="firing", job="{job}"}}')
    alerts = [series["metric"] for series in prometheus.now(FIRING)]
    for job in (JOB, OTHER_JOB):
        firing = {(alert["alertname"], alert.get("task")) for alert in alerts if alert["job"] == job}
        assert firing - {("LifelongForgettingOverBudget", "x")} == {
            ("LifelongDeadLetters", None),
            ("LifelongTaskBelowFloor", "x"),
        }
