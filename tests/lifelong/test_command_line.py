"""Commands as a shell sees them: their output, their exit status, and what they do not import."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lifelong.instance import claim

pytestmark = pytest.mark.real
MINIMAL = "model: digits\ninput: {kind: tensor, shape: [2]}\n"
NOWHERE = ("--address", "http://127.0.0.1:1")


def lifelong(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lifelong", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(MINIMAL)
    return path


def test_help_names_every_command_and_imports_nothing_heavy() -> None:
    program = (
        "import sys; from lifelong.__main__ import app; from typer.testing import CliRunner;"
        "print(CliRunner().invoke(app, ['--help']).stdout);"
        "heavy = {'torch', 'ray', 'mlflow', 'pydantic', 'httpx', 'numpy', 'fastapi'};"
        "print('heavy:', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    for command in (
        "up",
        "serve",
        "train",
        "demo",
        "init",
        "send",
        "status",
        "versions",
        "rollback",
        "doctor",
        "config",
        "bench",
    ):
        assert f" {command} " in done.stdout
    assert "heavy: []" in done.stdout


def test_a_bad_configuration_is_one_line_and_78(config: Path) -> None:
    config.write_text(f"{MINIMAL}learner: {{batchsize: 3}}")
    done = lifelong("up", config)
    assert done.returncode == 78
    assert done.stderr == "config.yaml: learner.batchsize: unknown key; did you mean batch_size?\n"
    assert done.stdout == ""


def test_a_bad_strategy_is_78_before_anything_is_started(config: Path, tmp_path: Path) -> None:
    config.write_text(f"{MINIMAL}strategies: [{{kind: ewk}}]")
    done = lifelong("up", config, "--state", tmp_path / "state")
    assert done.returncode == 78
    assert "strategies.0.kind" in done.stderr
    assert not (tmp_path / "state").exists()


def test_a_state_directory_in_use_is_75(config: Path, tmp_path: Path) -> None:
    with claim(tmp_path / "state"):
        done = lifelong("up", config, "--state", tmp_path / "state")
    assert done.returncode == 75
    assert done.stderr.splitlines()[-1].endswith("stop it or choose another --state")


def test_init_writes_what_config_show_explains(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    assert lifelong("init", path, "--model", "mine", "--kind", "text").returncode == 0
    done = lifelong("config", "show", path, "--json")
    origins = {setting["key"]: setting["origin"] for setting in json.loads(done.stdout)["settings"]}
    assert origins["model"] == "mine.yaml"
    assert origins["learner.seed"] == "default"
    assert lifelong("init", path).returncode == 78


def test_errors_are_documents_too(config: Path) -> None:
    done = lifelong("status", *NOWHERE, "--json")
    assert done.returncode == 69
    assert json.loads(done.stdout)["error"] == "unreachable"
    assert "Traceback" not in done.stderr


def test_an_address_that_cannot_be_one_is_65() -> None:
    done = lifelong("status", "--address", "localhost:8000", "--json")
    assert done.returncode == 65
    assert json.loads(done.stdout)["error"] == "bad_address"
    assert "Traceback" not in done.stderr


def test_a_file_of_which_something_is_rejected_is_65(config: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.ndjson"
    rows.write_text("nonsense\n")
    done = lifelong("send", config, rows, *NOWHERE)
    assert done.returncode == 65
    assert "line 1: the event is not valid JSON" in done.stdout


def test_the_doctor_reports_without_changing_anything(tmp_path: Path) -> None:
    done = lifelong("doctor", "--state", tmp_path / "state", "--json")
    report = json.loads(done.stdout)
    assert report["healthy"]
    assert {"python", "torch", "sqlite (apsw)", "mnist", "port", "state"} <= {
        check["name"] for check in report["checks"]
    }
    assert not (tmp_path / "state").exists()
