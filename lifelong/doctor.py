"""What is on this machine, and whether it will do."""

import os
import platform
import sqlite3
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal, NamedTuple

import apsw
import psutil

from contracts.errors import LifelongError
from lifelong.data import DATA_DIR_VARIABLE, mnist_directory
from lifelong.instance import LOCK_FILE, holder, require_free

PACKAGES = ("torch", "ray", "mlflow", "kafka-python", "pydantic", "msgspec", "numpy")
MIN_SQLITE = (3, 51, 3)
"""Older SQLite can corrupt a WAL database when two connections checkpoint at once; ours comes with apsw."""
MIN_MEMORY_BYTES = 3 << 30
MIN_DISK_BYTES = 2 << 30


class Check(NamedTuple):
    """One thing that was looked at: `note` is worth knowing, `bad` will not work."""

    name: str
    verdict: Literal["good", "note", "bad"]
    found: str


def examine(state: Path, port: int) -> list[Check]:
    """Looks at everything that a start depends on; changes nothing and needs no network."""
    return [*_programs(), *_machine(state), _data(), _port(port), *_state(state)]


def _programs() -> Iterator[Check]:
    python = sys.version_info[:2]
    yield Check("python", "good" if python >= (3, 11) else "bad", platform.python_version())
    for package in PACKAGES:
        try:
            yield Check(package, "good", version(package))
        except PackageNotFoundError:
            yield Check(package, "bad", "not installed; run make install")
    ours = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
    yield Check("sqlite (apsw)", "good" if ours >= MIN_SQLITE else "bad", apsw.sqlite_lib_version())
    yield Check("sqlite (python)", "good", f"{sqlite3.sqlite_version}, used by the embedded MLflow only")


def _machine(state: Path) -> Iterator[Check]:
    memory = psutil.virtual_memory().available
    yield Check("memory", "good" if memory >= MIN_MEMORY_BYTES else "note", f"{memory / 2**30:.1f} GiB available")
    existing = next(path for path in (state.absolute(), *state.absolute().parents) if _is_there(path))
    disk = psutil.disk_usage(str(existing)).free
    yield Check("disk", "good" if disk >= MIN_DISK_BYTES else "note", f"{disk / 2**30:.1f} GiB free at {existing}")
    yield Check(
        "cores", "good", str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    )


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # it may not be looked at, or no file can have this name
        return False


def _data() -> Check:
    directory = mnist_directory()
    if directory is None:
        return Check("mnist", "note", f"not found in ${DATA_DIR_VARIABLE}/mnist; the demo uses scikit-learn's digits")
    return Check("mnist", "good", str(directory))


def _port(port: int) -> Check:
    try:
        require_free(port)
    except LifelongError as error:
        return Check("port", "note", error.detail)
    return Check("port", "good", f"{port} is free")


def _state(state: Path) -> Iterator[Check]:
    try:
        state.stat()
    except FileNotFoundError:
        yield Check("state", "good", f"{state} does not exist yet")
        return
    except OSError as error:
        yield Check("state", "bad", f"{state}: {error.strerror}")
        return
    if not state.is_dir() or not os.access(state, os.W_OK | os.X_OK):
        yield Check("state", "bad", f"{state} is not a directory that can be written")
        return
    process = holder(state)
    yield Check("state", "good", f"{state} is in use by process {process}" if process else f"{state} is not in use")
    if (state / LOCK_FILE).exists() and state.stat().st_mode & 0o077:
        yield Check("state permissions", "note", f"{state} can be read by others: chmod 700 {state}")
    for path in sorted(state.glob("*/**/*.db")):
        yield _database(path, f"state {path.relative_to(state)}")


def _database(path: Path, name: str) -> Check:
    """Reads a database's structure; a live service may use it meanwhile."""
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        connection.set_busy_timeout(1000)
        (fault,) = next(iter(connection.execute("PRAGMA quick_check(1)")))
        connection.close()
    except apsw.Error as error:
        return Check(name, "bad", type(error).__name__)
    return Check(name, "good" if fault == "ok" else "bad", str(fault))
