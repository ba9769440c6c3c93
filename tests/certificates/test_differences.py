"""Paired differences against a worked example, scipy's own tests, and their coverage in simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from rsuq_cli.certificates.differences import difference_of_means, difference_of_shares, mcnemar

COUNT = st.integers(0, 60)


def by_hand(both: int, first: int, second: int, neither: int) -> tuple[float, float]:
    """Newcombe's method 10 as his paper writes it, for first minus second, from scipy's Wilson intervals."""
    n = both + first + second + neither
    p1, p2 = (both + first) / n, (both + second) / n
    one = stats.binomtest(both + first, n).proportion_ci(method="wilson")
    two = stats.binomtest(both + second, n).proportion_ci(method="wilson")
    product = (both + first) * (second + neither) * (both + second) * (first + neither)
    numerator: float = both * neither - first * second
    numerator = max(numerator - n / 2, 0) if numerator > 0 else numerator
    phi = numerator / math.sqrt(product) if product else 0.0
    down = (p1 - one.low) ** 2 - 2 * phi * (p1 - one.low) * (two.high - p2) + (two.high - p2) ** 2
    up = (p2 - two.low) ** 2 - 2 * phi * (p2 - two.low) * (one.high - p1) + (one.high - p1) ** 2
    return p1 - p2 - math.sqrt(max(down, 0)), p1 - p2 + math.sqrt(max(up, 0))


@given(COUNT, COUNT, COUNT, COUNT)
def test_the_interval_is_newcombes(both: int, first: int, second: int, neither: int) -> None:
    if both + first + second + neither == 0:
        return
    low, high = by_hand(both, first, second, neither)
    found = difference_of_shares(both, first, second, neither)
    assert (-found.high, -found.low) == pytest.approx((low, high), abs=1e-6)
    assert -1 - 1e-9 <= found.low <= found.value <= found.high <= 1 + 1e-9


def test_both_scorings_in_the_other_order_turn_the_signs() -> None:
    one, other = difference_of_shares(30, 9, 4, 7), difference_of_shares(30, 4, 9, 7)
    assert (one.value, one.low, one.high) == pytest.approx((-other.value, -other.high, -other.low))
    assert one.p_value == other.p_value


@given(COUNT, COUNT)
def test_mcnemar_is_the_exact_binomial_test(first: int, second: int) -> None:
    expected = stats.binomtest(first, first + second).pvalue if first + second else 1.0
    assert mcnemar(first, second) == pytest.approx(expected, rel=1e-9)


def test_the_interval_of_a_share_covers_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    masses = np.array([0.6, 0.15, 0.08, 0.17])
    truth = masses[2] - masses[1]
    found = [difference_of_shares(*map(int, random.multinomial(200, masses))) for _ in range(1500)]
    covered = np.mean([one.low <= truth <= one.high for one in found])
    assert 0.935 < covered < 0.97


@given(st.lists(st.tuples(st.floats(0, 2), st.floats(0, 2)), min_size=3, max_size=30))
def test_the_difference_of_means_is_students(pairs: list[tuple[float, float]]) -> None:
    first, second = np.array(pairs).T
    differences = second - first
    if differences.std() < 1e-3:
        return
    found = difference_of_means(len(pairs), differences.sum(), (differences**2).sum())
    expected = stats.ttest_rel(second, first)
    interval = expected.confidence_interval(0.95)
    assert (found.value, found.low, found.high) == pytest.approx(
        (differences.mean(), interval.low, interval.high), abs=1e-7
    )
    assert found.p_value == pytest.approx(expected.pvalue, abs=1e-7)


def test_what_never_differs_has_no_spread_and_one_pair_no_interval() -> None:
    assert difference_of_means(5, 0.0, 0.0) == (0.0, 0.0, 0.0, 1.0)
    assert difference_of_means(4, 2.0, 1.0) == (0.5, 0.5, 0.5, 0.0)
    assert difference_of_means(1, 0.25, 0.0625) == (0.25, -math.inf, math.inf, 1.0)
