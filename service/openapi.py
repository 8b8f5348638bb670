"""What the OpenAPI document says about bodies and answers that no framework reads: those of the raw routes."""

from typing import Any

from contracts.events import IDENTIFIER_PATTERN, NAME_PATTERN, TASK_PATTERN
from service.tensors import OUTPUTS


def text_of(pattern: str) -> dict[str, Any]:
    """The schema of a text of this pattern: in JSON Schema, `$` is the end and nothing else."""
    return {"type": "string", "pattern": pattern.removesuffix(r"\Z") + "$"}


def optional(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a member that may be null, which says as much as leaving it out."""
    return {**schema, "type": [schema["type"], "null"]}


TASK = text_of(TASK_PATTERN)
IDENTIFIER = text_of(IDENTIFIER_PATTERN)
NAME = text_of(NAME_PATTERN)
LABEL = {
    "oneOf": [
        NAME,
        {"type": "integer", "format": "int64", "minimum": -(2**63), "maximum": 2**63 - 1},
    ]
}

REFUSALS = (400, 404, 408, 409, 413, 415, 422, 429, 503)
"""What a request with a body may be refused with."""

DOCUMENT: dict[str, Any] = {"type": "object"}
INDEX = {"type": "array", "items": {"type": "object", "required": ["name", "version", "state", "reason"]}}
REJECTION = {
    "type": "object",
    "required": ["index", "error", "detail"],
    "properties": {"index": {"type": "integer"}, "error": {"type": "string"}, "detail": {"type": "string"}},
}
PROBLEM = {
    "type": "object",
    "required": ["title", "status", "error", "detail"],
    "properties": {
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "error": {"type": "string", "description": "a stable code"},
        "detail": {"type": "string"},
        "rejected": {"type": "array", "items": REJECTION},
        "more": {"type": "integer"},
    },
}
PREDICTIONS = {
    "type": "object",
    "required": ["model", "version", "predictions"],
    "properties": {
        "model": {"type": "string"},
        "version": {"type": "integer"},
        "predictions": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["prediction_id", "label", "probability"],
                "properties": {
                    "prediction_id": IDENTIFIER,
                    "label": {"type": "string"},
                    "probability": {"type": "number", "minimum": 0, "maximum": 1},
                    "scores": {"type": "object", "additionalProperties": {"type": "number"}},
                },
            },
        },
    },
}
EXPLANATION = {
    "type": "object",
    "required": ["model", "version", "method", "target", "attribution"],
    "properties": {
        "model": {"type": "string"},
        "version": {"type": "integer"},
        "method": {"type": "string"},
        "target": {"type": "string"},
        "attribution": {"description": "of the instance's shape; for a text, one number for each of `tokens`"},
        "tokens": {"type": "array", "items": {"type": "string"}},
    },
}
TENSOR = {
    "type": "object",
    "required": ["name", "shape", "datatype"],
    "properties": {
        "name": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
        "datatype": {"type": "string"},
        "data": {"type": "array", "description": "nested, or flat in row-major order"},
        "parameters": {"type": "object"},
    },
}
INFER = {
    "type": "object",
    "required": ["inputs"],
    "additionalProperties": False,
    "properties": {
        "id": optional(IDENTIFIER),
        "model_name": {"type": ["string", "null"], "description": "the path's counts"},
        "model_version": {"type": ["string", "null"], "description": "the path's counts"},
        "inputs": {"type": "array", "minItems": 1, "items": {**TENSOR, "additionalProperties": False}},
        "outputs": {
            "type": "array",
            "maxItems": len(OUTPUTS),
            "items": {
                "type": "object",
                "required": ["name"],
                "additionalProperties": False,
                "properties": {
                    "name": {"enum": list(OUTPUTS)},
                    "parameters": {"type": "object"},
                },
            },
        },
        "parameters": {"type": "object"},
    },
}
INFERRED = {
    "type": "object",
    "required": ["model_name", "model_version", "outputs"],
    "properties": {
        "model_name": {"type": "string"},
        "model_version": {"type": "string"},
        "id": {"type": "string"},
        "outputs": {"type": "array", "items": TENSOR},
    },
}
RECEIPT = {
    "type": "object",
    "required": ["accepted", "duplicates", "rejected", "position"],
    "properties": {
        "accepted": {"type": "integer"},
        "duplicates": {"type": "integer"},
        "rejected": {"type": "array", "items": REJECTION},
        "position": {"type": "integer"},
    },
}
ROLLBACK = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"version": {"type": ["integer", "null"], "format": "int64", "minimum": 1, "maximum": 2**63 - 1}},
}


def body(schema: dict[str, Any], is_required: bool = True) -> dict[str, Any]:
    """The part of an operation that describes its JSON body."""
    return {"requestBody": {"required": is_required, "content": {"application/json": {"schema": schema}}}}


def answers(status: int, description: str, schema: dict[str, Any], *refusals: int) -> dict[int | str, dict[str, Any]]:
    """The answers of an operation: one success, and problem documents under the given statuses."""
    success = {"description": description, "content": {"application/json": {"schema": schema}}}
    return {status: success, **problems(*refusals)}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Problem documents under the given statuses."""
    refused = {"content": {"application/problem+json": {"schema": PROBLEM}}, "description": "refused"}
    return dict.fromkeys(statuses, refused)
