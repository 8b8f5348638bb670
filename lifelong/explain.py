"""One line for people out of a failed validation: the key's path, the fault, and the key that was probably meant."""

import difflib
import typing
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

Models = list[type[BaseModel]]
_NOT_A_MAPPING = {"dict_type", "model_type", "model_attributes_type"}
_DERIVED = {"default_factory_not_called"}
"""Only says that another key, which has its own fault, is needed first."""


def explain(error: ValidationError, root: type[BaseModel]) -> str:
    """The most telling fault as `path: fault`, and how many more there are; never a value that was given."""
    faults = [fault for fault in error.errors(include_url=False, include_input=False) if fault["type"] not in _DERIVED]
    ranked = sorted(faults, key=lambda fault: _rank(fault, root))
    others = f" ({len(faults) - 1} more)" if len(faults) > 1 else ""
    return _line(ranked[0], root) + others


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """`; did you mean batch_size?` when a known word is close, else an empty string."""
    close = difflib.get_close_matches(word.lower().replace("-", "_"), known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def known_keys(models: Models) -> list[str]:
    """The keys that a YAML mapping of these models may have, sorted."""
    return sorted({field.alias or name for model in models for name, field in model.model_fields.items()})


def _rank(fault: ErrorDetails, root: type[BaseModel]) -> int:
    """Likely typing mistakes come first: what else is wrong often only follows from them."""
    if fault["type"] == "extra_forbidden":
        _, owners = _follow(fault["loc"][:-1], root)
        return 0 if did_you_mean(str(fault["loc"][-1]), known_keys(owners)) else 2
    return 3 if fault["type"] == "missing" else 1


def _line(fault: ErrorDetails, root: type[BaseModel]) -> str:
    location = fault["loc"]
    if fault["type"] == "extra_forbidden":
        path, owners = _follow(location[:-1], root)
        key, known = str(location[-1]), known_keys(owners)
        guess = did_you_mean(key, known) or (f"; known are {', '.join(known)}" if known else "")
        return f"{'.'.join([*path, key])}: unknown key{guess}"
    path, owners = _follow(location, root)
    place = ".".join(path)
    if fault["type"] == "union_tag_not_found":
        return f"{place}.kind: this key is required: one of {', '.join(_kinds(owners))}"
    if fault["type"] == "union_tag_invalid":
        given = str(fault["ctx"].get("tag", ""))
        guess = did_you_mean(given, _kinds(owners))
        return f"{place}.kind: must be one of {', '.join(_kinds(owners))}{guess}"
    if fault["type"] == "missing":
        return f"{place}: this key is required"
    return _fault(fault) if _fault(fault).startswith(f"{place}.") or not place else f"{place}: {_fault(fault)}"


def _fault(fault: ErrorDetails) -> str:
    if fault["type"] in _NOT_A_MAPPING:
        return "must be a mapping of keys to values"
    message = fault["msg"].removeprefix("Value error, ")
    for start in ("Input should be ", "String should "):
        if message.startswith(start):
            return f"must {start.partition('should ')[2]}{message.removeprefix(start)}"
    return message


def _follow(location: Sequence[int | str], root: type[BaseModel]) -> tuple[list[str], Models]:
    """The path as the YAML file shows it (a union's tag is no key of its own) and the models found at its end."""
    path: list[str] = []
    models: Models = [root]
    for part in location:
        fields = [field for model in models if (field := _field(model, part)) is not None]
        chosen = [model for model in models if part in (_kind(model), model.__name__)]
        if fields:
            models = [model for field in fields for model in _models(field.annotation)]
        elif chosen:
            models = chosen
            continue
        path.append(str(part))
    return path, models


def _field(model: type[BaseModel], key: int | str) -> FieldInfo | None:
    return next((field for name, field in model.model_fields.items() if key in (name, field.alias)), None)


def _models(annotation: Any) -> Models:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in typing.get_args(annotation) for model in _models(part)]


def _kind(model: type[BaseModel]) -> Any:
    field = model.model_fields.get("kind")
    return None if field is None else next(iter(typing.get_args(field.annotation)), None)


def _kinds(models: Models) -> list[str]:
    return [str(kind) for model in models if (kind := _kind(model)) is not None]
