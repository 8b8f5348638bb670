"""A results file keeps every finished run, whatever ended the command that wrote it."""

from pathlib import Path

import msgspec
import pytest

from lifelong.bench.runs import BEGIN, Results
from lifelong.errors import BadFile

pytestmark = pytest.mark.unit


class Run(msgspec.Struct, frozen=True):
    key: str
    names: list[str]


FIRST, SECOND = Run(key="1", names=["a"]), Run(key="2", names=["é"])


@pytest.mark.parametrize("size", range(1, len(msgspec.json.encode(SECOND)) + 1))
def test_wherever_a_kill_cut_the_last_line_off_the_runs_before_it_are_kept(tmp_path: Path, size: int) -> None:
    path = tmp_path / "runs"
    whole = msgspec.json.encode(SECOND)
    assert whole.startswith(BEGIN)
    path.write_bytes(msgspec.json.encode(FIRST) + b"\n" + whole[:size])
    for _ in range(2):  # the second start finds what was cut off in the middle
        results = Results(path, Run)
        assert results.find("1") == FIRST
        assert results.find("2") == (SECOND if size == len(whole) else None)
        results.add(FIRST)


@pytest.mark.parametrize(
    "line",
    [
        b'{"key":"\xff","names":[]}',
        b'{"key":"2","names":["\xff"]}',
        b'{"key":"2","unknown":' + b"[" * 100_000,
    ],
    ids=["key", "text", "nested"],
)
def test_a_damaged_line_is_refused_by_its_number(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "runs"
    path.write_bytes(msgspec.json.encode(FIRST) + b"\n" + line + b"\n")
    with pytest.raises(BadFile, match="line 2 is no run of this command") as caught:
        Results(path, Run)
    assert caught.value.code == "bad_results"


def test_a_disk_that_is_full_ends_the_study_with_what_was_finished_kept(tmp_path: Path) -> None:
    path = tmp_path / "runs"
    results = Results(path, Run)
    results.add(FIRST)
    kept = path.rename(tmp_path / "kept")
    path.symlink_to("/dev/full")
    with pytest.raises(BadFile, match="No space left on device; finished runs are kept") as caught:
        results.add(SECOND)
    assert caught.value.code == "unwritable"
    assert results.find("2") is None
    assert Results(kept, Run).find("1") == FIRST
