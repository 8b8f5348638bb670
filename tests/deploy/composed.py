"""Reads deploy/compose.yaml as Compose does, as far as that file goes: variables, and which services a profile adds."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
FILE = DEPLOY / "compose.yaml"
EXAMPLE = DEPLOY / "compose" / ".env.example"
VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?:(?P<operator>:[-?])(?P<rest>[^}]*))?\}")


class MissingVariable(Exception):
    """A variable that must be set is not, or is empty."""


def composed(variables: Mapping[str, str]) -> dict[str, Any]:
    """The file with its variables filled in; an environment entry without a value is passed on or left out.

    Raises:
        MissingVariable: one that must have a value has none.
    """
    document: dict[str, Any] = _filled(yaml.safe_load(FILE.read_text()), variables)
    for service in document["services"].values():
        environment = service.get("environment", {})
        passed = {name: variables.get(name) if value is None else value for name, value in environment.items()}
        service["environment"] = {name: value for name, value in passed.items() if value is not None}
    return document


def services(document: Mapping[str, Any], profiles: Iterable[str] = ()) -> dict[str, Any]:
    """The services that start with these profiles."""
    wanted = set(profiles)
    everything: dict[str, Any] = document["services"]
    return {
        name: service
        for name, service in everything.items()
        if not service.get("profiles") or wanted & set(service["profiles"])
    }


def variable_names() -> set[str]:
    """Every variable that the file reads: in its text, or passed on to a container by its name alone."""
    document = yaml.safe_load(FILE.read_text())
    environments = [service.get("environment", {}) for service in document["services"].values()]
    passed = {name for environment in environments for name, value in environment.items() if value is None}
    return passed | {found["name"] for found in VARIABLE.finditer(FILE.read_text())}


def example(uncommented: bool = False) -> dict[str, str]:
    """What `.env.example` sets; uncommented, also what it shows behind a `#` without a space."""
    text = EXAMPLE.read_text()
    lines = re.findall(r"^#?(\w+)=(.*)$" if uncommented else r"^(\w+)=(.*)$", text, re.MULTILINE)
    return dict(lines)


def _filled(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(inner, variables) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, variables) for inner in value]
    if isinstance(value, str):
        return VARIABLE.sub(lambda found: _value(found, variables), value)
    return value


def _value(found: re.Match[str], variables: Mapping[str, str]) -> str:
    given = variables.get(found["name"], "")
    if given or found["operator"] is None:
        return given
    if found["operator"] == ":?":
        raise MissingVariable(f"{found['name']}: {found['rest']}")
    return found["rest"]
