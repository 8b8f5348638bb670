"""A state directory has one user at a time, who clears away exactly what its own earlier runs left behind."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from contracts.errors import InvalidConfiguration
from lifelong.errors import PortTaken, StateDirectoryBusy
from lifelong.instance import LOCK_FILE, MARK_VARIABLE, claim, holder, require_free
from service.environment import free_port

pytestmark = pytest.mark.real


@pytest.fixture
def sleepers() -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.wait()


def sleeper(mark: str) -> subprocess.Popen[bytes]:
    """A process that carries a mark, past the moment in which it is still a copy of this one."""
    command = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
    process = subprocess.Popen(command, env={**os.environ, MARK_VARIABLE: mark}, stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout as output:
        output.readline()
    return process


def test_a_second_user_is_refused_and_told_of_the_first(tmp_path: Path) -> None:
    with claim(tmp_path / "state"):
        assert holder(tmp_path / "state") == os.getpid()
        with pytest.raises(StateDirectoryBusy, match=f"in use by process {os.getpid()}"), claim(tmp_path / "state"):
            pass
    assert holder(tmp_path / "state") is None


def test_the_next_user_gets_the_same_mark_and_new_room(tmp_path: Path) -> None:
    with claim(tmp_path / "state") as first:
        assert first.temporary.stat().st_mode & 0o077 == 0
    with claim(tmp_path / "state") as second:
        assert second.mark == first.mark
        assert second.temporary != first.temporary
    assert not second.temporary.exists()


def test_leftovers_of_a_killed_run_are_reaped_and_nothing_else(
    tmp_path: Path, sleepers: list[subprocess.Popen[bytes]]
) -> None:
    with claim(tmp_path / "state") as killed:
        pass
    temporary = Path("/tmp") / f"lifelong-test-{os.getpid()}"
    temporary.mkdir()
    record = {"mark": killed.mark, "process": 1, "temporary": str(temporary)}
    (tmp_path / "state" / LOCK_FILE).write_bytes(msgspec.json.encode(record))
    sleepers += [sleeper(killed.mark), sleeper("another")]
    with claim(tmp_path / "state"):
        assert not psutil.pid_exists(sleepers[0].pid)
        assert sleepers[1].poll() is None
        assert not temporary.exists()


def test_a_copy_of_a_directory_leaves_the_processes_and_the_room_of_the_original_alone(
    tmp_path: Path, sleepers: list[subprocess.Popen[bytes]]
) -> None:
    with claim(tmp_path / "state") as original:
        shutil.copytree(tmp_path / "state", tmp_path / "copy")
        sleepers.append(sleeper(original.mark))
        with claim(tmp_path / "copy") as restored:
            assert restored.mark != original.mark
        assert sleepers[0].poll() is None
        assert original.temporary.exists()


def test_a_copy_that_kept_its_inodes_as_a_snapshot_does_is_known_by_its_device(
    tmp_path: Path, sleepers: list[subprocess.Popen[bytes]]
) -> None:
    with claim(tmp_path / "original") as original:
        sleepers.append(sleeper(original.mark))
        copy = tmp_path / "copy" / LOCK_FILE
        copy.parent.mkdir()
        copy.touch()
        origin = (copy.stat().st_dev + 1, copy.stat().st_ino)
        record = {"mark": original.mark, "process": 1, "temporary": str(original.temporary), "origin": origin}
        copy.write_bytes(msgspec.json.encode(record))
        with claim(copy.parent) as restored:
            assert restored.mark != original.mark
        assert sleepers[0].poll() is None
        assert original.temporary.exists()


def test_a_damaged_record_removes_nothing_it_should_not(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (tmp_path / "state").mkdir()
    record = {"mark": "m", "process": 1, "temporary": str(mine)}
    (tmp_path / "state" / LOCK_FILE).write_bytes(msgspec.json.encode(record))
    with claim(tmp_path / "state"):
        assert mine.exists()


def test_what_ends_in_an_error_leaves_its_logs(tmp_path: Path) -> None:
    def fail() -> None:
        with claim(tmp_path / "state") as instance:
            instance.logs.mkdir(parents=True)
            (instance.logs / "worker.err").write_text("why")
            raise StateDirectoryBusy("any", "any")

    with pytest.raises(StateDirectoryBusy):
        fail()
    assert (tmp_path / "state" / "logs" / "worker.err").read_text() == "why"


def test_a_state_that_cannot_be_made_is_a_named_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidConfiguration, match="file"), claim(tmp_path / "file" / "state"):
        pass


def test_a_taken_port_is_named() -> None:
    require_free(free_port())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=f"port {port}"):
            require_free(port)
