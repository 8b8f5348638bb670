"""One running instance of a state directory: its lock, its mark on every process it starts, and its leftovers."""

import contextlib
import fcntl
import os
import shutil
import socket
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import psutil

from contracts.errors import InvalidConfiguration
from lifelong.errors import PortTaken, StateDirectoryBusy

LOCK_FILE = "instance.json"
LOGS = "logs"
MARK_VARIABLE = "LIFELONG_INSTANCE"
"""Every process below an instance inherits this variable; so leftovers are found without guessing by name."""
REAP_SECONDS = 10.0
TEMPORARY_PREFIX = "lifelong-"


class _Record(msgspec.Struct):
    mark: str
    process: int
    temporary: str
    origin: tuple[int, int] | None = None
    """Device and inode of the file that the record was written to: a copy differs in one of them."""


class Instance(NamedTuple):
    """The sole user of a state directory.

    `temporary` is a new private directory for Ray's session; `mark` is the same for every run on this state directory.
    """

    state: Path
    temporary: Path
    mark: str

    @property
    def sessions(self) -> Path:
        """Ray's own directory, which it opens to everybody; so it lies inside of one that is closed."""
        return self.temporary / "r"

    @property
    def logs(self) -> Path:
        """The logs of every process of this run."""
        return self.sessions / "session_latest" / "logs"

    def reap(self) -> int:
        """Ends every process with this instance's mark but ours, and returns how many there were.

        Only the lock's holder may call this: whoever else carries the mark is then left over from a run that was
        killed (HAProxy outlives a killed Ray and keeps its ports).
        """
        spared = {process.pid for process in [psutil.Process(), *psutil.Process().parents()]}
        leftovers = [process for process in _marked(self.mark) if process.pid not in spared]
        for process in leftovers:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(leftovers, timeout=REAP_SECONDS)
        return len(leftovers)


@contextlib.contextmanager
def claim(state: Path) -> Iterator[Instance]:
    """Locks a state directory, made if needed, and clears away what a killed run left behind.

    Raises:
        StateDirectoryBusy: another process holds it.
        InvalidConfiguration: it cannot be made or written.
    """
    lock = _open(state)
    try:
        instance = _succeed(lock, state)
        is_clean = False
        try:
            yield instance
            is_clean = True
        finally:
            instance.reap()
            if not is_clean:
                _keep_logs(instance)
            shutil.rmtree(instance.temporary, ignore_errors=True)
    finally:
        os.close(lock)


def _succeed(lock: int, state: Path) -> Instance:
    """Takes the directory over from the run before, whether that one ended well or was killed."""
    earlier, file = _take(lock, state), os.fstat(lock)
    origin = (file.st_dev, file.st_ino)
    if earlier and earlier.origin not in (None, origin):
        earlier = None  # the directory is a copy: the processes and the room of its record are the original's
    instance = Instance(state, _temporary_directory(), earlier.mark if earlier else uuid.uuid4().hex)
    instance.reap()
    if earlier and Path(earlier.temporary).name.startswith(TEMPORARY_PREFIX):
        shutil.rmtree(earlier.temporary, ignore_errors=True)
    _write(lock, _Record(instance.mark, os.getpid(), str(instance.temporary), origin))
    return instance


def _keep_logs(instance: Instance) -> None:
    """After a failure, the logs of every process are the only witnesses."""
    if instance.logs.is_dir():
        shutil.rmtree(instance.state / LOGS, ignore_errors=True)
        shutil.copytree(instance.logs, instance.state / LOGS, symlinks=True)


def holder(state: Path) -> int | None:
    """The process that uses a state directory at this moment, or None."""
    try:
        lock = os.open(state / LOCK_FILE, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        record = _read(lock)
        return record.process if record else None
    else:
        return None
    finally:
        os.close(lock)


def require_free(port: int) -> None:
    """Returns if the port can be listened on.

    Raises:
        PortTaken: another program listens on it.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as error:
            raise PortTaken("port_taken", f"port {port}: {error.strerror}; choose another by --port") from None


def _marked(mark: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if process.environ().get(MARK_VARIABLE) == mark:
                yield process


def _open(state: Path) -> int:
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(state / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise InvalidConfiguration("bad_state_directory", f"{state}: {error.strerror}") from None


def _take(lock: int, state: Path) -> _Record | None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        record = _read(lock)
        who = f"process {record.process}" if record else "another process"
        detail = f"{state}: in use by {who}; stop it or choose another --state"
        raise StateDirectoryBusy("state_in_use", detail) from None
    return _read(lock)


def _read(lock: int) -> _Record | None:
    try:
        return msgspec.json.decode(os.pread(lock, 65_536, 0), type=_Record)
    except msgspec.MsgspecError:
        return None


def _write(lock: int, record: _Record) -> None:
    content = msgspec.json.encode(record)
    os.ftruncate(lock, 0)
    os.pwrite(lock, content, 0)
    os.fsync(lock)


def _temporary_directory() -> Path:
    """Short, whatever TMPDIR says: below it lie Unix sockets, whose paths HAProxy limits to 97 characters."""
    return Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir="/tmp"))
