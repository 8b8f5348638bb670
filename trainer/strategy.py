"""What a continual-learning method is to the learner: a few hooks, composed as plain values, found by name.

Reading names and errors needs no torch; only building a strategy does.
"""

import difflib
import itertools
import math
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from pydantic import TypeAdapter, ValidationError

from contracts.errors import InvalidConfiguration
from contracts.labels import Scenario
from networks.settings import Architecture, NetworkSpec, PerTaskSpec, Sharing
from trainer.states import State, join, part_of

if TYPE_CHECKING:
    from torch import Tensor

    from networks.flat import Network
    from trainer.batch import Batch

Fetch = Callable[["Tensor"], "Batch"]
"""Looks examples up by their ids and returns them in that order."""
LARGEST = 1e30
"""Settings are computed with in float32, squared gradients beside them."""
Owned = Literal["loss", "parameters", "predictor"]
"""What a step minimises, every bit of the parameters, what answers."""


class Strategy(Protocol):
    """A continual-learning method as the learner calls it.

    It knows the network, the batch and its own state, nothing else, and draws from its own generator only.
    """

    def before_task(self, network: "Network", task: int) -> None:
        """Prepares for a task's first rows, and again when the head has grown since."""
        ...

    def replay(self, network: "Network", batch: "Batch") -> "Batch":
        """The batch with exemplars appended; its own rows stay first, and but for weights and mask unchanged."""
        ...

    def penalty(self, network: "Network", batch: "Batch", logits: "Tensor") -> "Tensor":
        """A scalar ≥ 0, added to the loss; its backward pass accumulates into `network.gradient`."""
        ...

    def project_gradients(self, network: "Network") -> None:
        """Changes `network.gradient` in place, after the backward pass of the step for which `penalty` was called."""
        ...

    def after_step(self, network: "Network", batch: "Batch", logits: "Tensor") -> None:
        """Takes note of the new rows of a step and their detached logits (rows, columns)."""
        ...

    def after_task(self, network: "Network", examples: "Batch") -> None:
        """Consolidates a task that ended, given its own examples."""
        ...

    def predictor(self, network: "Network") -> "Network":
        """What answers with this strategy, is measured and served: the network itself unless the method says otherwise.

        Another one is a copy of the same specification, such as `Network.with_head` makes.
        """
        ...

    def is_capturable(self) -> bool:
        """Whether penalty and projection may be captured as a CUDA graph.

        Then they compute with what is on the device alone, and nothing that they use is exchanged until a task ends.
        """
        ...

    def curvature(self) -> float:
        """An upper bound of the penalty's second derivatives: gradient descent diverges at a rate ≥ 2 / curvature."""
        ...

    def state_dict(self) -> State:
        """All that `load_state_dict` needs to continue bit for bit; examples appear as ids."""
        ...

    def load_state_dict(self, state: State, examples: Fetch) -> None:
        """Continues from a saved state."""
        ...


class Naive:
    """Plain fine-tuning: every hook does nothing. The neutral element of `Chain` and the lower bound of a study.

    A strategy declares what only one of a chain can have: `owns` names it, and who owns the parameters stands alone.
    It may need one `scenario`, or instances that are numbers, and keep its tasks apart in the network by a `sharing`.
    """

    owns: ClassVar[frozenset[Owned]] = frozenset()
    scenario: ClassVar[Scenario | None] = None
    sharing: ClassVar[Sharing | None] = None
    needs_numbers: ClassVar[bool] = False

    def before_task(self, network: "Network", task: int) -> None:
        """Nothing to prepare."""

    def replay(self, network: "Network", batch: "Batch") -> "Batch":  # noqa: ARG002
        """The batch itself."""
        return batch

    def penalty(self, network: "Network", batch: "Batch", logits: "Tensor") -> "Tensor":  # noqa: ARG002
        """Zero."""
        return logits.new_zeros(())

    def project_gradients(self, network: "Network") -> None:
        """The gradient stays as it is."""

    def after_step(self, network: "Network", batch: "Batch", logits: "Tensor") -> None:
        """Nothing to note."""

    def after_task(self, network: "Network", examples: "Batch") -> None:
        """Nothing to consolidate."""

    def predictor(self, network: "Network") -> "Network":
        """The network itself."""
        return network

    def is_capturable(self) -> bool:
        """Whether neither penalty nor projection is overridden."""
        own = type(self)
        return own.penalty is Naive.penalty and own.project_gradients is Naive.project_gradients

    def curvature(self) -> float:
        """Zero: there is no penalty."""
        return 0.0

    def state_dict(self) -> State:
        """Empty."""
        return {}

    def load_state_dict(self, state: State, examples: Fetch) -> None:
        """Nothing to restore."""


