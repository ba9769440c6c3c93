"""Bounds that hold at every look, against the mixture that defines them, and against simulated paths."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.stats import beta, binom, binomtest, norm

from rsuq_cli.certificates.anytime import AnyTime, Reachable, anytime_lower, log_wealth, looks
from rsuq_cli.certificates.bounds import clopper_pearson_lower


def mixture(k: int, m: int, p: float) -> float:
    """Returns log M_m(p) by numerical integration of the likelihood ratios, uniform over (p, 1]."""

    def ratio(q: float) -> float:
        tail = (m - k) * math.log((1 - q) / (1 - p)) if m > k else 0.0
        return math.exp(k * math.log(q / p) + tail)

    points = [at for at in (k / m,) if p < at < 1]
    return math.log(quad(ratio, p, 1.0, points=points, limit=200)[0] / (1 - p))


@pytest.mark.parametrize(("k", "m"), [(1, 1), (5, 10), (30, 30), (95, 100), (180, 300), (990, 1000)])
@pytest.mark.parametrize("alpha", [0.05, 0.001, 1e-6])
def test_the_bound_is_where_the_mixture_reaches_one_over_alpha(k: int, m: int, alpha: float) -> None:
    bound = float(anytime_lower(k, m, alpha))
    assert 0.0 < bound < k / (m + 1)
    # A little more than needed, since what the mixture loses below the bound is only bounded.
    assert 0.0 <= mixture(k, m, bound) - math.log(1 / alpha) < max(0.1 * alpha**0.25, 1e-4)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("m", [1, 7, 40])
def test_the_wealth_never_exceeds_a_martingale_that_starts_at_one(p: float, m: int) -> None:
    expected = sum(binom.pmf(k, m, p) * math.exp(mixture(k, m, p)) for k in range(m + 1))
    assert expected == pytest.approx(1.0, rel=1e-6)
    for k in range(m + 1):
        if p <= k / (m + 1):
            wealth = float(log_wealth(k, m, p))
            assert wealth <= mixture(k, m, p) + 1e-9


@given(st.integers(1, 10**6), st.data(), st.floats(1e-9, 0.3))
@settings(deadline=None)
def test_bounds_grow_with_the_count_and_are_below_those_of_a_fixed_number(
    n: int, data: st.DataObject, alpha: float
) -> None:
    k = data.draw(st.integers(0, n - 1))
    lower = anytime_lower([k, k + 1], n, alpha)
    assert 0.0 <= lower[0] <= lower[1] <= (k + 1) / n
    assert (lower <= clopper_pearson_lower([k, k + 1], n, alpha)).all()
    assert (anytime_lower([k, k + 1], n, alpha / 10) <= lower).all()


@given(st.integers(20, 10**6), st.floats(1e-9, 0.1))
@settings(deadline=None)
def test_bounds_are_not_far_below_those_of_a_fixed_number(n: int, alpha: float) -> None:
    # Holding at every number of samples costs less than (n + 1) in alpha: the mixture has that much near its peak.
    k = np.unique(np.linspace(n // 2, n, 7).astype(np.int64))
    ratio = alpha / (2.0 * (n + 1.0))
    chernoff = [
        brentq(lambda p, k=k, n=n: log_likelihood_ratio(k, n, p) + math.log(ratio), 1e-12, k / n) for k in k.tolist()
    ]
    assert (anytime_lower(k, n, alpha) >= np.array(chernoff) * (1 - 1e-9)).all()


def log_likelihood_ratio(k: int, n: int, p: float) -> float:
    q = k / n
    return k * math.log(q / p) + ((n - k) * math.log((1 - q) / (1 - p)) if n > k else 0.0)


def test_without_a_hit_there_is_no_bound() -> None:
    assert anytime_lower([0, 0], [1, 1000], 0.001).tolist() == [0.0, 0.0]
    assert float(anytime_lower(0, 0, 0.001)) == 0.0


def test_many_counts_equal_the_counts_one_by_one() -> None:
    counts = np.arange(300).reshape(3, 100)
    table = anytime_lower(counts, 300, 0.001)
    totals = np.array([[300], [400], [500]])
    many = anytime_lower(counts, totals, 0.001)
    for at in [(0, 3), (1, 50), (2, 99)]:
        assert table[at] == pytest.approx(float(anytime_lower(counts[at], 300, 0.001)), rel=1e-7)
        assert many[at] == pytest.approx(float(anytime_lower(counts[at], totals[at[0], 0], 0.001)), rel=1e-7)


@pytest.mark.parametrize("n", [1, 50, 100, 101, 1000, 12_345, 100_000])
def test_looks_grow_geometrically_and_end_at_n(n: int) -> None:
    found = looks(n)
    assert found[-1] == n
    assert list(found) == sorted(set(found))
    assert all(look % 100 == 0 for look in found[:-1])
    assert all(later - look <= max(100, 0.2 * look + 100) for look, later in pairwise(found))
    assert len(found) < 35


def paths(p: float, schedule: tuple[int, ...], count: int, seed: int) -> npt.NDArray[np.int64]:
    """Returns hits at every look, `[looks, paths]`."""
    rng = np.random.default_rng(seed)
    steps = np.diff((0, *schedule))
    return np.cumsum([rng.binomial(step, p, size=count) for step in steps], axis=0)


@pytest.mark.parametrize("alpha", [0.05, 0.001])
@pytest.mark.parametrize("p", [0.5, 0.8413, 0.9772, 0.999])
def test_the_bound_is_ever_above_the_truth_on_at_most_alpha_of_the_paths(p: float, alpha: float) -> None:
    schedule = looks(10_000)
    hits = paths(p, schedule, 20_000, seed=round(1000 * p))
    ever = np.zeros(hits.shape[1], dtype=bool)
    for at, look in zip(hits, schedule, strict=True):
        ever |= anytime_lower(at, look, alpha) > p
    assert binomtest(int(ever.sum()), len(ever), alpha, alternative="greater").pvalue > 1e-3
    # The same paths break the bound for a fixed number of samples: the test can tell.
    if alpha == 0.05:
        fixed = [clopper_pearson_lower(at, look, alpha) > p for at, look in zip(hits, schedule, strict=True)]
        broken = int(np.any(fixed, axis=0).sum())
        assert binomtest(broken, len(ever), alpha, alternative="greater").pvalue < 1e-6
        assert ever.any()


def test_both_sides_are_one_bound_read_twice() -> None:
    bounder = AnyTime(np.array([100, 1000]), 0.01)
    counts = np.array([90, 40])
    assert np.array_equal(bounder.lower(counts, shares=5), anytime_lower(counts, [100, 1000], 0.01 / 5))
    assert np.array_equal(bounder.upper(counts, shares=2), 1 - anytime_lower([10, 960], [100, 1000], 0.005))


def test_what_is_reachable_is_what_is_there_once_n_is_reached() -> None:
    n, counts = 1000, np.array([0, 400, 990, 1000])
    reachable, now = Reachable(np.full(4, n), 0.001, n), AnyTime(np.full(4, n), 0.001)
    assert np.allclose(reachable.lower(counts, shares=3), now.lower(counts, shares=3), rtol=1e-9)
    assert np.allclose(reachable.upper(counts, shares=3), now.upper(counts, shares=3), rtol=1e-9)


@pytest.mark.parametrize("mass", [0.55, 0.9, 0.99, 0.9999])
def test_what_going_on_certifies_is_seldom_more_than_was_hoped(mass: float) -> None:
    n, early, alpha = 20_000, 500, 0.01
    rng = np.random.default_rng(round(10_000 * mass))
    first = rng.binomial(early, mass, size=4000)
    last = first + rng.binomial(n - early, mass, size=4000)
    hoped = Reachable(np.full(4000, early), alpha, n).lower(first, shares=1)
    assert (anytime_lower(last, n, alpha) > hoped).mean() <= alpha
    assert (hoped >= AnyTime(np.full(4000, early), alpha).lower(first, shares=1)).all()


def test_upper_ends_are_tight_where_everything_hits() -> None:
    # With every sample a hit the bound is near alpha^(1/n), the exact one's, up to the price of every look.
    for n in (100, 10_000, 1_000_000):
        lost = -n * math.log(float(anytime_lower(n, n, 0.001)))
        assert math.log(1000) < lost < math.log(1000) + 2.6
        assert -n * math.log(beta.ppf(0.001, n, 1)) == pytest.approx(math.log(1000), rel=1e-6)


def at_last_look(total: int, amount: int, alpha: float, last: int | None) -> float:
    return float(AnyTime(np.array([total]), alpha, last).lower(np.array([amount]), shares=1)[0])


def test_half_of_alpha_is_kept_for_the_last_look() -> None:
    for k in (1, 700, 9_000, 9_999, 10_000):
        assert at_last_look(10_000, k, 0.001, 10_000) == clopper_pearson_lower(k, 10_000, 0.0005)
    assert at_last_look(5_000, 4_500, 0.001, 10_000) == anytime_lower(4_500, 5_000, 0.0005)
    assert at_last_look(5_000, 4_500, 0.001, None) == anytime_lower(4_500, 5_000, 0.001)


def test_what_the_last_look_loses_to_a_fixed_number_of_samples() -> None:
    """In units of sigma, at n = 10,000 and alpha = 0.001: theory.md's numbers."""

    def radius(k: int, last: int | None) -> float:
        return float(norm.ppf(at_last_look(10_000, k, 0.001, last)))

    def fixed(k: int) -> float:
        return float(norm.ppf(clopper_pearson_lower(k, 10_000, 0.001)))

    assert fixed(10_000) - radius(10_000, None) == pytest.approx(0.081, abs=0.001)
    assert fixed(10_000) - radius(10_000, 10_000) == pytest.approx(0.028, abs=0.001)
    assert fixed(9_000) - radius(9_000, None) == pytest.approx(0.022, abs=0.001)
    assert fixed(9_000) - radius(9_000, 10_000) == pytest.approx(0.003, abs=0.001)


@pytest.mark.parametrize("p", [0.5, 0.9, 0.99])
def test_with_a_last_look_the_bound_is_ever_above_the_truth_on_at_most_alpha_of_the_paths(p: float) -> None:
    paths, last, alpha, rng = 20_000, 2_000, 0.05, np.random.default_rng(3)
    hits, before, wrong = np.zeros(paths, np.int64), 0, np.zeros(paths, bool)
    for look in looks(last):
        hits += rng.binomial(look - before, p, paths)
        before = look
        wrong |= AnyTime(np.full(paths, look), alpha, last).lower(hits, shares=1) > p
    assert wrong.sum() > 0
    assert binomtest(int(wrong.sum()), paths, alpha, alternative="greater").pvalue > 1e-3
