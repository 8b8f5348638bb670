"""Tails and bounds against scipy, which comes with scikit-learn and is only needed here."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest  # type: ignore[import-untyped]

from trainer.significance import binomial_at_most, mcnemar_loss, wilson_lower

pytestmark = pytest.mark.unit

COUNTS = st.integers(0, 3000)


@settings(deadline=None)
@given(COUNTS, COUNTS, st.floats(0.001, 0.999))
def test_the_tail_is_scipys(successes: int, trials: int, probability: float) -> None:
    expected = float(binom.cdf(successes, trials, probability))
    assert binomial_at_most(successes, trials, probability) == pytest.approx(expected, rel=1e-7, abs=1e-200)


@settings(deadline=None)
@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_is_the_exact_sign_test(lost: int, gained: int) -> None:
    changed = lost + gained
    expected = binomtest(lost, changed, 0.5, alternative="greater").pvalue if changed else 1.0
    assert mcnemar_loss(lost, gained) == pytest.approx(expected, rel=1e-7)


@settings(deadline=None)
@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_equals_whole_numbers_counted_out(lost: int, gained: int) -> None:
    changed = lost + gained
    ways = sum(math.comb(changed, k) for k in range(lost, changed + 1))
    assert mcnemar_loss(lost, gained) == pytest.approx(ways / 2**changed, rel=1e-10)


@settings(deadline=None)
@given(st.integers(1, 2000), st.data())
def test_wilson_is_scipys_lower_end(trials: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, trials))
    two_sided = binomtest(successes, trials).proportion_ci(confidence_level=0.9, method="wilson")
    assert wilson_lower(successes, trials) == pytest.approx(two_sided.low, abs=1e-9)


def test_the_ends() -> None:
    assert binomial_at_most(-1, 5, 0.5) == 0.0
    assert binomial_at_most(5, 5, 0.5) == 1.0
    assert binomial_at_most(0, 5, 0.0) == 1.0
    assert binomial_at_most(4, 5, 1.0) == 0.0
    assert mcnemar_loss(0, 0) == 1.0
    assert wilson_lower(0, 0) == 0.0