class Chain:
    """Several strategies as one: exemplars are appended in order, penalties add up, projections follow each other."""

    def __init__(self, strategies: Sequence[Strategy]) -> None:
        self._strategies = list(strategies)
        self._penalising = [strategy for strategy in strategies if type(strategy).penalty is not Naive.penalty]

    def before_task(self, network: "Network", task: int) -> None:
        """Prepares every strategy."""
        for strategy in self._strategies:
            strategy.before_task(network, task)

    def replay(self, network: "Network", batch: "Batch") -> "Batch":
        """The batch with the exemplars of every strategy."""
        for strategy in self._strategies:
            batch = strategy.replay(network, batch)
        return batch

    def penalty(self, network: "Network", batch: "Batch", logits: "Tensor") -> "Tensor":
        """The sum of the penalties."""
        penalties = [strategy.penalty(network, batch, logits) for strategy in self._penalising]
        return sum(penalties[1:], penalties[0]) if penalties else logits.new_zeros(())

    def project_gradients(self, network: "Network") -> None:
        """One projection after the other."""
        for strategy in self._strategies:
            strategy.project_gradients(network)

    def after_step(self, network: "Network", batch: "Batch", logits: "Tensor") -> None:
        """Every strategy takes note."""
        for strategy in self._strategies:
            strategy.after_step(network, batch, logits)

    def after_task(self, network: "Network", examples: "Batch") -> None:
        """Every strategy consolidates."""
        for strategy in self._strategies:
            strategy.after_task(network, examples)

    def predictor(self, network: "Network") -> "Network":
        """The predictor of the last strategy that has one of its own, else the network."""
        predictors = [strategy.predictor(network) for strategy in self._strategies]
        own = [predictor for predictor in predictors if predictor is not network]
        return own[-1] if own else network

    def is_capturable(self) -> bool:
        """Whether all strategies are."""
        return all(strategy.is_capturable() for strategy in self._strategies)

    def curvature(self) -> float:
        """The sum of the bounds, which bounds the sum."""
        return sum(strategy.curvature() for strategy in self._strategies)

    def state_dict(self) -> State:
        """The states of all, each name prefixed by its strategy's place."""
        return join({str(place): strategy.state_dict() for place, strategy in enumerate(self._strategies)})

    def load_state_dict(self, state: State, examples: Fetch) -> None:
        """Continues every strategy from its part of the state."""
        for place, strategy in enumerate(self._strategies):
            strategy.load_state_dict(part_of(state, str(place)), examples)


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
    for name, value in fields.items():
        if isinstance(value, float) and LARGEST < abs(value) < math.inf:
            raise InvalidConfiguration("invalid_setting", f"strategies.{place}.{name}: must be {LARGEST:g} at most")
    try:
        return adapter.validate_python(fields)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in fault["loc"])
        unknown = fault["type"] == "unexpected_keyword_argument"
        what = f"unknown setting{_nearest(where, known)}" if unknown else fault["msg"]
        raise InvalidConfiguration("invalid_setting", f"strategies.{place}.{where}: {what}") from None


def _nearest(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f"\ndid you mean: {near[0]}" if near else ""
