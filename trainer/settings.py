"""How the learner learns, as its YAML says it."""

import math
from typing import Literal

from pydantic import Field

from contracts.inputs import Specification


class LearnerSettings(Specification):
    """The optimiser and the shape of a round.

    `batch_size` rows are new in a step; replay adds its own. A round of few rows takes `min_steps` steps, those after
    its one pass over the new rows on `recent_rows` rows each of the newest examples, so that few events count.
    """

    batch_size: int = Field(default=128, gt=0, le=65_536)
    learning_rate: float = Field(default=0.001, gt=0, le=10)
    optimiser: Literal["adam", "sgd"] = "adam"
    clip_norm: float = Field(default=10.0, gt=0)
    min_steps: int = Field(default=50, ge=0, le=10_000)
    recent_rows: int = Field(default=24, gt=0, le=65_536)
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    num_gpus: float = Field(default=0, ge=0)
    threads: int = Field(default=1, gt=0, le=256)
    seed: int = Field(default=0, ge=0, lt=2**63)

    def steps_for(self, rows: int, is_flooded: bool) -> int:
        """How many steps a round of so many new rows takes: no extra ones while more events are waiting."""
        one_pass = math.ceil(rows / self.batch_size)
        return one_pass if is_flooded else max(one_pass, self.min_steps)
