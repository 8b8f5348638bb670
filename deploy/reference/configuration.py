"""`docs/reference/configuration.md`: every key of a configuration file, read off the classes that check it."""

import ast
import inspect
import itertools
import textwrap
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from deploy.reference.words import MADE, Schema, allowed, default, one_line
from lifelong.settings import VARIABLE_PREFIX, Settings

HEAD = f"""\
{MADE}
# Configuration

One YAML file for each model. `lifelong init` writes one with every key, `lifelong config show` says what counts and
where it comes from. Only `model` and `input` are required; an unknown key is an error. A variable of the environment
counts more than the file: `{VARIABLE_PREFIX}LEARNER__BATCH_SIZE=64` sets `learner.batch_size`; lists and mappings are
written as JSON.
"""
TABLE = ("| key | default | may be |", "|---|---|---|")


def page() -> str:
    """The page as it must be."""
    document = Settings.model_json_schema(by_alias=True)
    definitions = document["$defs"]
    sections = (_section(name, schema, definitions) for name, schema in document["properties"].items())
    return "\n".join([HEAD, *(line for section in sections for line in section)])


def _section(name: str, schema: Schema, definitions: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"## {name}", "")
    kinds = _models(Settings.model_fields[name].annotation)
    if len(kinds) != 1:
        yield from (" ".join(schema["description"].split()), "")
    if kinds:
        for kind in kinds:
            yield from _table(name, kind, definitions, is_one_of_many=len(kinds) > 1)
    else:
        value = _resolved(schema, definitions)
        yield from (
            f"Default: {default(value)}. May be {allowed(value)}.".replace("Default: required.", "Required."),
            "",
        )


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The classes that a section's value is checked by: one, or one for each of its kinds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if typing.get_origin(annotation) in (list, dict):
        return []
    return [found for inner in typing.get_args(annotation) for found in _models(inner)]


def _table(section: str, model: type[BaseModel], definitions: Mapping[str, Any], is_one_of_many: bool) -> Iterator[str]:
    properties = definitions[model.__name__]["properties"]
    if is_one_of_many:
        kind = properties.get("kind", {}).get("const", "import")
        yield from (f"### {section}: {kind}" if kind == "import" else f"### {section}.kind: {kind}", "")
    for paragraph in (inspect.getdoc(model) or "").split("\n\n"):
        yield from (" ".join(paragraph.split()), "")
    yield from TABLE
    for key, schema in properties.items():
        value = _resolved(schema, definitions)
        yield f"| `{key}` | {default(value)} | {allowed(value)} |"
    yield ""
    for key, said in _said_of_fields(model).items():
        yield from (f"`{key}`: {one_line(said)}", "")


def _said_of_fields(model: type[BaseModel]) -> dict[str, str]:
    """The texts below the fields of a class."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    statements = definition.body if isinstance(definition, ast.ClassDef) else []
    return {
        field.target.id: text.value.value
        for field, text in itertools.pairwise(statements)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
    }


def _resolved(schema: Any, definitions: Mapping[str, Any]) -> Any:
    """The schema with every reference replaced by what it refers to."""
    match schema:
        case {"$ref": str(reference), **rest}:
            return _resolved({**definitions[reference.rpartition("/")[2]], **rest}, definitions)
        case dict():
            return {key: _resolved(value, definitions) for key, value in schema.items()}
        case list():
            return [_resolved(value, definitions) for value in schema]
    return schema
