"""Radii from bounds of masses, in units of sigma.

Invariant: every function falls when its lower bounds fall or its upper bounds rise, so a bound on the safe side gives
a radius on the safe side; no radius is negative or NaN, and none is rounded up.

All of them are Cohen et al. 2019's lemma applied to the right event: when the input moves by r, a mass m moves within
[Phi(Phi^-1(m) - r/sigma), Phi(Phi^-1(m) + r/sigma)]. Masses are joint: a rejected sample stays in the denominator.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

Array = npt.NDArray[np.float64]


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


def union_stays_ahead(union_lower: npt.ArrayLike, rival_upper: npt.ArrayLike) -> Array:
    """Returns the root r of Phi(Phi^-1(union) - r) = 2 Phi(Phi^-1(rival) + r), 0 where there is none.

    `union` is the mass of two outcomes together. The worst shift may split it evenly, so the larger of the two has at
    least half of it; up to the root that half is above the rival. It is the third term of guarantee NCL under
    plurality; merging the two outcomes into one (`stays_ahead` of the union) would be unsound there.
    """
    union, rival = np.broadcast_arrays(
        np.asarray(union_lower, dtype=np.float64), np.asarray(rival_upper, dtype=np.float64)
    )
    top, bottom = ndtri(union), ndtri(rival)
    # The merged radius, (top - bottom) / 2, makes both sides equal without the factor 2: the root lies below it. So it
    # does below -bottom, where the right side is one.
    with np.errstate(invalid="ignore"):
        high = np.where(union > 2 * rival, np.minimum(0.5 * (top - bottom), -bottom), 0.0)
    unbounded = ~np.isfinite(high)
    high = np.where(unbounded, 0.0, high)
    low = np.zeros_like(high)
    with np.errstate(invalid="ignore"):
        for _ in range(60):
            middle = 0.5 * (low + high)
            ahead = ndtr(top - middle) > 2 * ndtr(bottom + middle)
            low, high = np.where(ahead, middle, low), np.where(ahead, high, middle)
    return np.where(unbounded, np.inf, low)


def plurality_not_wrong(
    leader_lower: npt.ArrayLike, rejected_lower: npt.ArrayLike, union_lower: npt.ArrayLike, rival_upper: npt.ArrayLike
) -> Array:
    """Returns the NCL radius under plurality: the largest of three ways in which class or rejection beats the rival."""
    by_class = stays_ahead(leader_lower, rival_upper)
    by_rejection = stays_ahead(rejected_lower, rival_upper)
    return np.maximum(np.maximum(by_class, by_rejection), union_stays_ahead(union_lower, rival_upper))
