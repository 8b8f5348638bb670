"""Methods as the command line names them: bounds, strategies by their kinds, or the configuration's list."""

import json
from collections.abc import Sequence
from typing import Any

from contracts.errors import InvalidConfiguration
from lifelong.bench.study import Method
from lifelong.document import read_yaml
from trainer.catalogue import load

FINE_TUNING, CUMULATIVE, JOINT = "fine-tuning", "cumulative", "joint"
BOUNDS = (FINE_TUNING, JOINT)
WITHOUT_STRATEGIES = {
    FINE_TUNING: Method(FINE_TUNING),
    CUMULATIVE: Method(CUMULATIVE, is_cumulative=True),
    JOINT: Method(JOINT, is_joint=True),
}
"""Methods that only differ in the rows they see: a task's own, also those before it again, or all at once."""
DEFAULT = "replay+ewc"
MAX_NAME = 60


def methods(texts: Sequence[str], with_bounds: bool) -> list[Method]:
    """What is named, in order, between the two bounds: fine-tuning first, joint training last.

    Raises:
        InvalidConfiguration: a strategy or a setting of it is unknown, or a method is named twice.
    """
    named = [parse_method(text) for text in texts or [DEFAULT]]
    lower, upper = (WITHOUT_STRATEGIES[bound] for bound in BOUNDS)
    chosen = [lower, *(each for each in named if each.name not in BOUNDS), upper] if with_bounds else named
    names = [each.name for each in chosen]
    if len(set(names)) < len(names):
        raise InvalidConfiguration("invalid_setting", "--strategy: a method is named twice")
    return chosen


def parse_method(text: str) -> Method:
    """A method by its kinds (`replay+ewc`), or as the configuration's list (`[{kind: replay, capacity: 500}]`).

    `fine-tuning`, `cumulative` and `joint` need no strategy.

    Raises:
        InvalidConfiguration: a strategy or a setting of it is unknown.

    Example:
        >>> parse_method("replay+ewc").strategies
        [{'kind': 'replay'}, {'kind': 'ewc'}]
    """
    if text.strip() in WITHOUT_STRATEGIES:
        return WITHOUT_STRATEGIES[text.strip()]
    is_list = text.lstrip().startswith(("[", "{", "-"))
    entries = read_yaml(text, "--strategy") if is_list else [{"kind": kind.strip()} for kind in text.split("+")]
    strategies = [entries] if isinstance(entries, dict) else entries
    if not isinstance(strategies, list) or not all(isinstance(entry, dict) for entry in strategies):
        raise InvalidConfiguration("invalid_setting", "--strategy: must be a list of strategies, each with its kind")
    load(strategies)
    return Method(_name(strategies), strategies)


def _name(strategies: Sequence[dict[str, Any]]) -> str:
    """Kinds with the settings that were given, as a legend shows them."""
    parts = []
    for entry in strategies:
        given = ", ".join(f"{key} {_plain(value)}" for key, value in entry.items() if key != "kind")
        parts.append(f"{entry['kind']} ({given})" if given else str(entry["kind"]))
    name = " + ".join(parts) or FINE_TUNING
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 1]}…"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
