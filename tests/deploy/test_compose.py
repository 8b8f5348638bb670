"""What holds for the compose file whoever starts it; `test_topology` runs what it says."""

import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer.main
import yaml
from ray._private import ray_constants
from ray.dashboard.http_server_agent import PUBLIC_EXACT_PATHS

from lifelong.__main__ import app
from lifelong.settings import load_settings
from tests.deploy.composed import DEPLOY, FILE, MissingVariable, composed, example, services, variable_names

pytestmark = pytest.mark.unit

ROOT = DEPLOY.parent
SECRETS = {"RAY_AUTH_TOKEN": "r", "POSTGRES_PASSWORD": "p", "GRAFANA_PASSWORD": "g"}
PROFILES = ("gpu", "kafka", "mlflow", "monitoring")
DOCUMENT = composed(SECRETS)
SERVICES: dict[str, Any] = DOCUMENT["services"]
OURS = ("service", "trainer", "trainer-gpu")
MADE_BY_THE_USER = "./compose/metrics-token"


def schema_validator() -> jsonschema.Draft202012Validator:
    text = (Path(__file__).parent / "schemas" / "compose-spec.json").read_text()
    return jsonschema.Draft202012Validator(json.loads(text))


def binds(service: dict[str, Any]) -> list[list[str]]:
    mounts = [mount.split(":") for mount in service.get("volumes", [])]
    return [mount for mount in mounts if mount[0].startswith(".")]


def lifelong_commands() -> list[list[str]]:
    lines = [line for name in OURS for line in SERVICES[name]["command"][0].splitlines()]
    return [shlex.split(line)[2:] for line in lines if line.startswith("exec lifelong ")]


@pytest.mark.parametrize("document", [yaml.safe_load(FILE.read_text()), DOCUMENT], ids=["written", "filled in"])
def test_it_keeps_to_the_compose_specification(document: Any) -> None:
    assert [error.message for error in schema_validator().iter_errors(document)] == []


@pytest.mark.parametrize(
    "service", [{"imagee": "a:1"}, {"image": "a:1", "ports": "8000"}, {"depends_on": {"b": {"condition": "well"}}}]
)
def test_the_specification_refuses_what_is_wrong(service: Any) -> None:
    assert list(schema_validator().iter_errors({"services": {"a": service}}))


def test_service_and_trainer_start_without_a_profile_and_each_profile_adds_its_own() -> None:
    assert set(services(DOCUMENT)) == {"service", "trainer"}
    added = {profile: set(services(DOCUMENT, [profile])) - {"service", "trainer"} for profile in PROFILES}
    assert added == {
        "gpu": {"trainer-gpu"},
        "kafka": {"kafka"},
        "mlflow": {"mlflow", "mlflow-artifacts", "postgres"},
        "monitoring": {"grafana", "prometheus"},
    }
    assert set(services(DOCUMENT, PROFILES)) == set(SERVICES)


def test_the_trainer_with_a_gpu_can_take_the_place_of_the_one_without() -> None:
    assert SERVICES["trainer"]["scale"] == "1"
    chosen = composed(SECRETS | {"CPU_TRAINERS": example(uncommented=True)["CPU_TRAINERS"]})
    assert chosen["services"]["trainer"]["scale"] == "0"
    assert SERVICES["trainer-gpu"]["command"] == SERVICES["trainer"]["command"]
    assert SERVICES["trainer-gpu"]["build"]["args"] == {"TORCH": "cuda"}


def test_images_are_pinned_to_what_the_repository_tests() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (mlflow,) = re.findall(r"mlflow==([\d.]+)", " ".join(project["dependencies"]))
    (kafka,) = re.findall(r"kafka_2\.13:([\d.]+)", (ROOT / "tests" / "feedback" / "kafka-jars.txt").read_text())
    images = {name: service["image"] for name, service in SERVICES.items()}
    assert images["service"] == images["trainer"] == f"lifelong:{project['version']}"
    assert images["trainer-gpu"] == f"lifelong:{project['version']}-cuda"
    assert images["mlflow"] == images["mlflow-artifacts"] == f"ghcr.io/mlflow/mlflow:v{mlflow}-full"
    assert images["kafka"] == f"apache/kafka:{kafka}"
    assert [image for image in images.values() if not re.fullmatch(r"[a-z./]+:v?\d+(\.\d+)+(-[a-z]+)?", image)] == []


