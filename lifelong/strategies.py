"""The settings of every strategy, read off its class: for the documentation and for `lifelong config show`."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from trainer.catalogue import LARGEST, kinds, strategy_class

LARGEST_SEED = 2**63 - 1
SECTION_HEAD = (
    "## Settings",
    "",
    "All that can be set beside `kind`; what a setting does is said at the head of `trainer/strategies/<kind>.py`.",
    "`lifelong config show` fills in what an entry leaves out. A `seed` that is not set is the learner's, and no",
    f"number may be larger than {LARGEST:.0e}.".replace("e+", "e"),
    "",
    "| kind | setting | default | may be |",
    "|---|---|---|---|",
)
WORDS = {"boolean": "`true`, `false`", "null": "`null`"}


class Option(NamedTuple):
    """A setting of a strategy: its name, its default in JSON form, and in words what it may be."""

    name: str
    default: Any
    range: str


def options(kind: str) -> list[Option]:
    """The settings of a strategy, in the order in which its class has them."""
    return [Option(name, schema.get("default"), _range(schema)) for name, schema in _properties(kind).items()]


def completed(entry: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """An entry of a configuration's strategies with the defaults of what it leaves out; `seed` is the learner's."""
    known = _properties(entry["kind"])
    defaults = {name: seed if name == "seed" else schema.get("default") for name, schema in known.items()}
    return {"kind": entry["kind"], **defaults, **entry}


def section() -> str:
    """All settings as `docs/strategies.md` ends; a test holds the committed page against it."""
    return "\n".join([*SECTION_HEAD, *(row for kind in kinds() for row in _rows(kind)), ""])


def _rows(kind: str) -> Iterator[str]:
    named = f"`{kind}`"
    for each in options(kind):
        default = "the learner's" if each.name == "seed" else f"`{_plain(each.default)}`"
        yield f"| {named} | `{each.name}` | {default} | {each.range} |"
        named = ""
    if named:
        yield f"| {named} | none | | |"


def _properties(kind: str) -> Mapping[str, Any]:
    properties: Mapping[str, Any] = TypeAdapter(strategy_class(kind)).json_schema().get("properties", {})
    return properties


def _range(schema: Mapping[str, Any]) -> str:
    match schema:
        case {"anyOf": several}:
            return " or ".join(map(_range, several))
        case {"enum": values}:
            return ", ".join(f"`{value}`" for value in values)
        case {"type": "array", "items": items, "maxItems": most}:
            return f"a list of at most {most}, each {_range(items)}"
        case {"type": "integer"}:
            return _whole(schema)
        case {"type": "number"}:
            lower = f"> {schema['exclusiveMinimum']}" if "exclusiveMinimum" in schema else f"≥ {schema['minimum']}"
            return f"{lower}, ≤ {schema['maximum']}" if "maximum" in schema else lower
    return WORDS[schema["type"]]


def _whole(schema: Mapping[str, Any]) -> str:
    least = schema["exclusiveMinimum"] + 1 if "exclusiveMinimum" in schema else schema["minimum"]
    most = schema["exclusiveMaximum"] - 1 if "exclusiveMaximum" in schema else schema.get("maximum")
    if most is None:
        return f"whole, ≥ {least}"
    return f"whole, {least} … {'2⁶³ − 1' if most == LARGEST_SEED else f'{most:,}'}"


def _plain(value: Any) -> str:
    """A value as YAML has it."""
    return value if isinstance(value, str) else json.dumps(value)
