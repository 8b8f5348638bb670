"""`lifelong forget` says each stage once and ends with the certificate; `lifelong erasures` lists them or shows one."""

import json
import signal
import subprocess
import sys
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from contracts.erasures import subject_digest
from lifelong.__main__ import app
from lifelong.errors import RequestRefused
from tests.lifelong.scripted import Script

pytestmark = pytest.mark.unit
ASKED = {"erasure": "e1", "state": "waiting"}
NOTHING = {"examples": 0, "probes": 0, "dead_letters": 0, "requests": 0}
INTERRUPTIBLE = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"  # it may be inherited as ignored
    "from lifelong.__main__ import main; main()"
)


def certificate(state: str, answering: int = 0, number: int = 1) -> dict[str, Any]:
    """A certificate as the service writes it."""
    named = {"id": f"e{number}", "subject_sha256": subject_digest("ada"), "state": state, "asked_at": 1e9}
    found = {"examples": 30, "probes": 4, "withdrawn": [4, 5, 6], "version": 7, "not_erased": ["the topic", "backups"]}
    return named | found | {"answering": answering}


def lifelong(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_a_subject_is_forgotten_stage_by_stage(script: Script, address: str) -> None:
    script.say(202, ASKED)
    for state, answering in (("retraining", 0), ("retraining", 0), ("withdrawing", 1), ("done", 1), ("done", 0)):
        script.say(200, certificate(state, answering))
    done = lifelong("forget", "a/da", "--model", "digits", "--address", address)
    assert done.exit_code == 0
    assert script.requests[0].path == "/v1/models/digits/subjects/a%2Fda"
    learning, deleting, waiting = done.stderr.splitlines()[1:]
    assert "learned anew" in learning
    assert "deleting" in deleting
    assert waiting == "waiting for 1 replica to take the new version"
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in done.stdout.splitlines()]
    assert ["versions withdrawn", "4, 5, 6"] in rows
    assert ["asked at", "2001-09-09T01:46:40"] in rows
    assert ["completed at", "–"] in rows
    assert rows[-3:-1] == [["not erased", "the topic"], ["", "backups"]]


def test_the_certificate_is_a_document(script: Script, address: str) -> None:
    script.say(202, ASKED)
    script.say(200, certificate("done"))
    done = lifelong("forget", "ada", "--model", "digits", "--address", address, "--json")
    assert json.loads(done.stdout) == certificate("done") | {
        "erased_at": None,
        "completed_at": None,
        "dead_letters": 0,
        "requests": 0,
    }


def test_one_need_not_wait(script: Script, address: str) -> None:
    script.say(200, {"models": [{"model": "digits"}]})
    script.say(202, ASKED)
    done = lifelong("forget", "ada", "--address", address, "--no-wait")
    assert done.stdout == "e1\n"
    assert len(script.requests) == 2


@pytest.mark.parametrize("found", [{}, *({name: 1} for name in NOTHING)], ids=["nothing", *NOTHING])
def test_that_nothing_was_found_is_said(script: Script, address: str, found: dict[str, int]) -> None:
    script.say(202, ASKED)
    script.say(200, certificate("done") | NOTHING | found)
    done = lifelong("forget", "ada", "--model", "digits", "--address", address)
    assert done.exit_code == 0
    assert ("nothing of this subject was found" in done.stderr) == (not found)


def test_a_name_may_begin_like_an_option(script: Script, address: str) -> None:
    script.say(202, ASKED)
    assert lifelong("forget", "--model", "digits", "--address", address, "--no-wait", "--", "-x").exit_code == 0
    assert script.requests[0].path == "/v1/models/digits/subjects/-x"


def test_ctrl_c_ends_the_waiting_and_says_that_the_erasure_goes_on(script: Script, address: str) -> None:
    script.say(202, ASKED)
    script.say(200, certificate("waiting"))
    command = [sys.executable, "-c", INTERRUPTIBLE, "forget", "ada", "--model", "digits", "--address", address]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while "accounted for" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stdout == ""
    assert stderr == "the erasure goes on; how far it is: lifelong erasures digits --id e1\n"


def test_where_the_answers_end_the_erasure_goes_on(script: Script, address: str) -> None:
    script.say(202, ASKED)
    script.say(401, {"error": "unauthenticated", "detail": "the token is not known"})
    done = lifelong("forget", "ada", "--model", "digits", "--address", address)
    assert isinstance(done.exception, RequestRefused)
    assert done.stderr.splitlines()[-1].endswith("lifelong erasures digits --id e1")


def test_what_the_service_refuses_ends_the_command(script: Script, address: str) -> None:
    script.say(403, {"error": "forbidden", "detail": "the token lacks the role admin"})
    done = lifelong("forget", "ada", "--model", "digits", "--address", address)
    assert isinstance(done.exception, RequestRefused)
    assert done.stdout == ""


def test_erasures_are_listed(script: Script, address: str) -> None:
    script.say(200, {"erasures": [certificate("waiting", number=2), certificate("done")]})
    done = lifelong("erasures", "digits", "--address", address)
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in done.stdout.splitlines() if "│" in line]
    asked = "2001-09-09T01:46:40"
    assert rows == [["e2", asked, "waiting", "–", "34", "3", "7"], ["e1", asked, "done", "–", "34", "3", "7"]]
    listed = json.loads(lifelong("erasures", "digits", "--address", address, "--json").stdout)
    assert [one["id"] for one in listed["erasures"]] == ["e2", "e1"]


def test_one_erasure_is_shown_whole(script: Script, address: str) -> None:
    script.say(200, certificate("retraining", answering=2))
    done = lifelong("erasures", "digits", "--id", "e1", "--address", address)
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in done.stdout.splitlines()]
    assert ["SHA-256 of the subject", subject_digest("ada")] in rows
    assert ["replicas that answer with one", "2"] in rows
    shown = json.loads(lifelong("erasures", "digits", "--id", "e1", "--address", address, "--json").stdout)
    assert (shown["id"], shown["answering"]) == ("e1", 2)
    assert {asked.path for asked in script.requests} == {"/v1/models/digits/erasures/e1"}
