"""What people are told while they wait."""

import pytest

from lifelong.output import working

pytestmark = pytest.mark.unit


def test_without_a_terminal_each_stage_is_one_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with working("starting one") as say:
        say("starting two")
    assert capsys.readouterr() == ("", "starting one\nstarting two\n")
