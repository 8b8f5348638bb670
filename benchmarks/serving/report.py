"""What the programs of this package print: a table for people, the same in Markdown, or one JSON document."""

import json
import math
import os
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console
from rich.table import Table

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
AsMarkdown = Annotated[bool, typer.Option("--markdown", help="The table in Markdown, with its conditions.")]


class Rows(NamedTuple):
    """A table: its title, its heads, and what stands below them; the first column is text, the others are numbers."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]


def emit(found: Mapping[str, Any], rows: Rows, as_json: bool, as_markdown: bool) -> None:
    """Prints what was found in the form that was asked for."""
    if as_json:
        sys.stdout.write(json.dumps(found) + "\n")
    elif as_markdown:
        sys.stdout.write(markdown(found["conditions"], rows))
    else:
        Console(width=None if sys.stdout.isatty() else 160).print(_table(rows))


def conditions(program: str, versions: Mapping[str, str], **others: Any) -> dict[str, Any]:
    """When, where and with what was measured, and the command that does it again."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "cores": os.cpu_count(),
        "python": sys.version.split()[0],
        "versions": dict(versions),
        "command": shlex.join(["python", "-m", program, *sys.argv[1:]]),
        **others,
    }


def markdown(met: Mapping[str, Any], rows: Rows) -> str:
    """The table, then the conditions that it was met under."""
    lines = [
        f"| {' | '.join(rows.heads)} |",
        f"|---|{'---:|' * (len(rows.heads) - 1)}",
        *(f"| {' | '.join(row)} |" for row in rows.rows),
    ]
    versions = ", ".join(f"{name} {version}" for name, version in met["versions"].items())
    others = [f"{name} {met[name]}" for name in met if name not in ("date", "versions", "command")]
    taken = f"{rows.title}. {met['date']}, {', '.join(others)}; {versions}."
    return "\n".join([*lines, "", taken, "", f"    {met['command']}", ""])


def milliseconds(value: float) -> str:
    """Three digits that matter, or a dash where there is no value."""
    if math.isnan(value):
        return "–"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def failures(counts: Mapping[str, int]) -> str:
    """Counts by status in one cell."""
    return ", ".join(f"{count:,} × {status}" for status, count in counts.items()) or "0"


def _table(rows: Rows) -> Table:
    made = Table(title=rows.title)
    for number, head in enumerate(rows.heads):
        made.add_column(head, justify="right" if number else "left")
    for row in rows.rows:
        made.add_row(*row)
    return made
