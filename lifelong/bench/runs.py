"""Runs that are stored as soon as they are known, so that an interrupted study goes on where it stopped."""

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import msgspec
import torch

from lifelong.errors import BadFile


class Keyed(Protocol):
    """A run that can be found again."""

    @property
    def key(self) -> str:
        """What `key_of` made of its settings."""
        ...


BEGIN = b'{"key":'
"""How a run's line begins: one that a kill cut off, even in here, is passed over; anything else is not ours to write
to."""
RunT = TypeVar("RunT", bound=Keyed)


class Results(Generic[RunT]):
    """Runs by key, in a file of JSON lines that is only ever appended to."""

    def __init__(self, path: Path, kind: type[RunT]) -> None:
        """Reads what is there; `kind` is the msgspec structure of a run. A last line that was cut off is passed over.

        Raises:
            BadFile: `unwritable`, or `bad_results` for a line that is no such run.
        """
        self._path = path
        self._runs: dict[str, RunT] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab+") as file:
                file.seek(0)
                content = file.read()
                for number, line in enumerate(content.split(b"\n"), 1):
                    self._take(line, kind, f"--results {path}: line {number}")
                if content and not content.endswith(b"\n"):
                    file.write(b"\n")  # so that the next line does not go on with this one
        except OSError as error:
            raise BadFile("unwritable", f"--results {path}: {error.strerror}") from None

    def _take(self, line: bytes, kind: type[RunT], where: str) -> None:
        try:
            if line.strip():
                run = msgspec.json.decode(line, type=kind)
                self._runs[run.key] = run
        except (msgspec.ValidationError, UnicodeDecodeError, RecursionError):
            raise BadFile("bad_results", f"{where} is no run of this command") from None
        except msgspec.DecodeError:
            if not (line.startswith(BEGIN) or BEGIN.startswith(line)):
                raise BadFile("bad_results", f"{where} is no run of this command") from None

    def find(self, key: str) -> RunT | None:
        """The stored run, if it was made."""
        return self._runs.get(key)

    def add(self, run: RunT) -> None:
        """Stores a run.

        Raises:
            BadFile: `unwritable`, which costs this run and none before it.
        """
        try:
            with self._path.open("ab") as file:
                file.write(msgspec.json.encode(run) + b"\n")
        except OSError as error:
            fault = f"--results {self._path}: {error.strerror}; finished runs are kept"
            raise BadFile("unwritable", fault) from None
        self._runs[run.key] = run


def key_of(*settings: str | int) -> str:
    """Changes with everything that a result depends on: the settings named, and the versions of torch and of this."""
    versions = (torch.__version__, version("lifelong"))
    return hashlib.sha256(json.dumps([*settings, *versions]).encode()).hexdigest()[:16]
