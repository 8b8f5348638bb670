"""`docs/reference/rest.md`: every route, read off the OpenAPI document that a running service answers."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast

from contracts.inputs import ImageInput, InputSpec, TensorInput
from deploy.reference.words import MADE, allowed, default, one_line
from service.access import Access
from service.hosting import Host
from service.routes import build
from service.schemas import instance
from service.settings import ServingSettings

HEAD = f"""\
{MADE}
# REST

A running service answers the same as an OpenAPI document at `/openapi.json`, with the instances of its own models, and
shows it at `/docs`. How to use it: [Serving](../serving.md).

A refusal is a problem document (RFC 9457): `title`, `status`, `error`, which is a stable code, and `detail`. Where a
service without [tokens](../serving.md#tokens) answers 421, and 403 for other sites' pages, one with tokens answers 401
and 403.
"""
SPECS: tuple[InputSpec, ...] = (TensorInput(shape=(4,)), ImageInput(shape=(8, 8)))
"""Between them, instances of these kinds may be sent in every type of body."""
INSTANCE = instance(SPECS)
TABLE = ("| member | | value |", "|---|---|---|")


class Described(NamedTuple):
    """A model as far as describing its routes asks about it."""

    input: InputSpec


def page() -> str:
    """The page as it must be."""
    hosts = cast("Mapping[str, Host]", {str(place): Described(spec) for place, spec in enumerate(SPECS)})
    settings = ServingSettings()
    paths = build(hosts, settings, Access.of(settings)).openapi()["paths"]
    operations = [
        (f"{method.upper()} {path}", operation) for path in sorted(paths) for method, operation in paths[path].items()
    ]
    return "\n".join([HEAD, *(line for title, operation in operations for line in _said(title, operation))])


def _said(title: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"## {title}", "", one_line(operation["description"]), "")
    queries = [one for one in operation.get("parameters", []) if one["in"] == "query"]
    if queries:
        yield from ("| in the address | default | value |", "|---|---|---|")
        yield from (f"| `{one['name']}` | {_optional(one['schema'])} | {_value(one['schema'])} |" for one in queries)
        yield ""
    if "requestBody" in operation:
        yield from _bodies(operation["requestBody"]["content"])
    yield from _answers(operation["responses"])


def _optional(schema: Mapping[str, Any]) -> str:
    return default(schema) if "default" in schema else ""


def _bodies(content: Mapping[str, Any]) -> Iterator[str]:
    schema = content["application/json"]["schema"]
    others = [
        f"`{media}`" + (f" ({kind['schema']['description']})" if "description" in kind["schema"] else "")
        for media, kind in content.items()
        if media != "application/json"
    ]
    yield from (f"Body: JSON{' or ' if others else ''}{', '.join(others)}.", "", *TABLE)
    yield from (*_members(schema), "")


def _answers(responses: Mapping[str, Any]) -> Iterator[str]:
    (success,) = (status for status in responses if status.startswith("2"))
    refused = ", ".join(sorted(status for status in responses if not status.startswith("2")))
    content = responses[success].get("content", {})
    types = ", ".join(f"`{media}`" for media in content)
    said = f"Answer: {success}" + (f", {types}" if types else "") + (f"; refused with {refused}" if refused else "")
    yield from (f"{said}.", "")
    rows = list(_members(content.get("application/json", {}).get("schema", {})))
    if rows:
        yield from (*TABLE, *rows, "")


def _members(schema: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """A row for each member of an object, and for the members of what it holds."""
    while schema.get("type") == "array":
        schema = schema.get("items", {})
    for name, value in schema.get("properties", {}).items():
        word = "required" if name in schema.get("required", []) else _optional(value)
        place = f"{above}{name}{'[]' if value.get('type') == 'array' else ''}"
        yield f"| `{place}` | {word} | {_value(value)} |"
        if value != INSTANCE:
            yield from _members(value, f"{place}.")


def _value(schema: Mapping[str, Any]) -> str:
    if schema == INSTANCE:
        return "an instance, as the model's [`input`](configuration.md#input) says"
    said = "instances" if schema.get("items") == INSTANCE else _allowed(schema)
    return f"{said}: {schema['description']}" if "description" in schema else said


def _allowed(schema: Mapping[str, Any]) -> str:
    """What lists and objects hold has rows of its own."""
    match schema:
        case {"type": "array", "items": {"type": "object"}}:
            return "a list of objects"
        case {"type": "object"}:
            return "an object"
    return allowed(schema)
