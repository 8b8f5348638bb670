"""Experience replay: every step also learns exemplars of what came before."""

from typing import ClassVar, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor
from torch.nn.functional import normalize

from networks.flat import Network
from trainer import herding
from trainer.batch import Batch, append, extend
from trainer.memory import ReplayBuffer
from trainer.rows import Owns
from trainer.states import State
from trainer.strategy import Fetch, Naive


@dataclass(config=ConfigDict(extra="forbid"))
class Replay(Naive):
    """Appends `rows` exemplars to each step, drawn from a buffer of `capacity` examples.

    The buffer is a reservoir of the whole stream, or it holds every class in equal number and replays those that the
    new rows lack: so a class of few examples counts as much as one of many, and what is new does not drown the rest.
    With `herding` a task that ends leaves as many rows of each class, but those whose mean is nearest to the class's
    in the network's features. (Rolnick et al., *Experience Replay for Continual Learning*, 2019.)

    Every row of a step counts alike, or by `weighting: tasks` the new ones count 1/T in all and the exemplars 1 − 1/T
    after T tasks (van de Ven et al., *Three types of incremental learning*, 2022). With `scope: past` rows are kept,
    and so replayed, from their task's end on: the rehearsal of Hsu et al., *Re-evaluating Continual Learning
    Scenarios*, 2018.
    """

    is_divisible: ClassVar[bool] = True
    capacity: int = Field(default=2000, gt=0, le=10_000_000)
    rows: int = Field(default=128, gt=0, le=65_536)
    selection: Literal["class_balanced", "reservoir", "herding"] = "class_balanced"
    weighting: Literal["rows", "tasks"] = "rows"
    scope: Literal["all", "past"] = "all"
    seed: int = Field(default=0, ge=0, lt=2**63)

    def __post_init__(self) -> None:
        """Starts with an empty buffer."""
        self._buffer = ReplayBuffer(self.capacity, self.selection != "reservoir", self.seed)
        self._tasks = 1

    def divide(self, owns: Owns) -> None:
        """Divides the buffer."""
        self._buffer.divide(owns)

    def before_task(self, network: Network, task: int) -> None:  # noqa: ARG002
        """Counts the tasks so far."""
        self._tasks = max(self._tasks, task + 1)

    def replay(self, network: Network, batch: Batch) -> Batch:  # noqa: ARG002
        """The batch with `rows` exemplars, or the batch itself while nothing was learned yet."""
        if len(self._buffer) == 0:
            return batch
        exemplars = self._buffer.sample(self.rows, beside=batch.targets)
        if self.weighting == "rows":
            return extend(batch, exemplars)
        new = 1 / self._tasks
        return append(batch, exemplars, keeps=new, share=1 - new)

    def after_step(self, network: Network, batch: Batch, logits: Tensor) -> None:  # noqa: ARG002
        """Offers the new rows to the buffer, unless their task must end first."""
        if self.scope == "all":
            self._buffer.insert(batch)

    def after_task(self, network: Network, examples: Batch) -> None:
        """Offers the buffer what it was not shown yet, and exchanges rows for those that herding chooses."""
        if self.scope == "past":
            self._buffer.insert(examples)
        if self.selection == "herding":
            self._buffer.exchange(examples, lambda rows, count: _herded(network, rows, count))

    def state_dict(self) -> State:
        """The buffer as ids, keys and generator, and the number of tasks."""
        return {**self._buffer.state_dict(), "tasks": self._tasks}

    def load_state_dict(self, state: State, examples: Fetch) -> None:
        """Fills the buffer again with the same examples."""
        self._tasks = state["tasks"]
        self._buffer.load_state_dict(state, examples)


def _herded(network: Network, rows: Batch, count: int) -> Tensor:
    """Which rows herding chooses by their features of length one."""
    return herding.select(normalize(herding.features_of(network, rows.inputs)), count)
