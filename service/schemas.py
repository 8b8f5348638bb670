"""What the OpenAPI document says of bodies that hold instances: it follows the input of the served models."""

from collections.abc import Sequence
from typing import Any, get_args

from contracts.answers import Method
from contracts.inputs import (
    MAX_TEXT_CHARACTERS,
    ImageInput,
    InputSpec,
    StoryInput,
    TabularInput,
    TensorInput,
    TextInput,
    describe,
)
from service import openapi

TOO_LARGE = 2.0**128 - 2.0**103
"""What float32 rounds to infinity, and nothing smaller."""
NUMBER = {"type": "number", "exclusiveMinimum": -TOO_LARGE, "exclusiveMaximum": TOO_LARGE}
BYTE = {"type": "integer", "minimum": 0, "maximum": 255}
WORDED = {"type": "string", "pattern": r"[A-Za-z0-9]", "maxLength": 200}
"""What surely has a word in it; lines of other alphabets are taken as well."""
LINES = {"application/x-ndjson": {"schema": {"type": "string", "description": "one instance a line"}}}
TABLE = {"text/csv": {"schema": {"type": "string", "description": "a header, then one instance a line"}}}
FILES = {media: {"schema": {"type": "string", "format": "binary"}} for media in ("image/png", "image/jpeg")}
OPTIONS = [
    {"name": "task", "in": "query", "schema": openapi.TASK, "description": "for bodies that cannot say it"},
    {"name": "scores", "in": "query", "schema": {"type": "boolean"}, "description": "for bodies that cannot say it"},
]


def instance(specs: Sequence[InputSpec]) -> dict[str, Any]:
    """The schema of an instance of any of the served models; where there are several, a path's model takes its own."""
    schemas = [_of(spec) | {"description": describe(spec)} for spec in specs]
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


def predict(specs: Sequence[InputSpec]) -> dict[str, Any]:
    """The part of the predict operation that describes its bodies and options."""
    properties = {
        "instances": {"type": "array", "minItems": 1, "items": instance(specs)},
        "task": {**openapi.optional(openapi.TASK), "description": "needed in the task scenario only"},
        "scores": {"type": "boolean", "default": False},
    }
    described = openapi.body(_object(properties, "instances"))
    described["requestBody"]["content"] |= LINES
    if any(not isinstance(spec, StoryInput) for spec in specs):
        described["requestBody"]["content"] |= TABLE
    if any(isinstance(spec, ImageInput) for spec in specs):
        described["requestBody"]["content"] |= FILES
    return {**described, "parameters": OPTIONS}


def explain(specs: Sequence[InputSpec]) -> dict[str, Any]:
    """The part of the explain operation that describes its body."""
    properties = {
        "instance": instance(specs),
        "method": {"enum": list(get_args(Method)), "default": "saliency"},
        "target": {"type": ["string", "null"], "description": "a label; by default the predicted one"},
        "task": {**openapi.optional(openapi.TASK), "description": "needed in the task scenario only"},
        "version": {"type": ["integer", "null"], "description": "by default the champion"},
    }
    return openapi.body(_object(properties, "instance"))


def feedback(specs: Sequence[InputSpec]) -> dict[str, Any]:
    """The part of the feedback operation that describes its body."""
    properties = {
        "label": openapi.LABEL,
        "event_id": {
            **openapi.optional(openapi.IDENTIFIER),
            "description": "an event is never trained twice under its id",
        },
        "prediction_id": openapi.optional(openapi.IDENTIFIER),
        "instance": instance(specs),
        "task": openapi.optional(openapi.TASK),
        "subject": openapi.optional(openapi.NAME),
        "time": {"type": ["string", "null"], "format": "date-time"},
        "traceparent": {
            "type": ["string", "null"],
            "description": "the W3C trace context that it came with; by default the request's",
        },
    }
    either = {"anyOf": [{"required": ["prediction_id"]}, {"required": ["instance"]}]}
    events = {"type": "array", "minItems": 1, "items": {**_object(properties, "label"), **either}}
    return openapi.body(_object({"events": events}, "events"))


def _of(spec: InputSpec) -> dict[str, Any]:
    match spec:
        case TensorInput():
            return _nested(NUMBER, spec.shape)
        case ImageInput():
            return _nested(BYTE, spec.shape)
        case TextInput():
            return {"type": "string", "pattern": r"\S", "maxLength": MAX_TEXT_CHARACTERS}
        case TabularInput():
            return _table(spec)
        case StoryInput():
            members = {"story": {"type": "array", "items": WORDED, "maxItems": 50}, "question": WORDED}
            return _object(members, *members)


def _table(spec: TabularInput) -> dict[str, Any]:
    kinds = {name: {"enum": kind} if isinstance(kind, list) else NUMBER for name, kind in spec.columns.items()}
    return _object(kinds, *kinds)


def _object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def _nested(element: dict[str, Any], shape: Sequence[int]) -> dict[str, Any]:
    schema = element
    for size in reversed(shape):
        schema = {"type": "array", "items": schema, "minItems": size, "maxItems": size}
    return schema