def test_ports_are_published_on_loopback_only() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) == 5
    assert all(re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port) for port in ports)


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_has_no_default(name: str) -> None:
    without = {key: value for key, value in SECRETS.items() if key != name}
    for variables in (without, without | {name: ""}):
        with pytest.raises(MissingVariable, match=name):
            composed(variables)
    assert example()[name] == ""


def test_no_secret_is_written_down() -> None:
    document = yaml.safe_load(FILE.read_text())
    environments = [service.get("environment", {}).items() for service in document["services"].values()]
    secret = [value for pairs in environments for key, value in pairs if re.search("PASSWORD|TOKEN|SECRET", key)]
    assert len(secret) == 5
    assert all(re.match(r"\$\{\w+:\?", value) for value in secret)
    assert re.findall(r"://[^/\s]*:([^$@/\s]+)@", FILE.read_text()) == []


def test_every_variable_is_in_the_example_and_nothing_else() -> None:
    assert set(example(uncommented=True)) == variable_names() | {"COMPOSE_PROFILES"}


def test_what_is_mounted_is_there_and_cannot_be_written() -> None:
    found = [mount for service in SERVICES.values() for mount in binds(service)]
    assert len(found) == 8
    assert [source for source, *_ in found if not (DEPLOY / source).exists()] == []
    assert {mode for *_, mode in found} == {"ro"}


def test_the_only_file_to_be_made_is_kept_out_of_the_repository() -> None:
    assert DOCUMENT["secrets"] == {"metrics-token": {"file": MADE_BY_THE_USER}}
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {"deploy/.env", "deploy/compose/metrics-token"} <= set(ignored)


