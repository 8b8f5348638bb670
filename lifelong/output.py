"""What a command prints on stdout: one JSON document for machines, or text and tables for people."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import msgspec
from rich.console import Console, RenderableType

from service import logs

PLAIN_WIDTH = 160
"""Columns where stdout is no terminal: wide enough that no table cell is cut in a log file."""


def emit(document: Any, as_json: bool, *shown: RenderableType) -> None:
    """Prints the document as JSON, or what is shown to people in its place."""
    if as_json:
        sys.stdout.write(msgspec.json.encode(document).decode() + "\n")
        sys.stdout.flush()
        return
    console = stdout()
    for renderable in shown:
        # A line of text may be a command to paste: the terminal may wrap it, we must not.
        console.print(renderable, highlight=False, markup=False, soft_wrap=isinstance(renderable, str))


def stdout() -> Console:
    """A console on stdout that never cuts what is piped."""
    return Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)


@contextmanager
def working(text: str) -> Iterator[Callable[[str], None]]:
    """Says on stderr what is being done, and what it yields says what is next: beside a spinner, or a line each."""
    console = stderr()
    if console.is_terminal and not logs.are_json():
        with console.status(text) as status:
            yield status.update
    else:
        say(text)
        yield say


def say(text: str, level: str = "INFO", **facts: str) -> None:
    """Prints a line on stderr in the form that log lines have; `facts` are for machines alone."""
    if not logs.are_json():
        stderr().print(text, soft_wrap=True, highlight=False, markup=False, emoji=False)
        return
    now = datetime.now().isoformat(sep=" ", timespec="milliseconds").replace(".", ",")  # as Ray's lines have it
    document = {"asctime": now, "levelname": level, "message": text, "name": "lifelong", **facts}
    sys.stderr.write(msgspec.json.encode(document).decode() + "\n")
    sys.stderr.flush()


def stderr() -> Console:
    """A console on stderr, where progress goes."""
    return Console(stderr=True)
