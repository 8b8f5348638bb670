"""The settings of a strategy, read off its class: for `lifelong config show` and for the documentation."""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from trainer.catalogue import strategy_class


def properties(kind: str) -> Mapping[str, Any]:
    """JSON Schema of each setting of a strategy, in the order in which its class has them."""
    found: Mapping[str, Any] = TypeAdapter(strategy_class(kind)).json_schema().get("properties", {})
    return found


def completed(entry: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """An entry of a configuration's strategies with the defaults of what it leaves out; `seed` is the learner's."""
    known = properties(entry["kind"])
    defaults = {name: seed if name == "seed" else schema.get("default") for name, schema in known.items()}
    return {"kind": entry["kind"], **defaults, **entry}
