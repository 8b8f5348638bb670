"""What compose.yaml would put into containers, as processes of this machine with process ids of their own.

Commands and environment are those of the file, with other addresses and folders. A container's processes see only each
other and end together, as Docker's do; whoever ends is started again, as the file says.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

POLL_SECONDS = 0.2
MOST_STARTS = 10
HOME = "home"
"""Below a container's directory, and not made: its root file system is read-only."""
ALONE = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
PROGRAMS = f"{Path(sys.executable).parent}{os.pathsep}/usr/local/bin:/usr/bin:/bin"


class Container:
    """The processes of one service of the file; they inherit nothing of this program's environment."""

    def __init__(self, name: str, command: list[str], environment: Mapping[str, str], directory: Path) -> None:
        self.name, self.starts = name, 0
        self._command, self._directory = command, directory
        self._environment = {"PATH": PROGRAMS, "HOME": str(directory / HOME), "LANG": "C.UTF-8"} | dict(environment)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """What it has printed at last."""
        path = self._directory / f"{self.name}.log"
        return path.read_text(errors="replace")[-4000:] if path.exists() else ""

    def start(self) -> None:
        """Starts it."""
        self.starts += 1
        unprivileged = [] if os.geteuid() == 0 else ["--map-current-user"]
        with (self._directory / f"{self.name}.log").open("ab") as log:
            options: dict[str, Any] = {"env": self._environment, "cwd": self._directory, "start_new_session": True}
            self._process = subprocess.Popen(
                [*ALONE, *unprivileged, *self._command], stdin=subprocess.DEVNULL, stdout=log, stderr=log, **options
            )

    def revive(self) -> None:
        """Starts it again if it has ended by itself."""
        if self._process is not None and self._process.poll() is not None:
            assert self.starts < MOST_STARTS, f"{self.name}: {self.log}"
            self.start()

    def kill(self) -> None:
        """Ends every process of it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class Machine:
    """The containers that run, in the order of their start."""

    def __init__(self) -> None:
        self.containers: list[Container] = []

    def run(self, container: Container, is_healthy: Callable[[], bool], seconds: float) -> None:
        """Starts a container and returns once it is healthy."""
        self.containers.append(container)
        container.start()
        self.until(is_healthy, seconds, f"{container.name} is healthy")

    def until(self, is_so: Callable[[], bool], seconds: float, what: str) -> None:
        """Returns once something is so; meanwhile whoever ended is started again."""
        deadline = time.monotonic() + seconds
        while not is_so():
            assert time.monotonic() < deadline, "\n".join([what, *(f"{c.name}:\n{c.log}" for c in self.containers)])
            for container in self.containers:
                container.revive()
            time.sleep(POLL_SECONDS)

    def close(self) -> None:
        """Ends them all."""
        for container in reversed(self.containers):
            container.kill()


def substituted(value: Any, replacements: Mapping[str, str]) -> Any:
    """A command or an environment with other addresses and folders; the longest that fits goes first."""
    if isinstance(value, dict):
        return {key: substituted(inner, replacements) for key, inner in value.items()}
    if isinstance(value, list):
        return [substituted(inner, replacements) for inner in value]
    longest_first = sorted(replacements, key=len, reverse=True)
    return re.sub("|".join(map(re.escape, longest_first)), lambda found: replacements[found[0]], value)


def words(service: Mapping[str, Any]) -> list[str]:
    """What a container of ours runs, without the init that Docker's process 1 must be."""
    return [word for word in [*service.get("entrypoint", []), *service["command"]] if word not in {"tini", "--"}]
