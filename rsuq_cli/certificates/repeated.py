"""How likely it is that sampling an input anew gives the same certain answer.

Invariant: what is returned is never too large, given the mass. A certificate is about masses; an answer is given from
samples, and where a mass is barely above one half, as it may be at the edge of the ball, samples seldom prove it.
"""

from __future__ import annotations

import numpy as np
from scipy.special import betainc

from rsuq_cli.certificates.method import Method


def certain_again(method: Method, n0: int, n: int, mass: float) -> float | None:
    """Returns the least probability that n0 + n fresh samples answer the class of this certain mass, with certainty.

    Both must happen, and are independent: more than half of the n0 selection samples are for the class, which is then
    the one to certify, and so many of the n estimation samples are that its lower bound exceeds one half. None where
    that is not what decides: under another rule than majority, and where a stopping rule chooses the number of samples.
    """
    if method.rule != "majority" or method.anytime:
        return None
    enough = _fewest_that_prove(method, n)
    if enough is None:
        return 0.0
    return max(0.0, _at_least(n0 // 2 + 1, n0, mass) * _at_least(enough, n, mass) - method.sampling_error)


def _fewest_that_prove(method: Method, n: int) -> int | None:
    """Returns the smallest count among n whose lower bound exceeds one half, None where no count has one."""
    bounder = method.bounder(np.asarray(n))

    def proves(count: int) -> bool:
        return bool(bounder.lower(np.asarray(count), shares=1) > 0.5)

    if not proves(n):
        return None
    low, high = 0, n  # bounds grow with the count
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if proves(middle) else (middle, high)
    return high


def _at_least(count: int, n: int, mass: float) -> float:
    """Returns P(X >= count) for X of Bin(n, mass)."""
    return float(betainc(count, n - count + 1, mass)) if count > 0 else 1.0
