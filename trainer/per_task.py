"""What the methods that give every task parameters of its own have in common."""

from dataclasses import replace
from typing import ClassVar

from contracts.labels import Scenario
from networks.flat import Network
from networks.per_task import TaskNetwork
from trainer.batch import Batch
from trainer.strategy import Naive, Owned


class PerTask(Naive):
    """Closes each task in the network when it ends; from then on nothing is learned of it and its answers stay."""

    owns: ClassVar[frozenset[Owned]] = frozenset({"parameters", "predictor"})
    scenario: ClassVar[Scenario | None] = "task"

    def replay(self, network: Network, batch: Batch) -> Batch:
        """The batch; rows of closed tasks have no share of the loss."""
        is_open = ~of_tasks(network).closed[batch.targets]
        return batch if bool(is_open.all()) else replace(batch, weights=batch.shares * is_open)

    def after_task(self, network: Network, examples: Batch) -> None:
        """Closes the task."""
        if len(examples):
            of_tasks(network).close(task_of(network, examples))


def of_tasks(network: Network) -> TaskNetwork:
    """The network as one that keeps tasks apart, as `trainer.catalogue.architecture` says that it must be.

    Raises:
        TypeError: it is another one.
    """
    if not isinstance(network, TaskNetwork):
        raise TypeError("the strategy needs the network that trainer.catalogue.architecture names")
    return network


def task_of(network: Network, examples: Batch) -> str:
    """The name of the task that all examples are of."""
    return str(network.columns[int(examples.targets[0])].task)
