"""Checkpoints: the whole learner at one step, in one safetensors file pinned by its digest (invariant 9)."""

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
from trainer.errors import CorruptState

DOCUMENT = "document"
SUPERFLUOUS = """
WITH RECURSIVE needed(number) AS (
    SELECT value FROM json_each(?)
    UNION
    SELECT parent FROM steps JOIN needed USING (number) WHERE number NOT IN (SELECT step FROM checkpoints))
SELECT step FROM checkpoints WHERE step NOT IN needed
"""


class Checkpoints:
    """Saves and finds checkpoints; a file is durable before the database names it."""

    def __init__(self, database: Database, directory: Path) -> None:
        self._database = database
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def save(self, step: int, tensors: dict[str, Tensor], document: dict[str, Any]) -> None:
        """Makes the learner's state after `step` durable."""
        encoded = torch.frombuffer(bytearray(msgspec.json.encode(document)), dtype=torch.uint8)
        content = save({**tensors, DOCUMENT: encoded})
        write_durably(self._path(step), content)
        self._database.execute("INSERT OR REPLACE INTO checkpoints VALUES (?, ?)", (step, sha256(content)))

    def has(self, step: int) -> bool:
        """Whether the state after `step` was saved and is still kept."""
        return self._database.value("SELECT 1 FROM checkpoints WHERE step=?", (step,)) is not None

    def load(self, step: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Reads the state after `step` back.

        Raises:
            CorruptState: `bad_checkpoint`, when the file is missing, altered or holds a number that is not finite.
        """
        expected = self._database.value("SELECT sha256 FROM checkpoints WHERE step=?", (step,))
        path = self._path(step)
        content = path.read_bytes() if path.is_file() else b""
        if sha256(content) != expected:
            raise CorruptState("bad_checkpoint", f"{path.name} is not the file that state.db names")
        tensors = load(content)
        document = msgspec.json.decode(tensors.pop(DOCUMENT).numpy().tobytes())
        if not all(torch.isfinite(tensor).all() for tensor in tensors.values() if tensor.is_floating_point()):
            raise CorruptState("bad_checkpoint", f"{path.name} holds numbers that are not finite")
        return tensors, document

    def prune(self, steps: Iterable[int]) -> None:
        """Deletes all checkpoints but the newest one on the way to each of the given steps."""
        for (step,) in self._database.rows(SUPERFLUOUS, (json_array(steps),)):
            self._database.execute("DELETE FROM checkpoints WHERE step=?", (step,))
            self._path(step).unlink(missing_ok=True)

    def _path(self, step: int) -> Path:
        return self._directory / f"{step:09d}.safetensors"


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
