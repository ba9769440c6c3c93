"""What certificates take from scipy without proof, against mpmath in its own digits: quantiles and tails of the normal
distribution, and the logarithms of beta functions behind the anytime bounds, at the arguments where libraries slip.
"""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.special import betaln, log_ndtr, ndtr, ndtri

from rsuq_cli.certificates.anytime import _ROUNDING, _ROUNDING_A_SAMPLE, anytime_lower, log_wealth
from rsuq_cli.certificates.radii import stays_above_half, stays_ahead, stays_below_half

# A quantile is trusted to so much of its probability, for every digit of which it has to move by a part of itself.
_RELATIVE = 1e-13
ROUND = [9, 10, 99, 100, 998, 999, 1000, 1001, 4095, 4096, 9999, 10_000, 99_999, 100_000, 999_999, 10**6, 10**7]


def tail(x: float) -> mpmath.mpf:
    """Returns P(N(0, 1) < x) in 40 digits."""
    with mpmath.workdps(40):
        return mpmath.ncdf(mpmath.mpf(x))


@given(st.floats(-300.0, math.log10(0.5)))
@example(-300.0)
@example(-12.0)
@example(math.log10(0.5))
def test_a_quantile_of_a_small_probability_is_one(exponent: float) -> None:
    p = 10.0**exponent
    x = float(ndtri(p))
    # d log Phi / dx is about |x| in the tail: an error of one unit of x moves the logarithm by so much.
    allowed = _RELATIVE * (1.0 + x * x)
    assert abs(float(tail(x) / mpmath.mpf(p)) - 1.0) <= allowed
    assert float(stays_below_half(p)) == max(0.0, -x)


@given(st.integers(1, 2**52))
@example(1)
@example(2**52)
def test_a_quantile_near_one_is_the_mirror_image(units: int) -> None:
    left = units * 2.0**-53  # 1 - left is a float, exactly
    x = float(stays_above_half(1.0 - left))
    assert abs(float(tail(-x) / mpmath.mpf(left)) - 1.0) <= _RELATIVE * (1.0 + x * x)


@given(st.floats(-37.0, 8.0))
def test_tails_and_their_logarithms(x: float) -> None:
    exact = tail(x)
    assert float(ndtr(x)) == pytest.approx(float(exact), rel=1e-12)
    assert float(log_ndtr(x)) == pytest.approx(float(mpmath.log(exact)), rel=1e-12, abs=1e-15)


@given(st.floats(1e-12, 1.0 - 1e-12), st.floats(1e-12, 1.0 - 1e-12))
def test_a_lead_is_half_the_difference_of_exact_quantiles(leader: float, rival: float) -> None:
    radius = float(stays_ahead(leader, rival))
    if leader <= rival:
        assert radius == 0.0
        return
    with mpmath.workdps(40):
        high, low = (mpmath.sqrt(2) * mpmath.erfinv(2 * mpmath.mpf(p) - 1) for p in (leader, rival))
        exact = (high - low) / 2
    # Where both are nearly alike, the digits of the quantiles are all there is.
    assert radius == pytest.approx(float(exact), rel=1e-11, abs=1e-14 * (1 + abs(float(high))))


counts = st.one_of(st.sampled_from(ROUND), st.integers(1, 10**7)).flatmap(
    lambda n: st.tuples(st.just(n), st.one_of(st.sampled_from([k for k in ROUND if k <= n] or [n]), st.integers(0, n)))
)


@given(counts)
@example((10**7, 999))
@example((10**7, 10**7 - 999))
@example((10**7, 5 * 10**6))
def test_logarithms_of_beta_functions_are_within_what_is_set_aside_for_them(n_and_k: tuple[int, int]) -> None:
    n, k = n_and_k
    with mpmath.workdps(40):
        a, b = mpmath.mpf(k + 1), mpmath.mpf(n - k + 1)
        exact = mpmath.loggamma(a) + mpmath.loggamma(b) - mpmath.loggamma(a + b)
    assert abs(float(mpmath.mpf(float(betaln(k + 1.0, n - k + 1.0))) - exact)) <= 0.25 * max(
        _ROUNDING, _ROUNDING_A_SAMPLE * n
    )


@given(counts, st.floats(-12.0, -0.5))
@example((1000, 999), -3.0)
@example((10**7, 10**7 - 1), -12.0)
def test_an_anytime_bound_is_one_by_its_exact_wealth(n_and_k: tuple[int, int], exponent: float) -> None:
    n, k = n_and_k
    alpha = 10.0**exponent
    bound = float(anytime_lower(k, n, alpha))
    assert 0.0 <= bound < 1.0
    if bound > 0:
        # By Chernoff's bound on the part of the mixture below p, in exact arithmetic: no less than this is the wealth.
        assert exact_wealth(k, n, bound) >= -math.log(alpha)
        assert float(np.squeeze(log_wealth(k, n, bound))) == pytest.approx(
            float(exact_wealth(k, n, bound)), abs=max(_ROUNDING, _ROUNDING_A_SAMPLE * n)
        )


def exact_wealth(k: int, n: int, p: float) -> mpmath.mpf:
    """Returns the logarithm of the mixture of likelihood ratios over (p, 1], less what Chernoff's bound takes off."""
    with mpmath.workdps(60):
        x, above, below = mpmath.mpf(p), mpmath.mpf(k + 1), mpmath.mpf(n - k)
        total = mpmath.mpf(n + 1)
        divergence = above * mpmath.log(above / (total * x))
        if below > 0:
            divergence += below * mpmath.log(below / (total * (1 - x)))
        whole = mpmath.loggamma(above) + mpmath.loggamma(below + 1) - mpmath.loggamma(total + 1)
        return (
            whole + mpmath.log(1 - mpmath.exp(-divergence)) - k * mpmath.log(x) - (n - k + 1) * mpmath.log(1 - x)
        )  # fmt: skip
