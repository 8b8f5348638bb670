"""What a continual-learning method is to the learner: a few hooks, composed as plain values."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

from contracts.labels import Scenario
from networks.settings import Sharing
from trainer.states import State, join, part_of

if TYPE_CHECKING:
    from torch import Tensor

    from networks.flat import Network
    from trainer.batch import Batch
    from trainer.rows import Owns

Fetch = Callable[["Tensor"], "Batch"]
"""Looks examples up by their ids and returns them in that order."""
Owned = Literal["loss", "parameters", "predictor"]
"""What a step minimises, every bit of the parameters, what answers."""


class Strategy(Protocol):
    """A continual-learning method as the learner calls it.

    It knows the network, the batch and its own state, nothing else, and draws from its own generator only.
    """

    def divide(self, owns: "Owns") -> None:
        """Told first, in each of several processes: the inputs of examples that `owns` does not pick need not be kept.

        Each process computes the rows that it owns. All are told the same new rows, but `logits` are right only for
        rows that are owned, and what `penalty` gives is added once for all.
        """
        ...

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
    It may need one `scenario`, or instances that are numbers, and keep its tasks apart in the network by a `sharing`. A
    penalty is still if it uses nothing but what is on the device and is exchanged only when a task ends. A strategy is
    divisible if its hooks use no logits, and no inputs but those of new rows: several processes can then learn with it.
    """

    owns: ClassVar[frozenset[Owned]] = frozenset()
    scenario: ClassVar[Scenario | None] = None
    sharing: ClassVar[Sharing | None] = None
    needs_numbers: ClassVar[bool] = False
    has_still_penalty: ClassVar[bool] = False
    is_divisible: ClassVar[bool] = False

    def divide(self, owns: "Owns") -> None:
        """Nothing is kept."""

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
        """Whether there is no projection, no penalty but a still one, and a network that asks nothing of its rows."""
        own = type(self)
        has_still_penalty = own.has_still_penalty or own.penalty is Naive.penalty
        return own.sharing is None and has_still_penalty and own.project_gradients is Naive.project_gradients

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

    def divide(self, owns: "Owns") -> None:
        """Every strategy keeps what is owned."""
        for strategy in self._strategies:
            strategy.divide(owns)

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
