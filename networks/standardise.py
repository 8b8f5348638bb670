"""Columns of any scale as numbers around 0: what networks learn best from, fitted on the stream's first rows."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

FITTED_ROWS = 1000
"""After this many the scale is kept for good: what old tasks learned must go on meaning the same."""
LARGEST = 10.0
"""Standard deviations; a number further out counts as this far, so that no outlier outweighs all else."""


class Standardise(nn.Module):
    """Takes the mean off the fitted columns of rows `(batch, n)` and divides them by their standard deviation.

    Mean and deviation are those of the rows given to `observe` so far, the first thousand or a few more (Welford, *Note
    on a Method for Calculating Corrected Sums of Squares and Products*, 1962, merged by batches). They are buffers, so
    every version has its own with its weights. Before any row was observed, columns stay as they are.
    """

    is_fitted: Tensor
    count: Tensor
    mean: Tensor
    squares: Tensor

    def __init__(self, n_columns: int, fitted: Sequence[int]) -> None:
        super().__init__()
        is_fitted = torch.zeros(n_columns, dtype=torch.bool)
        is_fitted[list(fitted)] = True
        self.register_buffer("is_fitted", is_fitted, persistent=False)
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(n_columns, dtype=torch.float64))
        self.register_buffer("squares", torch.zeros(n_columns, dtype=torch.float64))

    def forward(self, rows: Tensor) -> Tensor:
        """Rows `(batch, n)`, the fitted columns of which lie in -10…10."""
        scaled = ((rows - self.mean) / self._deviation()).clamp(-LARGEST, LARGEST)
        return torch.where(self._is_active(), scaled, rows).to(rows.dtype)

    def units(self) -> tuple[Tensor, Tensor]:
        """Mean and deviation of each column `(n,)` in float32, 0 and 1 for what is not standardised."""
        is_active = self._is_active()
        mean = torch.where(is_active, self.mean, 0.0)
        return mean.float(), torch.where(is_active, self._deviation(), 1.0).float()

    def _is_active(self) -> Tensor:
        return self.is_fitted & (self.count > 0)

    def _deviation(self) -> Tensor:
        deviation = (self.squares / self.count.clamp(min=1)).sqrt()
        return torch.where(deviation > 0, deviation, 1.0)

    def observe(self, rows: Tensor) -> None:
        """Takes new rows `(batch, n)` into account, unless there were enough before."""
        if self.count >= FITTED_ROWS or not len(rows):
            return
        rows = rows.double()
        size, mean = len(rows), rows.mean(dim=0)
        total, difference = self.count + size, mean - self.mean
        self.squares += ((rows - mean) ** 2).sum(dim=0) + difference**2 * (self.count * size / total)
        self.mean += difference * (size / total)
        self.count += size


def observe(module: nn.Module, rows: Tensor) -> None:
    """Shows encoded instances `(batch, *row_shape)` that are about to be learned to what fits itself to them."""
    for part in module.modules():
        if isinstance(part, Standardise):
            part.observe(rows)
