"""Exact tests and bounds for counts of probe rows, in plain `math`: importing scipy costs more than all of them."""

import math
from statistics import NormalDist


def binomial_at_most(successes: int, trials: int, probability: float) -> float:
    """`P(X ≤ successes)` for X binomial, in 0…1, exact up to rounding.

    Example:
        >>> binomial_at_most(1, 2, 0.5)
        0.75
    """
    if successes >= trials or probability <= 0.0:
        return 1.0
    if successes < 0 or probability >= 1.0:
        return 0.0
    log_p, log_q = math.log(probability), math.log1p(-probability)
    constant = math.lgamma(trials + 1)
    terms = (
        math.exp(constant - math.lgamma(k + 1) - math.lgamma(trials - k + 1) + k * log_p + (trials - k) * log_q)
        for k in range(successes + 1)
    )
    return min(1.0, math.fsum(terms))


def mcnemar_loss(lost: int, gained: int) -> float:
    """One-sided exact McNemar p: the chance of losing at least `lost` of the changed rows if both models are equal.

    `P(X ≥ lost)` for X binomial with `lost + gained` trials and probability ½; 1 when no row changed
    (McNemar, *Note on the sampling error of the difference between correlated proportions*, 1947; exact form).

    Example:
        >>> mcnemar_loss(lost=5, gained=0)
        0.03125
    """
    return binomial_at_most(gained, lost + gained, 0.5)


def wilson_lower(successes: int, trials: int, confidence: float = 0.95) -> float:
    """One-sided lower confidence bound of a share, in 0…1; 0 when nothing was tried.

    Source: Wilson, *Probable inference, the law of succession, and statistical inference*, 1927.

    Example:
        >>> round(wilson_lower(2, 2), 3)
        0.425
    """
    if trials == 0:
        return 0.0
    z = NormalDist().inv_cdf(confidence)
    share = successes / trials
    centre = share + z * z / (2 * trials)
    radius = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return max(0.0, (centre - radius) / (1 + z * z / trials))
