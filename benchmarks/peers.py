"""Environments of other people's programs, made by the benchmarks that measure them."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

TORCH = version("torch").split("+")[0]


def environment(place: Path, packages: Sequence[str]) -> Path:
    """The interpreter of a virtual environment at `place` with just these packages and our torch, made if need be.

    Raises:
        RuntimeError: uv was not found.
    """
    place = place.absolute()
    python, complete = place / "bin" / "python", place / "complete"
    wanted = [f"torch=={TORCH}", *packages]
    if not complete.is_file() or complete.read_text().splitlines() != wanted:
        uv = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
        if uv is None:
            raise RuntimeError("uv was not found: `make install` puts it into .venv")
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, place], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", python, *wanted], check=True)
        complete.write_text("\n".join(wanted))
    return python
