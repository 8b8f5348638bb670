"""Types what a page says, in its order, as somebody would who reads it beside a terminal."""

import contextlib
import itertools
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from feedback.sqlite import PARTITION, SqliteLog
from lifelong.client import Client, served_models, wait_ready
from lifelong.errors import ServiceUnreachable
from service.environment import free_port
from tests.docs.markdown import DOCS, ROOT, blocks

TRIES = 3
READY_SECONDS, GLANCE_SECONDS = 300.0, 1.0
LEARNED_SECONDS = 120.0
PATIENCE_SECONDS = 60.0
UP = re.compile(r"(?:\.venv/bin/)?lifelong (up .*?)(?: +#.*)?")
SHORTENED = {r'"prediction_id":"([^"]+)"': "5c1d….0", r'"erasure":"([^"]+)"': "3b1f…", r"^(ll_\S+)$": "ll_…"}
"""What a page shows of ids and secrets, by where the whole one is printed."""
TEACHES = re.compile(r"lifelong send |post feedback |client\.feedback")


class Said(NamedTuple):
    """A command as it was typed, and what it printed."""

    command: str
    output: str


class Walk:
    """One reader: a directory, a service, and what was printed so far. Use it as a context manager.

    Files that a page shows are written. `lifelong up` goes to another terminal and serves the models `beside` too, so
    that several pages share a service. After feedback the reader waits until it is learned.
    """

    def __init__(self, directory: Path, beside: Sequence[str] = ()) -> None:
        self.directory = directory
        self.said: list[Said] = []
        self._beside = beside
        self._prelude = ""
        self._port = free_port()
        self.address = f"http://127.0.0.1:{self._port}"
        self._service: subprocess.Popen[bytes] | None = None
        self._serves: list[str] = []
        self._state = directory
        self._learned: dict[str, int] = {}
        self._stands_for: dict[str, str | Sequence[str]] = {}
        (directory / ".venv").symlink_to(sys.prefix)
        path = f"{Path(sys.prefix, 'bin')}{os.pathsep}{os.environ['PATH']}"
        self._environment = os.environ | {"PATH": path, "LIFELONG_ADDRESS": self.address}

    def __enter__(self) -> "Walk":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def files(self, page: str) -> None:
        """Writes the files that a page shows."""
        for block in blocks(_page(page)):
            if block.title:
                path = self.directory / block.title
                path.parent.mkdir(exist_ok=True)
                path.write_text(block.text, encoding="utf-8")

    def page(self, page: str, stands_for: Mapping[str, str | Sequence[str]] | None = None) -> list[Said]:
        """Types every command of a page; `stands_for` are words that a reader replaces, in turn by each meaning."""
        self.files(page)
        begun = len(self.said)
        self._stands_for |= stands_for or {}
        for block in blocks(_page(page)):
            for command in block.commands():
                self.type(command)
        return self.said[begun:]

    def stop(self) -> None:
        """Ctrl-C in the other terminal."""
        if self._service is not None:
            if self._service.poll() is None:
                self._service.send_signal(signal.SIGTERM)
            self._service.wait(120)
            self._service = None

    def type(self, command: str) -> None:
        """Types one command, but none that takes minutes: those of `make` and `bench` are only checked to exist."""
        up = UP.fullmatch(command)
        if command.startswith("post() "):
            self._prelude = f"{self._replaced(command)}\n"
        elif up:
            self._up(up[1].split())
        elif not command.startswith(("make ", ".venv/bin/lifelong bench ")):
            follow = self._watch if "/stream" in command else self._run
            self.said.append(Said(command, follow(self._replaced(command))))
            self._learn_words(self.said[-1].output)
            if TEACHES.search(command):
                self._wait_until_learned()

    def _run(self, command: str) -> str:
        script = f"set -o pipefail\n{self._prelude}{command}"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.directory,
            env=self._environment,
            capture_output=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout.decode()}{done.stderr.decode()}"
        return done.stdout.decode()

    def _watch(self, command: str) -> str:
        """The first line of what a command prints until it is told to stop."""
        with subprocess.Popen(["bash", "-c", f"exec {command}"], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            line = process.stdout.readline().decode()
            process.kill()
        return line

    def _replaced(self, command: str) -> str:
        for word, meanings in self._stands_for.items():
            for meant in itertools.cycle([meanings] if isinstance(meanings, str) else meanings):
                if word not in command:
                    break
                command = command.replace(word, meant, 1)
        return command.replace("localhost:8000", f"localhost:{self._port}")

    def _learn_words(self, output: str) -> None:
        """The ids and secrets that a page has cut short are those which were printed last."""
        for pattern, word in SHORTENED.items():
            found = re.search(pattern, output, re.MULTILINE)
            if found:
                self._stands_for[word] = found[1]

    def _up(self, words: Sequence[str]) -> None:
        if self._service is not None:
            assert words[1] in self._serves, f"{words[1]} is not served"
            return
        self._serves = [words[1], *self._beside]
        self._state = self.directory / (words[words.index("--state") + 1] if "--state" in words else "state")
        command = [sys.executable, "-m", "lifelong", "up", *self._serves, *words[2:], "--port", str(self._port)]
        for _ in range(TRIES):
            with (self.directory / "up.log").open("wb") as log:
                self._service = subprocess.Popen(
                    command, cwd=self.directory, env=self._environment, stdout=log, stderr=log, start_new_session=True
                )
            if self._is_ready(self._service):
                return
        raise AssertionError((self.directory / "up.log").read_text())

    def _is_ready(self, service: subprocess.Popen[bytes]) -> bool:
        """Waits until the service answers; false if it ended and asks to be started again, the machine being busy."""
        deadline = time.monotonic() + READY_SECONDS
        while service.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(ServiceUnreachable):
                wait_ready(self.address, GLANCE_SECONDS)
                return True
        said = (self.directory / "up.log").read_text()
        assert "try again" in said, said
        return False

    def _wait_until_learned(self) -> None:
        """Until everything that was accepted is learned and served, or the gate has kept it back for too long."""
        for model in served_models(self.address):
            log = SqliteLog(self._state / model / "feedback.db")
            position = log.end()[PARTITION] - 1
            log.close()
            if position == self._learned.get(model, 0):
                continue
            self._learned[model] = position
            with Client(self.address, model) as client, contextlib.suppress(ServiceUnreachable):
                client.wait_processed(position, LEARNED_SECONDS)
                client.wait_served(position, PATIENCE_SECONDS)


def _page(page: str) -> Path:
    return ROOT / page if page == "README.md" else DOCS / page
