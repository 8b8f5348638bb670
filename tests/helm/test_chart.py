"""What can be said of the chart without Helm; `make cluster-test` gives it to a real API server."""

import json
import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from feedback.settings import KafkaSettings
from feedback.topics import MAX_RECORD_BYTES
from lifelong.settings import Settings, load_settings
from registry.settings import RegistrySettings

pytestmark = pytest.mark.unit
ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "lifelong"
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
VALIDATOR = jsonschema.Draft7Validator(SCHEMA)
PROFILES = sorted((CHART / "ci").glob("*-values.yaml"))
FREE = {"models", "labels", "podLabels", "annotations", "podAnnotations", "nodeSelector"}
FREE |= {"requests", "limits", "global"}
"""Whose keys are the user's own."""


def merged(base: Any, over: Any) -> Any:
    if isinstance(base, dict) and isinstance(over, dict):
        return base | {key: merged(base.get(key), value) for key, value in over.items()}
    return over


def profile(path: Path) -> Any:
    return merged(VALUES, yaml.safe_load(path.read_text()))


def leaves(values: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value and key not in {"resources", "labels", "podLabels"}:
            yield from leaves(value, f"{name}.")
        else:
            yield name


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_every_profile_fits_the_schema(path: Path) -> None:
    VALIDATOR.validate(profile(path))


def test_exactly_two_values_are_required() -> None:
    assert SCHEMA["required"] == ["models", "existingSecret"]
    faults = {fault.json_path for fault in VALIDATOR.iter_errors(VALUES)}
    assert faults == {"$.models", "$.existingSecret"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"worker": {"replicas": 3}},
        {"workers": {"replica": 3}},
        {"kafka": {"topics": {"partition": 3}}},
        {"models": {"digits": {"input": {}, "straegies": []}}},
    ],
)
def test_a_wrong_key_is_named(wrong: dict[str, Any]) -> None:
    values = merged(profile(CHART / "ci/minimal-values.yaml"), wrong)
    faults = [fault.message for fault in VALIDATOR.iter_errors(values)]
    name = re.findall(r"(worker|replica|partition|straegies)'", str(wrong))[-1]
    assert any(f"'{name}' was unexpected" in fault for fault in faults), faults


def test_the_schema_knows_the_values_and_nothing_else() -> None:
    def keys(schema: dict[str, Any]) -> Any:
        schema = SCHEMA["definitions"]["resources"] if "$ref" in schema else schema
        return {key: keys(inner) for key, inner in schema.get("properties", {}).items() if key not in FREE} or None

    def given(values: Any) -> Any:
        inner = values.items() if isinstance(values, dict) else []
        return {key: given(value) for key, value in inner if key not in FREE}

    def flat(tree: Any, prefix: str = "") -> set[str]:
        return {prefix} | {path for key, inner in (tree or {}).items() for path in flat(inner, f"{prefix}.{key}")}

    resources = {".head.resources.claims", ".workers.resources.claims", ".trainer.resources.claims"}
    assert flat(keys(SCHEMA)) - flat(given(VALUES)) == resources
    assert flat(given(VALUES)) <= flat(keys(SCHEMA))


def test_a_models_sections_are_those_of_its_configuration() -> None:
    (model,) = SCHEMA["properties"]["models"]["patternProperties"].values()
    assert set(model["properties"]) == set(Settings.model_fields) - {"model"}


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_every_profiles_models_are_configurations(path: Path, tmp_path: Path) -> None:
    for name, settings in profile(path)["models"].items():
        config = tmp_path / f"{name}.yaml"
        config.write_text(yaml.safe_dump({"model": name, **settings}))
        assert load_settings(config).model == name


def test_variables_override_what_the_chart_says_they_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "digits.yaml"
    config.write_text("{model: digits, input: {kind: tensor, shape: [4]}}")
    given = re.findall(r"LIFELONG__\w+", (CHART / "templates/_pod.tpl").read_text())
    values = {"KIND": "kafka", "BOOTSTRAP_SERVERS": "a:1", "SECURITY_PROTOCOL": "SASL_SSL", "CREATE_TOPIC": "false"}
    values |= {"SASL_MECHANISM": "PLAIN", "USERNAME": "me", "PASSWORD": "secret", "CA_FILE": "/ca.crt"}
    variables = {f"LIFELONG__FEEDBACK__{name}": value for name, value in values.items()}
    variables |= {"LIFELONG__REGISTRY__URI": "http://mlflow:5000", "LIFELONG__SERVICE__TOKENS": "/tokens.json"}
    assert set(given) == set(variables)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings = load_settings(config)
    assert isinstance(settings.feedback, KafkaSettings)
    assert (settings.feedback.create_topic, settings.feedback.ca_file) == (False, "/ca.crt")
    assert settings.registry == RegistrySettings(uri="http://mlflow:5000")
    assert settings.service.tokens == Path("/tokens.json")


def test_a_topic_takes_what_the_service_would_let_it_take() -> None:
    (said,) = re.findall(r"max\.message\.bytes: (\d+)", (CHART / "templates/kafkatopics.yaml").read_text())
    assert int(said) == MAX_RECORD_BYTES


def test_a_pod_reads_kuberays_command_as_a_shell_does() -> None:
    """KubeRay writes what a node offers in quotes."""
    (script,) = re.findall(r"^args: \['(.+)'\]$", (CHART / "templates/rayservice.yaml").read_text(), re.MULTILINE)
    command = """printf '%s\n' --num-cpus=0  --resources='{"replica":1}'"""
    variables = os.environ | {"KUBERAY_GEN_RAY_START_CMD": command}
    done = subprocess.run(["bash", "-c", script], env=variables, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["--num-cpus=0", '--resources={"replica":1}']


def test_the_readme_lists_every_value_with_its_meaning() -> None:
    head, *rows = re.findall(r"^\| (\S+) \| \S+ \| .+ \| \S.* \|$", (CHART / "README.md").read_text(), re.MULTILINE)
    assert (head, sorted(rows)) == ("Key", sorted(leaves(VALUES)))


def test_alerts_and_dashboards_are_those_of_deploy() -> None:
    assert (CHART / "files/rules.yml").resolve() == ROOT / "deploy/prometheus/rules.yml"
    assert (CHART / "files/dashboards").resolve() == ROOT / "deploy/grafana/dashboards"
    assert list((CHART / "files/dashboards").glob("*.json"))
    assert yaml.safe_load((CHART / "files/rules.yml").read_text())["groups"]


def test_versions_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == project["version"]
    assert f"ray[serve]=={chart['annotations']['lifelong/ray-version']}" in project["dependencies"]


def test_the_page_says_what_the_pods_ask_for() -> None:
    asked = [VALUES[part]["resources"]["requests"] for part in ("head", "workers", "trainer")]
    cpus = [int(cpu[:-1]) / 1000 if cpu.endswith("m") else int(cpu) for cpu in (pod["cpu"] for pod in asked)]
    gibibytes = [int(pod["memory"].removesuffix("Gi")) for pod in asked]
    said = []
    for head, worker, trainer in (cpus, gibibytes):
        cluster = head + worker * VALUES["workers"]["replicas"]
        said += [f"{cluster + trainer:g}", f"{2 * cluster + trainer:g}"]
    page = (ROOT / "docs" / "kubernetes.md").read_text()
    assert f"{said[0]} CPUs and {said[2]} GiB, and during an upgrade for {said[1]} CPUs and {said[3]} GiB" in page


def test_the_cluster_test_can_be_started() -> None:
    assert os.access(ROOT / "deploy" / "cluster-test", os.X_OK)
