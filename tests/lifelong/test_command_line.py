"""Commands as a shell sees them: their output, their exit status, and what they do not import."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from contracts.status import Matrix, VersionRecord
from contracts.versions import Decision, Verdict
from lifelong.client import VersionPage
from lifelong.instance import claim
from lifelong.send import BATCH_ROWS
from service.environment import free_port
from tests.lifelong.scripted import Script
from tests.service.versions import PROBES, record
from trainer.database import Database

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
        "forget",
        "erasures",
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


def test_a_state_of_another_model_is_78_before_ray_is_started(config: Path, tmp_path: Path) -> None:
    path = tmp_path / "state" / "digits" / "trainer" / "state.db"
    Database(path, "another model's").close()
    done = lifelong("up", config, "--state", tmp_path / "state", "--port", str(free_port()))
    assert done.returncode == 78
    (line,) = done.stderr.splitlines()
    assert line.endswith("was written for another input, label scenario or network; use another --state")


def test_init_writes_what_config_show_explains(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    assert lifelong("init", path, "--model", "mine", "--kind", "story").returncode == 0
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


@pytest.mark.parametrize(
    ("verdicts", "champion", "shown"),
    [
        (["hold", "promote"], 1, "manual: version 2 waits"),
        (["refuse", "hold", "hold", "promote"], 1, "manual: version 3 waits"),
        (["refuse", "promote"], 1, "manual"),
        (["hold", "hold", "promote"], 3, "manual"),
    ],
    ids=["the newest", "the newest that passed", "none passed", "none is above one that a person promoted"],
)
def test_the_status_shows_which_version_waits_for_a_person(
    script: Script, address: str, verdicts: list[Verdict], champion: int, shown: str
) -> None:
    script.say(200, {"model": "digits", "version": champion, "specification": {"promotion": {"mode": "manual"}}})
    script.say(200, Matrix())
    script.say(200, {"versions": listed(verdicts, champion)})
    done = lifelong("status", "digits", "--address", address)
    assert done.returncode == 0, done.stderr
    assert shown in [cell.strip() for cell in done.stdout.split("│")]
    assert "digits: the ledger balances: received 0 = trained 0 + " in done.stdout


def test_what_was_withdrawn_is_marked_and_waits_for_nobody(script: Script, address: str) -> None:
    newest, champion = listed(["hold", "promote"], 1)
    withdrawn = replace(newest, withdrawn="e1")
    assert VersionPage([newest, champion]).waiting == 2
    assert VersionPage([withdrawn, champion]).waiting is None
    script.say(200, {"versions": [withdrawn, replace(champion, withdrawn="e1")]})
    done = lifelong("versions", "digits", "--address", address)
    rows = [[cell.strip() for cell in line.split("│")[1:4]] for line in done.stdout.splitlines() if "│" in line]
    assert [row[2] for row in rows] == ["withdrawn", "champion, withdrawn"]


def listed(verdicts: Sequence[Verdict], champion: int) -> list[VersionRecord]:
    """Versions with these verdicts, newest first, down to version 1."""
    numbers = range(len(verdicts), 0, -1)
    decided = [replace(PROBES, decision=Decision(verdict=verdict, reasons=["measured"])) for verdict in verdicts]
    return [
        replace(record(number), aliases=["champion"] if number == champion else [], probes=probes)
        for number, probes in zip(numbers, decided, strict=True)
    ]


@pytest.mark.parametrize(
    ("answer", "said"),
    [({"labels": ["a"]}, "serving version 1\n"), ({}, "serving version 1\n"), ({"labels": []}, "which knows no label")],
    ids=["knows a label", "is not said", "knows none"],
)
def test_a_rollback_says_when_nothing_can_be_predicted_any_more(
    script: Script, address: str, answer: dict[str, list[str]], said: str
) -> None:
    script.say(200, {"version": 1, **answer})
    assert said in lifelong("rollback", "digits", "--address", address).stdout


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


def test_what_was_sent_before_the_end_is_told_before_the_error(
    config: Path, tmp_path: Path, script: Script, address: str
) -> None:
    rows = tmp_path / "rows.ndjson"
    rows.write_text("nonsense\n" + '{"label": 1, "instance": [1, 2]}\n' * BATCH_ROWS)
    script.say(202, {"accepted": BATCH_ROWS - 1, "duplicates": 0, "rejected": [], "position": BATCH_ROWS - 1})
    script.say(403, {"error": "forbidden", "detail": "the token may not send feedback"})
    done = lifelong("send", config, rows, "--address", address, "--json")
    assert done.returncode == 77
    assert json.loads(done.stdout)["error"] == "forbidden"
    total, rejection, _, error, *_ = done.stderr.splitlines()
    assert total == f"accepted {BATCH_ROWS - 1}, duplicates 0, rejected 1"
    assert "line 1: the event is not valid JSON" in rejection
    assert error == "the token may not send feedback"


def test_the_doctor_reports_without_changing_anything(tmp_path: Path) -> None:
    done = lifelong("doctor", "--state", tmp_path / "state", "--json")
    report = json.loads(done.stdout)
    assert report["healthy"]
    assert {"python", "torch", "sqlite (apsw)", "mnist", "port", "state"} <= {
        check["name"] for check in report["checks"]
    }
    assert not (tmp_path / "state").exists()


def test_an_error_is_an_object_where_logs_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIFELONG_LOG", "json")
    done = lifelong("status", *NOWHERE)
    assert done.returncode == 69
    (line,) = (json.loads(line) for line in done.stderr.splitlines())
    assert (line["levelname"], line["error"]) == ("ERROR", "unreachable")
    assert line["message"]


def test_a_form_of_logs_that_nobody_knows_is_refused_before_anything_starts(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIFELONG_LOG", "jsonn")
    done = lifelong("up", config, "--state", tmp_path / "state")
    assert done.returncode == 78
    assert done.stderr.splitlines()[-1] == "LIFELONG_LOG: expected json or text"
