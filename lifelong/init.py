"""Writes a commented configuration: what must be set is set, everything else is shown with its default."""

import inspect
import re
import textwrap
import typing
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel

from contracts.errors import InvalidConfiguration
from contracts.inputs import parse_input
from contracts.names import SIMPLE_NAME
from lifelong.examples import EXAMPLES, Kind
from lifelong.settings import Settings
from trainer.catalogue import kinds

WIDTH = 110


def write(path: Path, model: str, kind: Kind) -> None:
    """Writes the configuration; `lifelong up` accepts it as it stands.

    Raises:
        InvalidConfiguration: no model can have this name, or the file exists already or cannot be written.
    """
    if not re.fullmatch(SIMPLE_NAME, model):
        raise InvalidConfiguration("invalid_configuration", f"--model: must match pattern '^{SIMPLE_NAME}$'")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(template(model, kind))
    except FileExistsError:
        raise InvalidConfiguration("file_exists", f"{path}: exists already; remove it or name another") from None
    except OSError as error:
        raise InvalidConfiguration("unwritable", f"{path}: {error.strerror}") from None


def template(model: str, kind: Kind) -> str:
    """The configuration's text. Lines that start with # and no space hold defaults: removing the # changes nothing."""
    example, meaning = EXAMPLES[kind]
    known = {"input": parse_input(yaml.safe_load(example))}
    lines = [
        *_comment("One model of lifelong. Start it: lifelong up FILE. See every setting: lifelong config show FILE."),
        *_comment("A variable LIFELONG__LEARNER__BATCH_SIZE=64 of the environment overrides learner.batch_size."),
        *("", f"model: {_flow(model)}", "", f"# What one instance looks like: {meaning}.", f"input: {example}"),
    ]
    for name, field in Settings.model_fields.items():
        if not field.is_required():
            default = field.get_default(call_default_factory=True, validated_data=known)
            lines += ["", *_comment(_description(name, default))]
            lines += [f"#{line}" for line in _section(name, default)]
    return "\n".join(lines) + "\n"


def _description(name: str, default: Any) -> str:
    field = Settings.model_fields[name]
    prose = [inspect.getdoc(type(default)) or ""] if isinstance(default, BaseModel) else []
    if name == "strategies":
        prose.append(f"Kinds: {', '.join(kinds())}.")
    is_choice = not isinstance(field.annotation, type)
    return "\n\n".join([field.description or "", *prose] if is_choice else prose)


def _section(name: str, default: Any) -> list[str]:
    if not isinstance(default, BaseModel):
        return yaml.safe_dump({name: default}, default_flow_style=None, sort_keys=False, width=WIDTH).splitlines()
    values = default.model_dump(mode="json", by_alias=True)
    return [f"{name}:", *(f"  {key}: {_flow(value)}{_choices(type(default), key)}" for key, value in values.items())]


def _choices(model: type[BaseModel], key: str) -> str:
    """The words a setting may be, as a comment beside it."""
    field = model.model_fields.get(key)
    choices = typing.get_args(field.annotation) if field and typing.get_origin(field.annotation) is Literal else ()
    return f"  # {' | '.join(map(str, choices))}" if len(choices) > 1 else ""


def _flow(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("\n").removesuffix("\n...")


def _comment(text: str) -> list[str]:
    paragraphs = (" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
    return [f"# {line}" for paragraph in paragraphs for line in textwrap.wrap(paragraph, WIDTH)]
