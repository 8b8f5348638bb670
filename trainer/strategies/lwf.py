"""Learning without forgetting: on new examples, the network keeps answering as it did when the last task ended."""

from dataclasses import replace
from typing import Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from networks.flat import Network
from trainer.batch import Batch
from trainer.distillation import Teacher, divergence
from trainer.states import State, join, part_of
from trainer.strategy import Fetch, Naive


@dataclass(config=ConfigDict(extra="forbid"))
class LwF(Naive):
    """CE + λ Σ_heads T² KL(teacher ‖ network), λ = `strength` and T = `temperature`, both averaged over a step's rows.

    The teacher is the network at the end of the last task; a head is a task's columns, all columns outside the task
    scenario. Only columns that the teacher had count; with `new_columns` those that a head gained since compete too.
    (Li and Hoiem, *Learning without Forgetting*, 2016, eq. 1–3; the divergence differs from their cross-entropy by a
    constant.) With `weighting: tasks` the loss of task t is CE / t + (1 − 1/t) λ mean_heads T² KL(teacher ‖ network),
    so that every task counts alike (van de Ven and Tolias, *Generative replay with feedback connections*, 2018).
    """

    strength: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    temperature: float = Field(default=2.0, gt=0, allow_inf_nan=False)
    weighting: Literal["sum", "tasks"] = "sum"
    new_columns: bool = False

    def __post_init__(self) -> None:
        """Starts without a teacher."""
        self._teacher = Teacher()
        self._ended = 0

    def replay(self, network: Network, batch: Batch) -> Batch:  # noqa: ARG002
        """The same rows; of task t each counts 1/t of what it did when tasks are to count alike."""
        if self.weighting == "sum" or self._ended == 0:
            return batch
        return replace(batch, weights=batch.shares / (self._ended + 1))

    def penalty(self, network: Network, batch: Batch, logits: Tensor) -> Tensor:
        """The distance from the teacher's answers on the step's rows, zero before the first task ended."""
        if not self._teacher.is_ready:
            return logits.new_zeros(())
        targets = self._teacher(network, batch.inputs)
        distances = divergence(network, logits, targets, self.temperature, self.new_columns)
        if self.weighting == "sum":
            return self.strength * distances.sum(dim=1).mean()
        return self.strength * (1 - 1 / (self._ended + 1)) * distances.mean()

    def after_task(self, network: Network, examples: Batch) -> None:  # noqa: ARG002
        """Takes the network as it is now for the teacher."""
        self._teacher.capture(network)
        self._ended += 1

    def state_dict(self) -> State:
        """The teacher, and how many tasks have ended."""
        return {**join({"teacher": self._teacher.state_dict()}), "ended": self._ended}

    def load_state_dict(self, state: State, examples: Fetch) -> None:  # noqa: ARG002
        """Takes the teacher back."""
        self._teacher.load_state_dict(part_of(state, "teacher"))
        self._ended = state["ended"]
