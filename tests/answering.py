"""Waiting for a program that a test has started."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import httpx

POLL_SECONDS = 0.1
LOOK_SECONDS = 0.05
Found = TypeVar("Found")


def awaited(look: Callable[[], Found | None], seconds: float, tell: Callable[[], object]) -> Found:
    """What `look` returns as soon as it is something; fails with what `tell` says when time is over."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, tell()
        time.sleep(LOOK_SECONDS)
    return found


def wait_answering(url: str, process: "subprocess.Popen[bytes]", log: Path, seconds: float) -> None:
    """Returns once the address answers with success; fails with the program's log when it ended or time is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            if httpx.get(url, trust_env=False).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(POLL_SECONDS)
    raise AssertionError(log.read_text())
