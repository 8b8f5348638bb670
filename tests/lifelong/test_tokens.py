"""`lifelong token`, and the refusal to be reachable without tokens."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from contracts.errors import InvalidConfiguration
from lifelong.__main__ import app
from lifelong.errors import BadFile, RequestRefused, exit_status
from lifelong.settings import load_settings
from lifelong.tokens import add, advice, listed, require_guarded, revoke
from lifelong.up import Place, running
from service.settings import ServingSettings
from service.tokens import Role, Tokens

pytestmark = pytest.mark.unit


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "pets.yaml"
    path.write_text(
        f"model: pets\ninput: {{kind: tensor, shape: [4]}}\nservice: {{tokens: {tmp_path / 'tokens.json'}}}\n"
    )
    return path


def test_a_token_is_made_listed_and_revoked(config: Path) -> None:
    secret = add(config, "ci", [Role.PREDICT])
    add(config, "grafana", [Role.OPERATE, Role.FEEDBACK])
    assert [(token.name, token.roles) for token in listed(config)] == [
        ("ci", [Role.PREDICT]),
        ("grafana", [Role.OPERATE, Role.FEEDBACK]),
    ]
    path = load_settings(config).service.tokens
    assert path is not None
    assert Tokens(path).roles(secret.encode()) == {Role.PREDICT}
    revoke(config, "ci")
    assert [token.name for token in listed(config)] == ["grafana"]
    assert Tokens(path).roles(secret.encode()) is None


def test_a_name_is_taken_once_and_must_be_there_to_be_revoked(config: Path) -> None:
    add(config, "ci", [Role.PREDICT])
    with pytest.raises(BadFile, match="already"):
        add(config, "ci", [Role.ADMIN])
    with pytest.raises(BadFile, match="no token of this name"):
        revoke(config, "nobody")


def test_the_secret_is_printed_once_and_alone(config: Path) -> None:
    runner = CliRunner()
    made = runner.invoke(app, ["token", "add", str(config), "ci", "--role", "predict"])
    secret = made.stdout.strip()
    assert secret.startswith("ll_")
    assert " " not in secret
    shown = runner.invoke(app, ["token", "list", str(config), "--json"])
    assert json.loads(shown.stdout)["tokens"][0]["name"] == "ci"
    assert secret not in shown.stdout
    assert runner.invoke(app, ["token", "add", str(config), "x", "--role", "king"]).exit_code == 2


def test_a_configuration_without_a_file_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "pets.yaml"
    path.write_text("model: pets\ninput: {kind: tensor, shape: [4]}\n")
    with pytest.raises(InvalidConfiguration, match=r"service\.tokens"):
        add(path, "ci", [Role.PREDICT])


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "::", "example.org", ""])
def test_without_tokens_only_loopback_is_listened_at(tmp_path: Path, host: str) -> None:
    with pytest.raises(InvalidConfiguration, match=r"lifelong token add") as refusal:
        require_guarded(ServingSettings(), host)
    assert refusal.value.code == "tokens_needed"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_needs_no_tokens(host: str) -> None:
    require_guarded(ServingSettings(), host)


def test_a_file_without_tokens_guards_nothing(config: Path) -> None:
    settings = load_settings(config)
    with pytest.raises(InvalidConfiguration, match="no token yet"):
        require_guarded(settings.service, "127.0.0.1")
    add(config, "ci", [Role.ADMIN])
    require_guarded(settings.service, "0.0.0.0")


def test_an_open_service_refuses_to_start(tmp_path: Path, config: Path) -> None:
    settings = load_settings(config).model_copy(update={"service": ServingSettings()})
    with (
        pytest.raises(InvalidConfiguration, match="bearer tokens"),
        running([settings], Place(tmp_path / "state", "0.0.0.0", 8000)),
    ):
        pass
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("code", "token", "said"),
    [
        ("unauthenticated", {}, "set LIFELONG_TOKEN;"),
        ("unauthenticated", {"LIFELONG_TOKEN": ""}, "set LIFELONG_TOKEN;"),
        ("unauthenticated", {"LIFELONG_TOKEN": "ll_old"}, "the service does not know the token in LIFELONG_TOKEN;"),
        ("forbidden", {"LIFELONG_TOKEN": "ll_weak"}, "the token in LIFELONG_TOKEN lacks that role;"),
    ],
)
def test_who_has_set_a_token_is_not_told_to_set_one(code: str, token: dict[str, str], said: str) -> None:
    line = advice(code, token)
    assert line.startswith(said)
    assert "ll_" not in line


@pytest.mark.parametrize(("code", "status"), [("unauthenticated", 77), ("forbidden", 77), ("wrong_shape", 65)])
def test_a_refused_token_has_an_exit_status_of_its_own(code: str, status: int) -> None:
    assert exit_status(RequestRefused(code, "refused", {})) == status
