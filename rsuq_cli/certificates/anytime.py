"""Bounds that hold at every look at once, so that sampling may stop as soon as something is decided.

Invariant: with probability at least 1 - alpha the lower bound is below the true probability after every number of
samples, and so after whatever number a stopping rule picks, however it picks it; likewise the upper bound. Stopping for
want of hope spends nothing of alpha: it can only cost a certificate, never make a wrong one.

The bound is a confidence sequence. For every p there is a mixture of likelihood ratios, uniform over (p, 1],

    M_m(p) = 1 / (1 - p) * integral over q in (p, 1] of (q/p)^k ((1-q)/(1-p))^(m-k) dq        (k of m samples)

which starts at 1 and is a martingale where p is the true probability. Ville 1939: it ever reaches 1/alpha with
probability at most alpha. The lower bound is the largest p that M has ruled out. The method of mixtures is Robbins 1970
(Annals of Mathematical Statistics 41), as a confidence sequence for probabilities Howard et al. 2021 (arXiv 1810.08240,
beta-binomial mixture); keeping the mixture above p gains the one-sided case about log(1 / (1 - p)) for free.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import betaln, xlog1py, xlogy

from rsuq_cli.certificates.bounds import Array, by_distinct_counts, clopper_pearson_lower

# Covers the rounding of the logarithms of beta functions, which grows with the samples; it moves a bound by parts in a
# million.
_ROUNDING, _ROUNDING_A_SAMPLE = 1e-6, 2e-14
_STEPS = 8
FIRST_LOOK, GROWTH = 100, 1.2


def looks(n: int, *, first: int = FIRST_LOOK, growth: float = GROWTH) -> tuple[int, ...]:
    """Returns the numbers of samples at which the counts are looked at: growing by `growth`, the last one n.

    All but the last are multiples of `first`. A bound that holds at every number of samples costs nothing for looking
    often; looking less often only spends samples beyond the one that decides.
    """
    found = []
    at = min(first, n)
    while at < n:
        found.append(at)
        at = max(at + first, math.ceil(at * growth / first) * first)
    return (*found, n)


def anytime_lower(count: npt.ArrayLike, n: npt.ArrayLike, alpha: float) -> Array:
    """Returns a lower bound of a probability that holds after every number of samples together, at level 1 - alpha.

    `count` and `n` broadcast; counts may be fractional (planning). Source: the module's docstring.
    """
    return by_distinct_counts(_lower, count, n, alpha)


def log_wealth(count: npt.ArrayLike, n: npt.ArrayLike, p: npt.ArrayLike) -> Array:
    """Returns log M_n(p), or very little less: how far the counts speak against "the probability is at most p".

    For 0 < p <= count / (n + 1). The integral over (p, 1] is the whole one less the part below p, for which Chernoff's
    bound stands: never too small, and much quicker than the incomplete beta function.
    """
    k, m, x = (np.asarray(values, dtype=np.float64) for values in (count, n, p))
    above, below = k + 1.0, m - k
    divergence = xlogy(above, above / ((m + 1.0) * x)) + xlogy(below, below / ((m + 1.0) * (1.0 - x)))
    with np.errstate(divide="ignore"):
        mixed = betaln(k + 1.0, m - k + 1.0) + np.log(-np.expm1(-divergence))
    wealth: Array = mixed - xlogy(k, x) - xlog1py(m - k + 1.0, -x)
    return wealth


def _lower(count: Array, n: Array, alpha: float) -> Array:
    """Newton's method for a wealth a little above 1/alpha, from the left; what it finds is checked.

    On (0, k / (m + 1)] M falls: d log M / dp has the sign of (1 - 1/M) p - (k - m p). So a value there that M rules out
    has none below it that M does not, and it is a bound, whether or not the iteration has ended.
    """
    k, m = count, n
    rounding = np.maximum(_ROUNDING, _ROUNDING_A_SAMPLE * m)
    wanted = math.log(1.0 / alpha) + rounding
    most = k / (m + 1.0)
    start = np.minimum(_start(k, m, wanted), most)
    some = start > 0
    bound = np.where(some, start, 0.5)
    for _ in range(_STEPS):
        with np.errstate(divide="ignore", invalid="ignore"):
            excess = log_wealth(k, m, bound) - wanted
            slope = (k - m * bound - (1.0 - alpha) * bound) / (bound * (1.0 - bound))
            step = np.where(slope > 0, excess / slope, 0.0)
        bound = np.clip(np.where(some, bound + step, 0.5), np.where(some, start, 0.5), np.where(some, most, 0.5))
    safe = wanted - 0.5 * rounding
    found = np.where(log_wealth(k, m, bound) >= safe, bound, start)
    return np.where(some & (log_wealth(k, m, np.where(some, found, 0.5)) >= safe), found, 0.0)


def _start(k: Array, m: Array, target: Array) -> Array:
    """Returns a value below the bound, the larger of two; the caller checks it.

    Above p lies at least half of the mixture, so log M is at least -k log p plus a constant. It is also at least
    m KL(k/m, p) - log(2 (m + 1)), where KL is no less than -2 log cos of the angle between the square roots of the two
    distributions (Bhattacharyya 1943).
    """
    near_zero = np.exp((betaln(k + 1.0, m - k + 1.0) - math.log(2.0) - target) / np.maximum(k, 1e-9))
    angle = np.arccos(np.exp(-(target + np.log(2.0 * (m + 1.0))) / (2.0 * np.maximum(m, 1.0))))
    turned = np.arcsin(np.sqrt(k / np.maximum(m, 1.0))) - angle
    return np.maximum(near_zero, np.where(turned > 0, np.sin(turned) ** 2, 0.0))


def _lower_at(count: npt.ArrayLike, total: npt.NDArray[Any], alpha: float, last: int | None) -> Array:
    """Returns the lower bound at these looks; half of alpha is kept for the `last` one, where there is one."""
    if last is None:
        return anytime_lower(count, total, alpha)
    counts, totals = np.broadcast_arrays(np.asarray(count), total)
    at_last = totals == last
    found = np.empty(totals.shape)
    # No bound of one level is above Clopper and Pearson's at a number of samples that is fixed.
    found[at_last] = clopper_pearson_lower(counts[at_last], last, alpha / 2.0)
    found[~at_last] = anytime_lower(counts[~at_last], totals[~at_last], alpha / 2.0)
    return found


@dataclass(frozen=True)
class AnyTime:
    """Bounds of a mass from counts among `total` samples so far, valid whatever decided to stop there.

    Bonferroni as in `bounds.Sampled`: a guarantee that needs m bounds gives alpha / m to each. With `last`, the number
    of samples of the last look, half of that goes to a bound of exactly so many samples, which is much nearer there:
    the sequence is ever wrong with probability alpha / 2, and that one bound with alpha / 2 (theory.md §4).
    """

    total: npt.NDArray[Any]
    alpha: float
    last: int | None = None

    def lower(self, amount: npt.ArrayLike, *, shares: int) -> Array:
        return _lower_at(amount, self.total, self.alpha / shares, self.last)

    def upper(self, amount: npt.ArrayLike, *, shares: int) -> Array:
        return 1.0 - anytime_lower(self.total - np.asarray(amount), self.total, self.alpha / shares)


@dataclass(frozen=True)
class Reachable:
    """The bounds that going on to n samples may still give: what a stopping rule may hope for, and no certificate.

    The samples to come are taken to favour the guarantee as much as the counts so far allow at level 1 - alpha.
    `last` is as in `AnyTime`.
    """

    total: npt.NDArray[Any]
    alpha: float
    n: int
    last: int | None = None

    def lower(self, amount: npt.ArrayLike, *, shares: int) -> Array:
        level = self.alpha / shares
        so_far = np.asarray(amount)
        best = 1.0 - anytime_lower(self.total - so_far, self.total, level)
        total = np.full_like(self.total, self.n)
        return _lower_at(np.minimum(so_far + best * (self.n - self.total), self.n), total, level, self.last)

    def upper(self, amount: npt.ArrayLike, *, shares: int) -> Array:
        return 1.0 - self.lower(self.total - np.asarray(amount), shares=shares)
