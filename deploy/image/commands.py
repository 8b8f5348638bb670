"""Runs programs, and says what went wrong with them."""

import os
import subprocess
import sys
import time
from collections.abc import Callable


class Disproved(Exception):
    """What was to be shown is not so, or something that the test needs is not there."""


def output(command: list[str], environment: dict[str, str], seconds: float, both: bool = False) -> str:
    """What a command prints on stdout, or on stderr as well; a failure is told with its last words."""
    errors = subprocess.STDOUT if both else subprocess.PIPE
    variables = os.environ | environment
    try:
        done = subprocess.run(
            command, env=variables, stdout=subprocess.PIPE, stderr=errors, text=True, timeout=seconds, check=True
        )
    except FileNotFoundError:
        raise Disproved(f"{command[0]} is not installed") from None
    except subprocess.CalledProcessError as error:
        raise Disproved(f"{' '.join(command[:3])}…: {(error.stderr or error.stdout or '').strip()[-2000:]}") from None
    except subprocess.TimeoutExpired:
        raise Disproved(f"{' '.join(command[:3])}…: no end after {seconds:.0f} s") from None
    return done.stdout


def aloud(command: list[str], environment: dict[str, str] | None = None) -> None:
    """Runs a command that takes minutes; what it prints goes to stderr."""
    done = subprocess.run(command, env=os.environ | (environment or {}), stdout=sys.stderr, check=False)
    if done.returncode:
        raise Disproved(f"{' '.join(command[:3])}…: exit status {done.returncode}")


def until(is_so: Callable[[], bool], seconds: float, what: str) -> None:
    """Returns when something is so, which is looked at twice a second."""
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise Disproved(f"not after {seconds:.0f} s: {what}")
        time.sleep(0.5)


def require(is_so: bool, what: str) -> None:
    """Returns if something is so.

    Raises:
        Disproved: it is not.
    """
    if not is_so:
        raise Disproved(f"not so: {what}")


def shown(proof: str) -> None:
    """Prints the line of a proof."""
    sys.stdout.write(f"shown: {proof}\n")
    sys.stdout.flush()
