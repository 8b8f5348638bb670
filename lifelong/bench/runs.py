"""Runs that are stored as soon as they are known, so that an interrupted study goes on where it stopped."""

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import msgspec
import torch


class Keyed(Protocol):
    """A run that can be found again."""

    @property
    def key(self) -> str:
        """What `key_of` made of its settings."""
        ...


RunT = TypeVar("RunT", bound=Keyed)


class Results(Generic[RunT]):
    """Runs by key, in a file of JSON lines that is only ever appended to."""

    def __init__(self, path: Path, kind: type[RunT]) -> None:
        """Reads what is there; `kind` is the msgspec structure of a run."""
        self._path = path
        lines = path.read_bytes().splitlines() if path.is_file() else []
        runs = (msgspec.json.decode(line, type=kind) for line in lines if line)
        self._runs = {run.key: run for run in runs}

    def find(self, key: str) -> RunT | None:
        """The stored run, if it was made."""
        return self._runs.get(key)

    def add(self, run: RunT) -> None:
        """Stores a run."""
        self._runs[run.key] = run
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(run) + b"\n")


def key_of(*settings: str | int) -> str:
    """Changes with everything that a result depends on: the settings named, and the versions of torch and of this."""
    versions = (torch.__version__, version("lifelong"))
    return hashlib.sha256(json.dumps([*settings, *versions]).encode()).hexdigest()[:16]
