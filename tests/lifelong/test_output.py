"""What people are told while they wait."""

import json
import re

import pytest

from lifelong.output import working

pytestmark = pytest.mark.unit


def test_without_a_terminal_each_stage_is_one_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with working("starting one") as say:
        say("starting two")
    assert capsys.readouterr() == ("", "starting one\nstarting two\n")


def test_a_line_is_an_object_where_logs_are(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIFELONG_LOG", "json")
    with working('starting "one"\n[bold]') as say:
        say("starting two")
    out, err = capsys.readouterr()
    assert out == ""
    one, two = (json.loads(line) for line in err.splitlines())
    assert (one["message"], two["message"]) == ('starting "one"\n[bold]', "starting two")
    assert {line["levelname"] for line in (one, two)} == {"INFO"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}", one["asctime"])
