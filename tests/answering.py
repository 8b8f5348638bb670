"""Waiting for a program that a test has started."""

import subprocess
import time
from pathlib import Path

import httpx

POLL_SECONDS = 0.1


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
