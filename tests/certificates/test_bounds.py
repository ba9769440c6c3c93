"""Clopper-Pearson bounds against the binomial tail that defines them."""

from fractions import Fraction
from math import comb

import mpmath
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.special import betainc, betaincc, betaincinv
from scipy.stats import beta, binom, binomtest

from rsuq_cli.certificates.bounds import (
    Known,
    Sampled,
    clopper_pearson_lower,
    clopper_pearson_upper,
)

LEVELS = [0.5, 0.05, 0.001, 1e-6, 1e-9]
SIZES = [1, 2, 10, 1_000, 10_000, 1_000_000]


def some_counts(n: int) -> list[int]:
    return sorted({0, 1, n // 100, n // 3, n // 2, n - n // 5, n - 1, n} & set(range(n + 1)))


@pytest.mark.parametrize("alpha", LEVELS)
@pytest.mark.parametrize("n", SIZES)
def test_bounds_are_the_quantiles_of_the_beta_distribution(n: int, alpha: float) -> None:
    for k in some_counts(n):
        lower, upper = float(clopper_pearson_lower(k, n, alpha)), float(clopper_pearson_upper(k, n, alpha))
        assert lower == pytest.approx(beta.ppf(alpha, k, n - k + 1) if k else 0.0, rel=1e-11)
        assert upper == pytest.approx(beta.isf(alpha, k + 1, n - k) if k < n else 1.0, rel=1e-11)


@pytest.mark.parametrize("alpha", LEVELS)
@pytest.mark.parametrize("n", SIZES)
def test_bounds_solve_the_binomial_tail_equation(n: int, alpha: float) -> None:
    for k in some_counts(n):
        lower, upper = float(clopper_pearson_lower(k, n, alpha)), float(clopper_pearson_upper(k, n, alpha))
        if k > 0:
            assert binom.sf(k - 1, n, lower) == pytest.approx(alpha, rel=1e-6)
        if k < n:
            # Next to 1 the few digits that are left of 1 - upper widen the bound visibly.
            exact = upper < 1 - 1e-6
            assert binom.cdf(k, n, upper) <= alpha * (1 + 1e-6)
            assert not exact or binom.cdf(k, n, upper) == pytest.approx(alpha, rel=1e-6)


@pytest.mark.parametrize(("k", "n"), [(0, 7), (3, 7), (7, 7), (812, 1000)])
def test_two_one_sided_bounds_are_the_exact_interval(k: int, n: int) -> None:
    interval = binomtest(k, n).proportion_ci(confidence_level=0.98, method="exact")
    assert float(clopper_pearson_lower(k, n, 0.01)) == pytest.approx(interval.low, abs=1e-10)
    assert float(clopper_pearson_upper(k, n, 0.01)) == pytest.approx(interval.high, abs=1e-10)


def tail_from(k: int, n: int, p: Fraction) -> Fraction:
    return sum((comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1)), Fraction(0))


@pytest.mark.parametrize("alpha", [0.05, 0.001, 1e-9])
@pytest.mark.parametrize("n", [1, 2, 9, 30])
def test_rounding_errs_on_the_safe_side_in_exact_arithmetic(n: int, alpha: float) -> None:
    for k in range(n + 1):
        lower = Fraction(float(clopper_pearson_lower(k, n, alpha)))
        upper = Fraction(float(clopper_pearson_upper(k, n, alpha)))
        assert k == 0 or tail_from(k, n, lower) <= Fraction(alpha)
        assert k == n or 1 - tail_from(k + 1, n, upper) <= Fraction(alpha)


# Counts and totals for which scipy 1.17's betaincinv is wrong, too near the truth or much too far from it, with the
# right bound (by bisection of the tail).
OFF = [
    (143_682, 144_681, 1e-3, 0.992395745), (145_901, 146_900, 1e-4, 0.992366003), (288_432, 289_431, 1e-3, 0.996198110),
    (9_101, 10_100, 1e-3, 0.891592073), (20_201, 21_200, 1e-3, 0.948211598), (86_501, 87_500, 1e-3, 0.987429283),
]  # fmt: skip


@pytest.mark.parametrize(("k", "n", "alpha", "right"), OFF)
def test_a_bound_is_right_where_the_library_is_not(k: int, n: int, alpha: float, right: float) -> None:
    counts = np.arange(k - 40, k + 40)
    assert float(clopper_pearson_lower(k, n, alpha)) == pytest.approx(right, abs=1e-8)
    assert float(clopper_pearson_upper(n - k, n, alpha)) == pytest.approx(1 - right, abs=1e-8)
    # The same from a table, for pairs of several totals, and for fractional counts.
    assert clopper_pearson_lower(counts, n, alpha)[40] == clopper_pearson_lower(k, n, alpha)
    several = clopper_pearson_lower(np.stack([counts, counts + 1]), np.array([[n], [n + 1]]), alpha)
    assert several[0, 40] == clopper_pearson_lower(k, n, alpha)
    assert float(clopper_pearson_lower(float(k), float(n), alpha)) == float(clopper_pearson_lower(k, n, alpha))


def near_round(largest: int) -> st.SearchStrategy[int]:
    rounds = [1, 2, 10, 100, 128, 500, 999, 1000, 1001, 1024, 5000, 9999, 10_000, 65_536, 100_000, 1_000_000]
    return st.one_of(st.sampled_from(rounds), st.integers(0, largest)).map(lambda value: min(value, largest))


@st.composite
def observations(draw: st.DrawFn) -> tuple[int, int]:
    """A count and a total up to ten million; half of the counts leave something round on one side."""
    n = draw(st.one_of(st.integers(1, 10**7), near_round(10**7).filter(lambda value: value > 0)))
    beside = draw(near_round(n))
    return (beside if draw(st.booleans()) else n - beside), n


levels = st.floats(-12, -0.05).map(lambda exponent: 10.0**exponent)


@given(observations(), levels)
@example((145_901, 146_900), 1e-4)
@example((999, 10**7), 1e-12)
@settings(deadline=None, max_examples=300)
def test_every_bound_is_proven_by_its_tail_and_not_needlessly_far(seen: tuple[int, int], alpha: float) -> None:
    k, n = seen
    lower, upper = float(clopper_pearson_lower(k, n, alpha)), float(clopper_pearson_upper(k, n, alpha))
    if k > 0:
        assert alpha * (1 - 1e-5) <= betainc(k, n - k + 1, lower) <= alpha
    if k < n:
        assert betaincc(k + 1, n - k, upper) <= alpha * (1 + 1e-10)
        # Next to 1 there are few digits of what an upper bound leaves.
        assert betaincc(k + 1, n - k, upper * (1 - 1e-8)) > alpha


def exact_tail(k: int, n: int, p: float) -> mpmath.mpf:
    """P(X >= k) for X of Bin(n, p), k above n p: the first term in 40 digits times a sum that falls off."""
    with mpmath.workdps(40):
        q = mpmath.mpf(p)
        first = mpmath.exp(
            mpmath.loggamma(n + 1) - mpmath.loggamma(k + 1) - mpmath.loggamma(n - k + 1)
            + k * mpmath.log(q) + (n - k) * mpmath.log1p(-q)
        )  # fmt: skip
        above = np.arange(k, min(n, k + 60_000), dtype=np.float64)
        ratios = np.cumprod((n - above) / (above + 1) * p / (1 - p))
        assert not len(ratios) or above[-1] == n - 1 or ratios[-1] < 1e-12 * ratios.sum()
        return first * (1 + mpmath.mpf(float(ratios.sum())))


@given(observations(), st.floats(-12, -1).map(lambda exponent: 10.0**exponent))
@example((145_901, 146_900), 1e-4)
@settings(deadline=None, max_examples=60)
def test_a_second_truth_agrees(seen: tuple[int, int], alpha: float) -> None:
    k, n = seen
    if k > 0:
        lower = float(clopper_pearson_lower(k, n, alpha))
        assert 1 - 1e-5 < exact_tail(k, n, lower) / alpha < 1 + 1e-9


@pytest.mark.parametrize("n", [1_000, 2_000, 10_000])
@pytest.mark.parametrize("alpha", [0.05, 0.001])
def test_what_the_library_has_right_stays_as_it_was_to_the_last_digit(n: int, alpha: float) -> None:
    counts = np.delete(np.arange(1, n + 1), n - 999 - 1)
    assert np.array_equal(
        clopper_pearson_lower(counts, n, alpha), betaincinv(counts, n - counts + 1.0, alpha) * (1 - 1e-13)
    )


@pytest.mark.parametrize("alpha", [1e-155, 1e-250, 5e-324, 1 - 1e-12])
@pytest.mark.parametrize(("k", "n"), [(0, 9), (1, 9), (9, 9), (9_101, 10_100), (19_648, 19_669), (3, 10**9)])
def test_the_smallest_and_the_largest_alpha_have_bounds_too(k: int, n: int, alpha: float) -> None:
    lower, upper = float(clopper_pearson_lower(k, n, alpha)), float(clopper_pearson_upper(k, n, alpha))
    assert 0 <= lower < 1
    assert 0 < upper <= 1
    if alpha < 0.5:
        assert lower <= k / n <= upper
        assert k == 0 or lower == 0 or exact_tail(k, n, lower) <= alpha


@pytest.mark.parametrize("bound", [clopper_pearson_lower, clopper_pearson_upper])
def test_a_table_of_many_counts_equals_the_counts_one_by_one(bound) -> None:
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 501, (40, 25))
    totals = rng.integers(500, 510, (40, 1))
    for total in (np.array(500), totals):
        many = bound(counts, total, 0.001)
        each = np.broadcast_to(total, counts.shape)
        assert many.shape == counts.shape
        for at in [(0, 0), (7, 3), (39, 24)]:
            assert many[at] == bound(int(counts[at]), int(each[at]), 0.001)
    assert np.array_equal(bound(counts, 500, 0.001), bound(counts.astype(float), 500, 0.001))
    sparse = np.append(counts.ravel(), 10**6)  # too few counts for a table of a million
    assert np.array_equal(bound(sparse, 10**6, 0.001)[:60], bound(sparse[:60], 10**6, 0.001))


