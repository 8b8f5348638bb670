"""Dark experience replay: the network keeps answering exemplars as it did when it learned them."""

import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from networks.flat import Network
from trainer.batch import Batch, append
from trainer.memory import ReplayBuffer
from trainer.states import State
from trainer.strategy import Fetch, Naive

LARGEST_LOGIT = 1e6
"""What is larger was an outlier's answer: its square would outweigh all that a network can learn."""
NOTHING = torch.empty(0, dtype=torch.int64)


@dataclass(config=ConfigDict(extra="forbid"))
class DER(Naive):
    """α mean (z(x′) − z′)² over `rows` exemplars x′ and their columns + β mean CE(x″, y″) over `rows` others x″.

    z′ are the logits of the step in which x′ was new; columns that came later are not compared, nor are outliers'
    logits. α = `alpha`; β = `beta` 0 is DER, any other DER++. Exemplars are drawn with replacement from a reservoir of
    `capacity` examples, which also holds a logit for each column. (Buzzega et al., *Dark Experience for General
    Continual Learning*, 2020, eq. 5 and 6; the mean over columns is that of the authors' code, to which published α
    refer.)
    """

    capacity: int = Field(default=2000, gt=0, le=10_000_000)
    rows: int = Field(default=64, gt=0, le=65_536)
    alpha: float = Field(default=0.5, ge=0, allow_inf_nan=False)
    beta: float = Field(default=0.5, ge=0, allow_inf_nan=False)
    seed: int = Field(default=0, ge=0, lt=2**63)

    def __post_init__(self) -> None:
        """Starts with an empty buffer and nothing drawn."""
        self._buffer = ReplayBuffer(self.capacity, balanced=False, seed=self.seed)
        self._logits = torch.empty(0, 0)
        self._widths = torch.zeros(self.capacity, dtype=torch.int64)
        self._first, self._slots, self._ids = 0, NOTHING, NOTHING

    def replay(self, network: Network, batch: Batch) -> Batch:  # noqa: ARG002
        """The batch with exemplars that `penalty` compares, and for DER++ others that count β in the loss."""
        if len(self._buffer) == 0:
            return batch
        self._first, self._slots = len(batch), self._buffer.draw(self.rows, beside=NOTHING)
        compared = self._buffer.read(self._slots)
        self._ids = compared.ids
        batch = append(batch, compared, keeps=1.0, share=0.0)
        if self.beta == 0:
            return batch
        return append(batch, self._buffer.sample(self.rows, beside=NOTHING), keeps=1.0, share=self.beta)

    def penalty(self, network: Network, batch: Batch, logits: Tensor) -> Tensor:  # noqa: ARG002
        """α times the mean squared change of the logits that `replay` put into this batch; zero for any other."""
        rows = slice(self._first, self._first + len(self._ids))
        if len(self._ids) == 0 or not torch.equal(batch.ids[rows], self._ids):
            return logits.new_zeros(())
        self._hold(logits.shape[1], logits.device)
        slots = self._slots.to(logits.device)
        past, widths = self._logits[slots], self._widths.to(logits.device)[slots]
        compared = (torch.arange(past.shape[1], device=logits.device) < widths[:, None]) & (past.abs() <= LARGEST_LOGIT)
        change = (logits[rows, : past.shape[1]] - past).masked_fill(~compared, 0.0)
        return self.alpha * change.square().sum() / compared.sum().clamp(min=1)

    def after_step(self, network: Network, batch: Batch, logits: Tensor) -> None:  # noqa: ARG002
        """Offers the new rows to the buffer, with what the network answered them."""
        slots, rows = self._buffer.insert(batch)
        self._hold(logits.shape[1], logits.device)
        self._logits[slots.to(logits.device), : logits.shape[1]] = logits[rows.to(logits.device)]
        self._widths[slots] = logits.shape[1]

    def state_dict(self) -> State:
        """The buffer as ids, keys and generator, and the logits."""
        count = len(self._buffer)
        logits, widths = self._logits[:count].clone(), self._widths[:count].clone()
        return {**self._buffer.state_dict(), "logits": logits, "widths": widths}

    def load_state_dict(self, state: State, examples: Fetch) -> None:
        """Fills the buffer again with the same examples and logits."""
        rest = dict(state)
        logits, widths = rest.pop("logits"), rest.pop("widths")
        self._hold(logits.shape[1], logits.device)
        self._logits[: len(logits)] = logits
        self._widths[: len(widths)] = widths
        self._buffer.load_state_dict(rest, examples)

    def _hold(self, columns: int, device: torch.device) -> None:
        """Makes room for so many columns, on that device."""
        if self._logits.shape[1] < columns or self._logits.device != device:
            held = torch.zeros(self.capacity, max(columns, self._logits.shape[1]), device=device)
            held[: len(self._logits), : self._logits.shape[1]] = self._logits
            self._logits = held
