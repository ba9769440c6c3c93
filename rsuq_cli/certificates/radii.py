"""Radii from bounds of masses, in units of sigma.

Invariant: every function falls when its lower bounds fall or its upper bounds rise, so a bound on the safe side gives
a radius on the safe side; no radius is negative or NaN, and none is rounded up.

All of them are Cohen et al. 2019's lemma applied to the right event: when the input moves by r, a mass m moves within
[Phi(Phi^-1(m) - r/sigma), Phi(Phi^-1(m) + r/sigma)]. Masses are joint: a rejected sample stays in the denominator.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import log_ndtr, ndtr, ndtri

Array = npt.NDArray[np.float64]

_NEWTON_STEPS, _MARGIN = 10, 1e-12


def stays_above_half(lower: npt.ArrayLike) -> Array:
    """Returns Phi^-1(lower): how far a mass of at least `lower` stays above 1/2 (Cohen et al. 2019, Theorem 1)."""
    return np.maximum(ndtri(np.asarray(lower, dtype=np.float64)), 0.0)


def stays_below_half(upper: npt.ArrayLike) -> Array:
    """Returns Phi^-1(1 - upper): how far a mass of at most `upper` stays below 1/2."""
    # -Phi^-1(upper) keeps the digits of a small mass that 1 - upper would lose.
    return np.maximum(-ndtri(np.asarray(upper, dtype=np.float64)), 0.0)


def stays_ahead(lower: npt.ArrayLike, upper: npt.ArrayLike) -> Array:
    """Returns (Phi^-1(lower) - Phi^-1(upper)) / 2: how far one mass stays above another (Cohen et al. 2019, Thm 1)."""
    leader, rival = np.broadcast_arrays(np.asarray(lower, dtype=np.float64), np.asarray(upper, dtype=np.float64))
    ahead = leader > rival
    with np.errstate(invalid="ignore"):
        distance = 0.5 * (ndtri(leader) - ndtri(rival))
    return np.where(ahead, distance, 0.0)


def union_stays_ahead(
    union_lower: npt.ArrayLike, rival_upper: npt.ArrayLike, *, at_least: npt.ArrayLike = 0.0
) -> Array:
    """Returns the root r of Phi(Phi^-1(union) - r) = 2 Phi(Phi^-1(rival) + r), `at_least` where it is no larger.

    `union` is the mass of two outcomes together. The worst shift may split it evenly, so the larger of the two has at
    least half of it; up to the root that half is above the rival. It is the third term of guarantee NCL under
    plurality; merging the two outcomes into one (`stays_ahead` of the union) would be unsound there. `at_least` says
    what is known already: no root is sought below it.
    """
    union, rival, known = np.broadcast_arrays(
        *(np.asarray(values, dtype=np.float64) for values in (union_lower, rival_upper, at_least))
    )
    top, bottom = ndtri(union), ndtri(rival)
    with np.errstate(invalid="ignore"):
        # The merged radius, (top - bottom) / 2, makes both sides equal without the factor 2: the root lies below it. So
        # it does below -bottom, where the right side is one.
        high = np.minimum(0.5 * (top - bottom), -bottom)
        beyond = np.isfinite(known) & (ndtr(top - known) > 2.0 * ndtr(bottom + known))
    unbounded = beyond & ~np.isfinite(high)
    root = np.where(unbounded, np.inf, known)
    sought = beyond & ~unbounded
    root[sought] = _root_between(known[sought], high[sought], top[sought], bottom[sought])
    return root


def _root_between(low: Array, high: Array, top: Array, bottom: Array) -> Array:
    """Newton's method, halving the interval where it would leave it; what is returned is on the safe side."""

    def ahead(r: Array) -> Array:
        return np.asarray(log_ndtr(top - r) - log_ndtr(bottom + r) - np.log(2.0))

    def density_ratio(x: Array) -> Array:
        return np.asarray(np.exp(-0.5 * x * x - log_ndtr(x)) / np.sqrt(2.0 * np.pi))

    r = low
    for _ in range(_NEWTON_STEPS):
        excess = ahead(r)
        low, high = np.where(excess > 0, r, low), np.where(excess > 0, high, r)
        r = r + excess / (density_ratio(top - r) + density_ratio(bottom + r))
        r = np.where((low < r) & (r < high), r, 0.5 * (low + high))
    # Where the last step but one met the root from above, the last one left it again.
    for above in (r, high):
        below = above - _MARGIN
        low = np.where((below > low) & (ahead(below) > 0), below, low)
    return low


def plurality_not_wrong(
    leader_lower: npt.ArrayLike, rejected_lower: npt.ArrayLike, union_lower: npt.ArrayLike, rival_upper: npt.ArrayLike
) -> Array:
    """Returns the NCL radius under plurality: the largest of three ways in which class or rejection beats the rival."""
    by_one = np.maximum(stays_ahead(leader_lower, rival_upper), stays_ahead(rejected_lower, rival_upper))
    return union_stays_ahead(union_lower, rival_upper, at_least=by_one)
