"""`docs/reference/cli.md`: every command with its arguments and options, read off the command line itself."""

import typing
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import typer.main

from deploy.reference.words import MADE, one_line, plain
from lifelong.__main__ import app

HEAD = f"""\
{MADE}
# Command line

`lifelong COMMAND --help` says the same. With `--json` a command prints one JSON document on stdout, where it fails too.
Progress goes to stderr.
"""
TABLE = ("| | default | meaning |", "|---|---|---|")


def page() -> str:
    """The page as it must be."""
    root = typer.main.get_command(app)
    lines = [
        HEAD,
        f"{root.epilog}\n",
        *(line for name, command in _all("lifelong", root) for line in _said(name, command)),
    ]
    return "\n".join(lines)


def _all(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    """Every command that does something, by its full name."""
    if not hasattr(command, "commands"):
        yield name, command
    for word, below in getattr(command, "commands", {}).items():
        yield from _all(f"{name} {word}", below)


def _said(name: str, command: Any) -> Iterator[str]:
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    usage = " ".join([name, *map(_argument, arguments), "[OPTIONS]"])
    yield from (f"## {name}", "", one_line(command.help), "", f"`{usage}`", "", *TABLE)
    for parameter in command.params:
        yield f"| {_name(parameter)} | {_default(parameter)} | {_meaning(parameter)} |"
    yield ""


def _argument(parameter: Any) -> str:
    word = parameter.metavar or parameter.name.upper()
    return word if parameter.required else f"[{word}]"


def _name(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{parameter.metavar or parameter.name.upper()}`"
    return ", ".join(f"`{option}`" for option in [*parameter.opts, *parameter.secondary_opts])


def _default(parameter: Any) -> str:
    value = parameter.default
    if parameter.required:
        return "required"
    if value is None or value is False or value == "":
        return ""
    return f"`{plain(str(value) if isinstance(value, Path) else value)}`"


def _meaning(parameter: Any) -> str:
    notes = [one_line(parameter.help or "")]
    choices = _choices(parameter.type_descriptor.annotation)
    if choices:
        notes.append(f"One of {', '.join(f'`{choice}`' for choice in choices)}.")
    if parameter.min is not None or parameter.max is not None:
        most = "" if parameter.max is None else f" to {parameter.max:,}"
        notes.append(f"From {parameter.min:,}{most}.")
    if parameter.envvar:
        notes.append(f"Also by `{parameter.envvar}`.")
    return " ".join(filter(None, notes))


def _choices(annotation: Any) -> list[str]:
    if typing.get_origin(annotation) is typing.Literal:
        return list(typing.get_args(annotation))
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return [str(member.value) for member in annotation]
    return [choice for inner in typing.get_args(annotation) for choice in _choices(inner)]