def test_named_volumes_keep_everything_else() -> None:
    mounts = [mount.split(":")[0] for service in SERVICES.values() for mount in service.get("volumes", [])]
    assert {mount for mount in mounts if not mount.startswith(".")} == set(DOCUMENT["volumes"])


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_may_do_no_more_than_it_must(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service.get("read_only", False) is (name != "kafka")
    assert {"privileged", "container_name", "pid", "ipc"} & set(service) == set()


def test_root_only_gives_a_volume_away_and_reaches_nobody() -> None:
    as_root = {name: service for name, service in SERVICES.items() if service.get("user") == "root"}
    capable = {name for name, service in SERVICES.items() if "cap_add" in service}
    assert set(as_root) == capable == {"mlflow-artifacts"}
    (service,) = as_root.values()
    assert (service["cap_add"], service["network_mode"]) == (["CHOWN"], "none")
    assert service["entrypoint"] == ["chown", SERVICES["mlflow"]["user"], "/var/lib/mlflow"]


def test_whoever_is_waited_for_says_when_it_is_healthy() -> None:
    awaited = [pair for service in SERVICES.values() for pair in service.get("depends_on", {}).items()]
    for name, how in awaited:
        if how["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[name] or SERVICES[name]["image"] == SERVICES["service"]["image"]
        assert not SERVICES[name].get("healthcheck", {}).get("disable")
    assert "HEALTHCHECK" in (ROOT / "Dockerfile").read_text()


def test_a_trainer_is_asked_where_rays_agent_answers_anybody() -> None:
    checks = [SERVICES[name]["healthcheck"]["test"] for name in ("trainer", "trainer-gpu")]
    ((*program, script), again) = checks
    assert (program, again) == (["CMD", "python", "-I", "-c"], checks[0])
    compile(script, "healthcheck", "exec")
    (port, path) = re.findall(r"'http://127\.0\.0\.1:(\d+)(/\S+)'", script)[0]
    assert int(port) == ray_constants.DEFAULT_DASHBOARD_AGENT_LISTEN_PORT
    assert path in PUBLIC_EXACT_PATHS


@pytest.mark.parametrize("profile", ["", *PROFILES])
def test_a_profile_alone_needs_no_other(profile: str) -> None:
    started = services(DOCUMENT, [profile])
    needed = [pair for service in started.values() for pair in service.get("depends_on", {}).items()]
    assert [name for name, how in needed if how.get("required", True) and name not in started] == []


def test_the_commands_are_those_of_the_command_line() -> None:
    commands = lifelong_commands()
    assert [name for name, *_ in commands] == ["serve", "train", "train"]
    for name, *arguments in commands:
        values = typer.main.get_group(app).commands[name].make_context(name, arguments).params
        assert values["state"] == Path("/var/lib/lifelong")
        assert values["cluster"] == "service:6379"


def test_the_model_that_comes_with_it_is_accepted_and_guarded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in composed(example(uncommented=True) | SECRETS)["services"]["service"]["environment"].items():
        monkeypatch.setenv(name, value)
    settings = load_settings(DEPLOY / "compose" / "model" / "model.yaml")
    assert settings.service.tokens == Path("/var/lib/lifelong/tokens.json")
    assert settings.service.cpus_per_replica > 0
    assert settings.feedback.kind == "kafka"
    assert settings.registry.uri == "http://mlflow:5000"


def test_without_a_profile_sqlite_and_the_embedded_registry_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SERVICES["service"]["environment"].items():
        monkeypatch.setenv(name, value)
    settings = load_settings(DEPLOY / "compose" / "model" / "model.yaml")
    assert (settings.feedback.kind, settings.registry.uri) == ("sqlite", None)


def test_mlflow_answers_under_every_name_that_it_is_called_by() -> None:
    (option,) = [word for word in SERVICES["mlflow"]["command"] if word.startswith("--allowed-hosts=")]
    hosts = set(option.partition("=")[2].split(","))
    called = example(uncommented=True)["LIFELONG__REGISTRY__URI"].removeprefix("http://")
    assert hosts == {called, "localhost:5000", "127.0.0.1:5000"}


def test_kafka_is_reached_under_the_names_that_it_gives() -> None:
    environment = SERVICES["kafka"]["environment"]
    inside, outside = environment["KAFKA_ADVERTISED_LISTENERS"].split(",")
    assert inside.partition("://")[2] == example(uncommented=True)["LIFELONG__FEEDBACK__BOOTSTRAP_SERVERS"]
    assert outside.partition("://")[2].replace("localhost", "127.0.0.1") in SERVICES["kafka"]["ports"][0]


def test_prometheus_finds_its_rules_its_token_and_the_service() -> None:
    prometheus = yaml.safe_load((DEPLOY / "compose" / "prometheus.yml").read_text())
    mounted = [target for _, target, _ in binds(SERVICES["prometheus"])]
    (job,) = prometheus["scrape_configs"]
    assert set(prometheus["rule_files"]) < set(mounted)
    assert job["authorization"]["credentials_file"] == "/run/secrets/" + SERVICES["prometheus"]["secrets"][0]
    assert job["static_configs"] == [{"targets": ["service:8000"]}]


def test_grafana_finds_its_dashboards_and_prometheus() -> None:
    folder = DEPLOY / "compose" / "grafana"
    (source,) = yaml.safe_load((folder / "datasources.yml").read_text())["datasources"]
    (provider,) = yaml.safe_load((folder / "dashboards.yml").read_text())["providers"]
    targets = {target: origin for origin, target, _ in binds(SERVICES["grafana"])}
    assert source["url"] == "http://prometheus:9090"
    assert list((DEPLOY / targets[provider["options"]["path"]]).glob("*.json"))