@given(st.integers(1, 10**6), st.data(), st.floats(1e-9, 0.4))
@settings(deadline=None)
def test_bounds_grow_with_the_count_and_tighten_with_alpha(n: int, data: st.DataObject, alpha: float) -> None:
    k = data.draw(st.integers(0, n - 1))
    lower, upper = clopper_pearson_lower([k, k + 1], n, alpha), clopper_pearson_upper([k, k + 1], n, alpha)
    assert lower[0] < lower[1]
    assert upper[0] < upper[1]
    assert (lower <= np.array([k, k + 1]) / n).all()
    assert (upper >= np.array([k, k + 1]) / n).all()
    assert (clopper_pearson_lower([k, k + 1], n, 2 * alpha) >= lower).all()
    assert (clopper_pearson_upper([k, k + 1], n, 2 * alpha) <= upper).all()


def test_no_samples_bound_nothing() -> None:
    assert float(clopper_pearson_lower(0, 0, 0.001)) == 0.0
    assert float(clopper_pearson_upper(0, 0, 0.001)) == 1.0


def test_no_counts_have_no_bounds() -> None:
    assert clopper_pearson_lower(np.zeros((0, 3), dtype=np.int64), 10, 0.001).shape == (0, 3)


def test_shares_divide_alpha_exactly() -> None:
    sampled = Sampled(np.array([1000, 2000]), 0.001)
    counts = np.array([[900, 10], [900, 10]])
    totals = np.array([[1000], [2000]])
    assert np.array_equal(sampled.lower(counts, shares=4), clopper_pearson_lower(counts, totals, 0.001 / 4))
    assert np.array_equal(sampled.upper(counts[:, 0], shares=2), clopper_pearson_upper([900, 900], [1000, 2000], 5e-4))


def test_known_masses_are_their_own_bounds_and_never_leave_the_unit_interval() -> None:
    known = Known(np.ones(1), np.zeros(1))
    masses = np.array([0.0, 0.3, 1.0])
    assert np.array_equal(known.lower(masses, shares=7), masses)
    assert np.array_equal(known.upper(masses, shares=7), masses)
    assert known.lower([1.0 + 2e-16], shares=1) == 1.0
    assert known.upper([-1e-17], shares=1) == 0.0
    unsure = Known(np.ones(1), np.array([0.2]))
    assert np.array_equal(unsure.lower(masses, shares=1), masses)
    assert np.array_equal(unsure.upper(masses, shares=1), [0.2, 0.5, 1.0])
