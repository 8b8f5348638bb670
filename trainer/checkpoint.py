"""Checkpoints: the whole learner at one step, in one safetensors file pinned by its digest (invariant 9)."""

import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors.torch import load, save
from torch import Tensor

from contracts.versions import sha256
from trainer.database import Database, json_array

DOCUMENT = "document"
FORMAT = 4
"""Of the state that learner and strategies save; what another release saved is trained again from the record."""
SUPERFLUOUS = """
WITH RECURSIVE needed(number) AS (
    SELECT value FROM json_each(?)
    UNION
    SELECT parent FROM steps JOIN needed USING (number) WHERE number NOT IN (SELECT step FROM checkpoints))
SELECT step FROM checkpoints WHERE step NOT IN needed
"""
logger = logging.getLogger(__name__)
Saved = tuple[dict[str, Tensor], dict[str, Any]]
"""A learner's state: all tensors, and the rest as JSON."""


class Checkpoints:
    """Saves and finds checkpoints; a file is durable before the database names it.

    None is needed: the record rebuilds every one of them, only slower. So a damaged one is forgotten.
    """

    def __init__(self, database: Database, directory: Path) -> None:
        self._database = database
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def save(self, step: int, tensors: dict[str, Tensor], document: dict[str, Any]) -> None:
        """Makes the learner's state after `step` durable."""
        encoded = torch.frombuffer(bytearray(msgspec.json.encode({"format": FORMAT, **document})), dtype=torch.uint8)
        content = save({**tensors, DOCUMENT: encoded})
        write_durably(self._path(step), content)
        self._database.execute("INSERT OR REPLACE INTO checkpoints VALUES (?, ?)", (step, sha256(content)))

    def has(self, step: int) -> bool:
        """Whether the state after `step` was saved and is still kept."""
        return self._database.value("SELECT 1 FROM checkpoints WHERE step=?", (step,)) is not None

    def load(self, step: int) -> Saved | None:
        """The state after `step`; None where there is none, or it is altered, another release's or not finite."""
        expected = self._database.value("SELECT sha256 FROM checkpoints WHERE step=?", (step,))
        if expected is None:
            return None
        path = self._path(step)
        content = path.read_bytes() if path.is_file() else b""
        saved = _decoded(content) if sha256(content) == expected else None
        if saved is None:
            logger.warning(
                "checkpoint %s is missing, damaged or another release's: its steps are trained again from the record",
                path,
            )
            self._forget(step)
        return saved

    def withdraw(self, steps: Iterable[int]) -> None:
        """Names those at these steps no more; `sweep` deletes their files."""
        self._database.change("DELETE FROM checkpoints WHERE step=?", ((step,) for step in steps))

    def sweep(self) -> None:
        """Deletes the files of checkpoints that are named no more."""
        named = {self._path(step) for (step,) in self._database.rows("SELECT step FROM checkpoints")}
        for path in set(self._directory.glob("*.safetensors*")) - named:
            path.unlink()

    def prune(self, steps: Iterable[int]) -> None:
        """Deletes all checkpoints but the newest one on the way to each of the given steps."""
        for (step,) in self._database.rows(SUPERFLUOUS, (json_array(steps),)):
            self._forget(step)

    def _forget(self, step: int) -> None:
        self._database.execute("DELETE FROM checkpoints WHERE step=?", (step,))
        self._path(step).unlink(missing_ok=True)

    def _path(self, step: int) -> Path:
        return self._directory / f"{step:09d}.safetensors"


def _decoded(content: bytes) -> Saved | None:
    tensors = load(content)
    document = msgspec.json.decode(tensors.pop(DOCUMENT).numpy().tobytes())
    if document.pop("format", None) != FORMAT:
        return None
    floating = (tensor for tensor in tensors.values() if tensor.is_floating_point())
    return (tensors, document) if all(torch.isfinite(tensor).all() for tensor in floating) else None


def write_durably(path: Path, content: bytes) -> None:
    """Writes a file so that after any crash it is either absent, as before, or whole."""
    scratch = path.with_name(path.name + ".tmp")
    with scratch.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
