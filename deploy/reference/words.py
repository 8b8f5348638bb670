"""JSON Schema in words: what a value may be, and defaults as YAML has them."""

import html
import json
from collections.abc import Callable, Mapping
from typing import Any

LARGEST_SEED = 2**63 - 1
FORMATS = {"path": "a path", "password": "a text that is never shown", "date-time": "a time as RFC 3339 has it"}
MADE = "<!-- `make docs` writes this page; change what it describes instead. -->"

Schema = Mapping[str, Any]


def allowed(schema: Schema) -> str:
    """What a value of this schema may be."""
    match schema:
        case {"anyOf": several} | {"oneOf": several}:
            return " or ".join(map(allowed, several))
        case {"enum": values}:
            return ", ".join(f"`{value}`" for value in values)
        case {"const": value}:
            return f"`{value}`"
        case {"type": [*kinds]}:
            return " or ".join(allowed({**schema, "type": kind}) for kind in kinds)
    said = SAID.get(schema.get("type", ""))
    return said(schema) if said else "anything"


def default(schema: Schema) -> str:
    """The default as YAML has it, or `required`."""
    return f"`{plain(schema['default'])}`" if "default" in schema else "required"


def plain(value: Any) -> str:
    """A value as YAML has it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def one_line(text: str) -> str:
    """A text of several lines as a cell of a table."""
    return " ".join(text.split()).replace("|", r"\|")


def _array(schema: Schema) -> str:
    least, most = schema.get("minItems"), schema.get("maxItems")
    match least, most:
        case None | 0, None:
            length = "a list"
        case None | 0, _:
            length = f"a list of at most {most}"
        case _, None:
            length = f"a list of at least {least}"
        case _:
            length = f"a list of {least} to {most}"
    return f"{length}, each {allowed(schema['items'])}" if "items" in schema else length


def _number(schema: Schema) -> str:
    bounds = [
        f"{sign} {_count(schema[key])}"
        for key, sign in (("exclusiveMinimum", ">"), ("minimum", "≥"), ("exclusiveMaximum", "<"), ("maximum", "≤"))
        if key in schema
    ]
    return ", ".join(bounds) or "a number"


def _whole(schema: Schema) -> str:
    least = schema["exclusiveMinimum"] + 1 if "exclusiveMinimum" in schema else schema.get("minimum")
    most = schema["exclusiveMaximum"] - 1 if "exclusiveMaximum" in schema else schema.get("maximum")
    if least is None:
        return "a whole number"
    if most is None:
        return f"whole, ≥ {least:,}"
    return f"whole, {_count(least)} … {_count(most)}"


def _count(number: float) -> str:
    named = {LARGEST_SEED: "2⁶³ − 1", -LARGEST_SEED - 1: "−2⁶³"}.get(int(number))
    return named or f"{int(number) if number == int(number) else number:,}"


def _text(schema: Schema) -> str:
    if "pattern" in schema:
        # In a table, a bar inside of backticks ends the cell for some readers of Markdown and not for others.
        return f"a text like <code>{html.escape(schema['pattern'], quote=False).replace('|', '&#124;')}</code>"
    return FORMATS.get(schema.get("format", ""), "a text")


def _mapping(schema: Schema) -> str:
    if isinstance(schema.get("additionalProperties"), dict):
        return f"a mapping of names, each to {allowed(schema['additionalProperties'])}"
    members = ", ".join(f"`{name}`" for name in schema.get("properties", {}))
    return f"a mapping with {members}" if members else "a mapping"


SAID: dict[str, Callable[[Schema], str]] = {
    "array": _array,
    "boolean": lambda _: "`true`, `false`",
    "integer": _whole,
    "null": lambda _: "`null`",
    "number": _number,
    "object": _mapping,
    "string": _text,
}
