"""Strategies by name: which there are, and what a configuration's entries build, or why they cannot.

Reading names and errors needs no torch; only building a strategy does.
"""

import difflib
import itertools
import pkgutil
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from contracts.errors import InvalidConfiguration
from contracts.labels import Scenario
from networks.settings import Architecture, NetworkSpec, PerTaskSpec
from trainer.strategy import Chain, Naive, Strategy

LARGEST = 1e30
"""Settings are computed with in float32, squared gradients beside them."""


def kinds() -> list[str]:
    """Names of all strategies, in alphabetical order: one for each file in `trainer/strategies`."""
    folder = Path(__file__).parent / "strategies"
    return sorted(module.name for module in pkgutil.iter_modules([str(folder)]))


def strategy_class(kind: str) -> type[Any]:
    """The one class that the file of this kind defines."""
    module = import_module(f"trainer.strategies.{kind}")
    classes = [value for value in vars(module).values() if isinstance(value, type) and issubclass(value, Naive)]
    (own,) = (value for value in classes if value.__module__ == module.__name__)
    return own


def load(spec: Sequence[Mapping[str, Any]], seed: int = 0, scenario: Scenario | None = None) -> Strategy:
    """Builds the strategies of a configuration; an empty list is plain fine-tuning.

    Strategies that draw random numbers start from `seed` unless they name a seed of their own.

    Raises:
        InvalidConfiguration: `unknown_strategy` or `invalid_setting`, naming the place and the nearest known word;
            `conflicting_strategies`, naming both places; `wrong_scenario` if `scenario` is given and is not theirs.
    """
    strategies = [_build(place, entry, seed) for place, entry in enumerate(spec)]
    classes = [_class_of(place, entry) for place, entry in enumerate(spec)]
    _check_together(spec, classes)
    for place, own in enumerate(classes):
        if scenario is not None and own.scenario not in (None, scenario):
            what = f"{spec[place]['kind']} needs labels.scenario: {own.scenario}"
            raise InvalidConfiguration("wrong_scenario", f"strategies.{place}.kind: {what}")
    if not strategies:
        return Naive()
    return strategies[0] if len(strategies) == 1 else Chain(strategies)


def check_strategies(
    spec: Sequence[Mapping[str, Any]], scenario: Scenario, network: NetworkSpec, is_tokens: bool
) -> None:
    """Refuses strategies that cannot be built, or cannot serve this scenario, network and kind of instance.

    Raises:
        InvalidConfiguration: as `load` and `architecture` say, or `strategy_mismatch` where numbers are needed.
    """
    load(spec, scenario=scenario)
    architecture(spec, network)
    for place, entry in enumerate(spec):
        if is_tokens and _class_of(place, entry).needs_numbers:
            what = f"{entry['kind']} needs instances that are numbers, not the tokens of texts"
            raise InvalidConfiguration("strategy_mismatch", f"strategies.{place}.kind: {what}")


def check_divisible(spec: Sequence[Mapping[str, Any]]) -> None:
    """Refuses strategies with which only one process can learn.

    Raises:
        InvalidConfiguration: `unknown_strategy`, or `indivisible_strategy`, naming the place.
    """
    for place, entry in enumerate(spec):
        if not _class_of(place, entry).is_divisible:
            what = f"{entry['kind']} needs all rows of a step in one process: set learner.workers to 1"
            raise InvalidConfiguration("indivisible_strategy", f"strategies.{place}.kind: {what}")


def architecture(spec: Sequence[Mapping[str, Any]], network: NetworkSpec) -> Architecture:
    """The network that these strategies train: the configured one, or one made of it that keeps tasks apart.

    Raises:
        InvalidConfiguration: `unknown_strategy`, or `network_mismatch` if the strategy cannot work on such a network.
    """
    for place, entry in enumerate(spec):
        sharing = _class_of(place, entry).sharing
        if sharing is not None:
            try:
                return PerTaskSpec(sharing=sharing, of=network)
            except ValidationError as error:
                what = error.errors()[0]["msg"].removeprefix("Value error, ")
                raise InvalidConfiguration("network_mismatch", f"strategies.{place}.kind: {what}") from None
    return network


def _check_together(spec: Sequence[Mapping[str, Any]], classes: Sequence[type[Naive]]) -> None:
    for (one, first), (other, second) in itertools.combinations(enumerate(classes), 2):
        both: frozenset[str] = first.owns & second.owns or (first.owns | second.owns) & {"parameters"}
        if both:
            places = f"strategies.{one}.kind: {spec[one]['kind']} and strategies.{other}.kind: {spec[other]['kind']}"
            raise InvalidConfiguration("conflicting_strategies", f"{places} cannot share the {min(both)}")


def _class_of(place: int, entry: Mapping[str, Any]) -> type[Any]:
    kind = entry.get("kind")
    if kind not in kinds():
        hint = _nearest(str(kind), kinds())
        expected = f"expected one of {', '.join(kinds())}{hint}"
        raise InvalidConfiguration("unknown_strategy", f"strategies.{place}.kind: {expected}")
    return strategy_class(str(kind))


def _build(place: int, entry: Mapping[str, Any], seed: int) -> Strategy:
    own = _class_of(place, entry)
    fields = {name: value for name, value in entry.items() if name != "kind"}
    known = list(own.__pydantic_fields__)
    if "seed" in known:
        fields.setdefault("seed", seed)
    adapter: TypeAdapter[Strategy] = TypeAdapter(own)
    try:
        strategy = adapter.validate_python(fields)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in fault["loc"])
        unknown = fault["type"] == "unexpected_keyword_argument"
        what = f"unknown setting{_nearest(where, known)}" if unknown else fault["msg"]
        raise InvalidConfiguration("invalid_setting", f"strategies.{place}.{where}: {what}") from None
    for name in known:
        value = getattr(strategy, name)
        if isinstance(value, float) and abs(value) > LARGEST:
            raise InvalidConfiguration("invalid_setting", f"strategies.{place}.{name}: must be {LARGEST:g} at most")
    return strategy


def _nearest(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f"\ndid you mean: {near[0]}" if near else ""
