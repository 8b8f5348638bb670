"""How the learner learns, as its YAML says it."""

import math
from typing import Literal, Self

from pydantic import Field, model_validator

from contracts.inputs import Specification


class LearnerSettings(Specification):
    """The optimiser and the shape of a round.

    At most `batch_size` rows of a step are new; replay adds its own. So that few events count, a round takes at least
    `min_steps` steps: those that follow its one pass learn samples of `extra_rows` rows of it and of recent events.
    With `precision: bfloat16` the products of matrices are computed in that type while it learns, and nothing else is:
    quicker where the processor has instructions for it. With `graphs`, steps on a GPU are captured as CUDA graphs where
    the strategies allow it; modules must do the same in each step. Several workers capture none.

    With `workers`, so many processes learn the model together, each with its own `num_gpus` and `threads`: rows of a
    step, and the inputs that replay keeps, are shared out among them. Without `num_gpus` they learn on the CPU. By
    `placement: pack` Ray fills one node after the other by half, then takes the emptiest; by `spread` it takes as many
    nodes as it can.
    """

    batch_size: int = Field(default=128, gt=0, le=65_536)
    learning_rate: float = Field(default=0.001, gt=0, le=10)
    optimiser: Literal["adam", "sgd", "adagrad"] = "adam"
    precision: Literal["float32", "bfloat16"] = "float32"
    clip_norm: float = Field(default=10.0, gt=0)
    min_steps: int = Field(default=25, ge=0, le=10_000)
    extra_rows: int = Field(default=24, gt=0, le=65_536)
    graphs: bool = False
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    num_gpus: float = Field(default=0, ge=0)
    threads: int = Field(default=1, gt=0, le=256)
    workers: int = Field(default=1, gt=0, le=256)
    placement: Literal["pack", "spread"] = "pack"
    seed: int = Field(default=0, ge=0, lt=2**63)

    @model_validator(mode="after")
    def _check_gpus(self) -> Self:
        if self.workers > 1 and 0 < self.num_gpus < 1:
            raise ValueError("num_gpus: workers that learn together need a whole GPU each, or none")
        if self.workers > 1 and not self.num_gpus and self.device.startswith("cuda"):
            raise ValueError("num_gpus: workers that learn together on GPUs need one each, or device: cpu")
        return self

    def steps_for(self, rows: int, is_flooded: bool) -> int:
        """How many steps a round of so many new rows takes: no extra ones while more events are waiting."""
        one_pass = math.ceil(rows / self.batch_size)
        return one_pass if is_flooded else max(one_pass, self.min_steps)
