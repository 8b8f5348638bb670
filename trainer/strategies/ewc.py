"""Elastic weight consolidation: parameters are held where past tasks left them, each by its Fisher information."""

from typing import Literal

import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from networks.flat import Network
from trainer.anchored import Anchored
from trainer.batch import Batch
from trainer.fisher import FisherVariant, fisher_diagonal


@dataclass(config=ConfigDict(extra="forbid"))
class EWC(Anchored):
    """½ λ Σ_p F_p (θ_p − θ*_p)², λ = `strength`, with the exact Fisher diagonal of at most `fisher_rows` rows a task.

    `separate` sums one term per past task (Kirkpatrick et al., 2017). `online` keeps one term at the latest parameters
    and scales earlier importances by γ = `decay` at each task's end (Schwarz et al., *Progress & Compress*, 2018).
    Either way cost and memory are those of one task. λ only compares between runs with the same Fisher variant.
    """

    strength: float = Field(default=10.0, ge=0, allow_inf_nan=False)
    mode: Literal["separate", "online"] = "separate"
    decay: float = Field(default=1.0, ge=0, le=1)
    fisher: FisherVariant = "exact"
    fisher_rows: int = Field(default=1000, gt=0, le=10_000_000)
    seed: int = Field(default=0, ge=0, lt=2**63)

    def _importance(self, network: Network, examples: Batch) -> Tensor:
        rows = examples.select(self._drawn(examples, self.fisher_rows).sort().values)
        draw = int(torch.randint(2**62, (), generator=self._generator))
        return fisher_diagonal(network, rows, self.fisher, draw)

    def _anchor(self, network: Network, importance: Tensor) -> None:
        if self.mode == "online":
            super()._anchor(network, importance)
        else:
            self._quadratic.add(network, importance)
