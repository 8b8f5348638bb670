"""The doctor reports on any state directory that it is given, also on one that cannot be."""

from pathlib import Path

import pytest

from lifelong.doctor import examine

pytestmark = pytest.mark.unit


def state_check(state: Path) -> tuple[str, str]:
    (check,) = [check for check in examine(state, 8000) if check.name == "state"]
    return check.verdict, check.found


def test_a_name_that_is_too_long_is_no_state_directory(tmp_path: Path) -> None:
    state = tmp_path / ("x" * 300)
    assert state_check(state) == ("bad", f"{state}: File name too long")


def test_below_a_file_there_can_be_no_state_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    state = tmp_path / "file" / "state"
    assert state_check(state) == ("bad", f"{state}: Not a directory")


def test_a_file_is_no_state_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert state_check(tmp_path / "file")[0] == "bad"


def test_a_state_directory_may_be_new(tmp_path: Path) -> None:
    assert state_check(tmp_path / "a" / "b") == ("good", f"{tmp_path / 'a' / 'b'} does not exist yet")
    assert state_check(tmp_path) == ("good", f"{tmp_path} is not in use")
