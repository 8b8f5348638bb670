"""How much each parameter matters to a network's outputs: magnitudes of gradients, averaged over rows."""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from contracts.errors import LifelongError
from networks.flat import Network, evaluating
from trainer.batch import Batch
from trainer.layer_rules import Magnitude
from trainer.per_sample import PerSampleSums

Choose = Callable[[Batch, Tensor], Tensor]
"""Gives vectors v `(rows, directions, columns)` for a batch and its detached logits `(rows, columns)`."""
LARGEST_CHUNK = 512
CHUNK_NUMBERS = 2**21
"""Upper bound of rows × columns² in a chunk: 16 MB in float64; larger gains no speed, smaller costs some."""
OUTLIER = 100.0
"""A row with an input so many times as large as other rows' largest ones says nothing of the task."""


class UnstableImportance(LifelongError):
    """What these rows say of the parameters is not finite, so it must not become an importance."""


def mean_importance(network: Network, examples: Batch, choose: Choose, magnitude: Magnitude, rows: int = 1) -> Tensor:
    """The mean over groups of `rows` rows of Σ_v magnitude(mean_n ∂ v_n·logits_n / ∂θ), float32 `(P,)`.

    n runs through the rows of a group, taken in their order; the last group may be smaller and counts like the others.
    With one row in each the result is exact for single samples. Rows far outside of what most rows are do not count:
    importances grow with the square of the inputs, so one of them would outweigh a task. The result is laid out by
    `network.layout`. The pass runs in evaluation mode and leaves modes, gradients, buffers and the global generator as
    they were.

    Raises:
        UnstableImportance: `non_finite_logits` or `non_finite_importance`.
        ValueError: if there are no rows.
    """
    usual = without_outliers(examples)
    if rows == 1:
        return mean_of_singles(network, usual, choose, magnitude, LARGEST_CHUNK, len(usual))
    groups, checked = list(_pieces(usual, rows)), partial(_choose_for_finite, choose)
    return _finite(network, len(usual), partial(_over_groups, network, groups, checked, magnitude))


def mean_of_singles(
    network: Network, examples: Batch, choose: Choose, magnitude: Magnitude, chunk: int, n_rows: int
) -> Tensor:
    """As `mean_importance` with one row in each group, but outliers count and the sum is divided by `n_rows`.

    At most `chunk` rows are taken at once; each costs as much as the one with the most directions.
    """
    checked = partial(_choose_for_finite, choose)
    sums = partial(_sum_of_singles, network, examples, checked, magnitude, chunk)
    return _finite(network, n_rows, lambda dtype: sums(dtype).div_(n_rows))


def in_pieces(network: Network, examples: Batch) -> Iterator[tuple[Batch, Tensor]]:
    """Some of the rows at a time with their logits `(rows, columns)` in evaluation mode, without a graph.

    Raises:
        UnstableImportance: `non_finite_logits`.
    """
    for piece in _pieces(examples, LARGEST_CHUNK):
        with evaluating(network.module), torch.no_grad():
            logits = network(piece.inputs)
        _check_finite(logits)
        yield piece, logits


def without_outliers(examples: Batch) -> Batch:
    """The rows whose largest input is at most `OUTLIER` times the median row's; all where inputs are whole numbers.

    Raises:
        UnstableImportance: `no_finite_rows`.
        ValueError: if there are no rows.
    """
    if not len(examples):
        raise ValueError("the importance that no rows give is undefined")
    if not examples.inputs.is_floating_point():
        return examples
    largest = examples.inputs.flatten(1).abs().amax(dim=1)
    typical = largest[largest > 0].median() if bool(largest.any()) else largest.median()
    usual = largest <= OUTLIER * typical.clamp(max=torch.finfo(largest.dtype).max / OUTLIER)
    if not bool(usual.any()):
        raise UnstableImportance("no_finite_rows", f"none of {len(examples)} rows is finite")
    return examples if bool(usual.all()) else examples.select(usual)


def _finite(network: Network, n_rows: int, measure: Callable[[torch.dtype], Tensor]) -> Tensor:
    """What is measured with magnitudes in float32, or in float64 where those overflow."""
    for dtype in (torch.float32, torch.float64):
        with evaluating(network.module):
            mean = measure(dtype).float()
        if bool(mean.isfinite().all()):
            return mean
    raise UnstableImportance("non_finite_importance", f"the importance that {n_rows} rows give is not finite")


def _sum_of_singles(
    network: Network, examples: Batch, choose: Choose, magnitude: Magnitude, chunk: int, dtype: torch.dtype
) -> Tensor:
    sums = PerSampleSums(network, examples.inputs[0], magnitude, dtype)
    rows = max(1, min(chunk, CHUNK_NUMBERS // len(network.columns) ** 2))
    for piece in _pieces(examples, rows):
        sums.add(piece.inputs, partial(choose, piece))
    return sums.total


def _over_groups(
    network: Network, groups: list[Batch], choose: Choose, magnitude: Magnitude, dtype: torch.dtype
) -> Tensor:
    named = dict(network.module.named_parameters())
    parameters = [named[name] for name in network.layout.names]
    total = torch.zeros(network.layout.size, dtype=torch.float64, device=network.theta.device)
    for group in groups:
        with torch.enable_grad():
            logits = network(group.inputs)
        for direction in choose(group, logits.detach()).unbind(dim=1):
            found = torch.autograd.grad(logits, parameters, direction, retain_graph=True, materialize_grads=True)
            mean = torch.cat([gradient.flatten() for gradient in found]).to(dtype).div_(len(group))
            total += magnitude(mean)
    return total.div_(len(groups))


def _choose_for_finite(choose: Choose, batch: Batch, logits: Tensor) -> Tensor:
    _check_finite(logits)
    return choose(batch, logits)


def _check_finite(logits: Tensor) -> None:
    if not bool(logits.isfinite().all()):
        raise UnstableImportance("non_finite_logits", "the network's outputs are not finite")


def _pieces(examples: Batch, rows: int) -> Iterator[Batch]:
    for start in range(0, len(examples), rows):
        yield examples.select(slice(start, start + rows))
