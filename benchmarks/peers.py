"""Environments of other people's programs, made by the benchmarks that measure them."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

TORCH = torch.__version__.split("+")[0]


def environment(place: Path, packages: Sequence[str]) -> Path:
    """The interpreter of a virtual environment at `place` with these packages and our torch, made if there is none.

    Raises:
        RuntimeError: uv was not found.
    """
    place = place.absolute()
    python, complete = place / "bin" / "python", place / "complete"
    if not complete.is_file():
        uv = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
        if uv is None:
            raise RuntimeError("uv was not found: `make install` puts it into .venv")
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, place], check=True)
        install: list[str | Path] = [uv, "pip", "install", "--quiet", "--python", python]
        subprocess.run([*install, f"torch=={TORCH}", *packages], check=True)
        complete.touch()
    return python
