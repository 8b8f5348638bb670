"""A program that a test drives line by line: each line it reads is a JSON list, a method and its arguments.

It is a process of its own because Ray reads its environment when it is first imported.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar


class Driver:
    """The program, as the test sees it; what it prints goes to a file in the directory."""

    def __init__(self, module: str, directory: Path, *arguments: object) -> None:
        self._log = (directory / "log").open("w+")
        command = [sys.executable, "-m", module, *map(str, arguments)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self._log}
        self.process = subprocess.Popen(command, text=True, **pipes)

    def start(self) -> None:
        """Returns once it is ready."""
        self._answer()

    def tell(self, *command: Any) -> Any:
        """What the command answers."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """Ends it."""
        with self._log, self.process:  # leaving the process closes its pipes, which ends it, and waits
            pass

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        if line := self.process.stdout.readline():
            return json.loads(line)
        self._log.seek(0)
        raise AssertionError(f"the program ended with {self.process.wait()}:\n{self._log.read()[-4000:]}")


Driven = TypeVar("Driven", bound=Driver)


def obey(make: Callable[[], Any]) -> None:
    """Makes what is driven and says so, carries out its methods until standard input ends, and stops it."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # Ray prints, too
    driven = make()
    answers.write("null\n")
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        answers.write(json.dumps(getattr(driven, name)(*arguments)) + "\n")
    driven.stop()


@contextmanager
def driven(kind: Callable[[Path], Driven]) -> Iterator[Driven]:
    """A program of that kind in a directory of its own, ready; it is ended afterwards."""
    with short_directory() as directory:
        program = kind(directory)
        try:
            program.start()
            yield program
        finally:
            program.close()


@contextmanager
def short_directory() -> Iterator[Path]:
    """A directory with a short path, for Ray and HAProxy put sockets below it; it is gone afterwards."""
    path = Path(tempfile.mkdtemp(prefix="ll-", dir="/tmp"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
