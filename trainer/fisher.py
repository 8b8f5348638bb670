"""The Fisher information of a network's parameters: its diagonal, exact for each sample, never squared batch means."""

from functools import partial
from typing import Literal

import torch
from torch import Tensor

from networks.flat import Network
from trainer.batch import Batch
from trainer.importance import in_pieces, mean_importance, mean_of_singles, without_outliers
from trainer.loss import competing, masked

FisherVariant = Literal["exact", "sampled", "predicted", "empirical"]
NEGLIGIBLE = 1e-15
"""Factors smaller than this count as zero: their squares would be denormal numbers, which are slow."""
LEFT_OUT = 1e-6
"""The largest share of the logits' covariance that `exact` leaves out: it trades exactness for backward passes."""
FEW_COLUMNS = 3
"""With so few, knowing beforehand which rows are certain costs `exact` more than it saves."""
EXACT_CHUNK = 128
"""Rows that `exact` takes at once: larger mixes rows of different certainty, smaller has more overhead."""


def fisher_diagonal(network: Network, examples: Batch, variant: FisherVariant = "exact", seed: int = 0) -> Tensor:
    """The mean over rows of E_y[(∂ log p(y|x) / ∂θ)²], float32 `(P,)` laid out by `network.layout`, every entry ≥ 0.

    `exact` takes the expectation over the model's own labels y ~ p(·|x), `sampled` draws one label a row from it
    (reproducible by `seed`), `predicted` uses the row's likeliest label and `empirical` its target. Per row only the
    columns that compete count. The pass leaves the network and the global generator as they were. Its cost is one
    forward and one activation-only backward pass; for `exact` one more forward where there are many columns, and none
    to as many backward passes as a row has columns, less one: the more certain a row, the fewer.
    (Martens, *New insights and perspectives on the natural gradient method*, 2020, §5; van de Ven, *On the
    computation of the Fisher information in continual learning*, 2025: EXACT, SAMPLE, EMPIRICAL.)

    `exact` is Σ_n J_nᵀ C_n J_n / N on the diagonal, J_n the derivative of row n's logits and C_n = diag(p) − p pᵀ. It
    leaves out a part R_n of each C_n, positive semidefinite, with s_n tr R_n ≤ 1e-6 Σ_m s_m tr C_m / N or 1e-30, where
    s = 1 + max x² over a row's inputs x stands for the size of J: so no entry is too large, and all rows together lack
    at most a millionth of Σ_n s_n tr C_n. Entries that are tiny beside the largest may lack more of themselves.

    Raises:
        UnstableImportance: `non_finite_logits` or `non_finite_importance`.
        ValueError: if there are no rows.
    """
    if variant == "exact" and len(network.columns) > FEW_COLUMNS:
        return _exact(network, without_outliers(examples))
    if variant == "exact":
        return mean_importance(network, examples, partial(_factor, network, NEGLIGIBLE**2), torch.square)
    choose = partial(_towards_a_label, network, variant, torch.Generator().manual_seed(seed))
    return mean_importance(network, examples, choose, torch.square)


def _exact(network: Network, examples: Batch) -> Tensor:
    """Rows that need as many directions go together; those that need none are not visited."""
    pieces = list(in_pieces(network, examples))
    whole = sum(float(_scaled_rest(network, *piece)[:, 0].sum()) for piece in pieces) / len(examples)
    negligible = max(LEFT_OUT * whole, NEGLIGIBLE**2)
    counts = [(_scaled_rest(network, *piece) > negligible).sum(dim=1) for piece in pieces]
    needed, order = torch.cat(counts).sort(stable=True)
    rows = examples.select(order[needed > 0])
    if not len(rows):
        return torch.zeros_like(network.theta)
    choose = partial(_factor, network, negligible)
    return mean_of_singles(network, rows, choose, torch.square, EXACT_CHUNK, len(examples))


def _scaled_rest(network: Network, batch: Batch, logits: Tensor) -> Tensor:
    """The traces (rows, columns) that are left after k directions, times the rows' scales."""
    p = _probabilities(network, batch, logits).sort(descending=True).values
    return _left_after(p) * _scales(batch)


def _scales(batch: Batch) -> Tensor:
    """1 + max x² over the inputs x of each row, float64 (rows, 1); 1 where inputs are whole numbers."""
    if not batch.inputs.is_floating_point():
        return torch.ones(len(batch), 1, dtype=torch.float64, device=batch.inputs.device)
    return 1 + batch.inputs.flatten(1).abs().amax(dim=1, keepdim=True).double().square()


def _probabilities(network: Network, batch: Batch, logits: Tensor) -> Tensor:
    return masked(logits.double(), competing(network, batch)).softmax(dim=1)


def _towards_a_label(
    network: Network, variant: FisherVariant, generator: torch.Generator, batch: Batch, logits: Tensor
) -> Tensor:
    """One vector v a row, `(rows, 1, columns)`: v·logits has the derivative of the log probability of one label."""
    p, labels = _probabilities(network, batch, logits), batch.targets
    if variant == "predicted":
        labels = p.argmax(dim=1)
    if variant == "sampled":
        labels = torch.multinomial(p.cpu(), 1, generator=generator).squeeze(1).to(p.device)
    one_hot = torch.zeros_like(p).scatter_(1, labels[:, None], 1.0)
    return (one_hot - p).unsqueeze(1).float()


def _factor(network: Network, negligible: float, batch: Batch, logits: Tensor) -> Tensor:
    """The columns of L with L Lᵀ = diag(p) − p pᵀ, the covariance of ∂ log p(y) / ∂ logits, for each row.

    With the probabilities in descending order and T_k = Σ_{j≥k} p_j, the Cholesky factor is
    L_kk = √(p_k T_{k+1} / T_k) and L_jk = −p_j √(p_k / (T_k T_{k+1})) for j > k: nothing cancels, and there is one
    column less than there are labels that a row can have. A row's columns are zero from where all that is left is
    negligible, and there are only as many as one of the rows needs.
    """
    p, order = _probabilities(network, batch, logits).sort(dim=1, descending=True, stable=True)
    is_needed = _left_after(p) * _scales(batch) > negligible
    n_directions = int(is_needed.sum(dim=1).max())
    tail = _tails(p)
    now, after, q, is_needed = (part[:, :n_directions] for part in (tail, tail[:, 1:], p, is_needed))
    scale = torch.where(is_needed, (q / now / after).sqrt(), torch.zeros_like(q))
    factor = -(p[:, :, None] * scale[:, None, :]).tril(-1)
    factor.diagonal(dim1=1, dim2=2).copy_(scale * after)
    unsorted = torch.empty_like(factor).scatter_(1, order[:, :, None].expand_as(factor), factor)
    return torch.nn.functional.hardshrink(unsorted.transpose(1, 2).float(), NEGLIGIBLE)


def _left_after(p: Tensor) -> Tensor:
    """The trace of diag(p) − p pᵀ less the first k columns' share, k = 0, 1, …, for descending rows `p`.

    It is T_k − Σ_{j≥k} p_j² / T_k = 2 Σ_{j≥k} p_j T_{j+1} / T_k, at most 2 T_{k+1}, and does not grow with k.
    """
    tail = _tails(p)
    after = torch.nn.functional.pad(tail[:, 1:], (0, 1))
    return 2 * _tails(p * after) / tail.clamp(min=torch.finfo(p.dtype).tiny)


def _tails(p: Tensor) -> Tensor:
    """Σ_{j≥k} p_j for each k."""
    return p.flip(1).cumsum(1).flip(1)
