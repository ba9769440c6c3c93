"""Exact one-sided confidence bounds for a probability that was sampled n times.

Invariant: a bound errs on the safe side. `lower` is above the true probability, and `upper` below it, with probability
at most `alpha` each, whatever the probability is (Clopper and Pearson 1934); numerical rounding only widens them. No
inverse function is believed: a bound is what the binomial tail itself says at it, and found by bisection where the
library's inverse is off, in either direction (scipy's betaincinv(a, 1000.0, p) is, for many a: 999 samples against).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy.special import betainc, betaincc, betainccinv, betaincinv, rel_entr

Array = npt.NDArray[np.float64]

# Where the inverse of the incomplete beta function is right it is good to a few units in the last place: this covers
# them. A bound whose tail is that near alpha, and not above it, is as good as one can be.
_ROUNDING, _NEAR = 1e-13, 1e-6
# The tail is good to about a part in 10^10 of itself, down to here at least; Chernoff's bound serves below.
_TAIL_ROUNDING, _SMALLEST_TAIL = 1e-9, 1e-150
_SMALL = 1e-3
# Fewer counts are not worth a search for equal ones; a table for more samples takes too much memory.
_FEW, _LARGEST_TABLE = 64, 2_000_000


def clopper_pearson_lower(count: npt.ArrayLike, n: npt.ArrayLike, alpha: float) -> Array:
    """Returns the exact lower bound of a probability at one-sided level 1 - alpha, 0 where the count is 0.

    `count` and `n` broadcast; counts may be fractional (planning), 0 <= count <= n. Clopper and Pearson 1934: the
    alpha-quantile of Beta(count, n - count + 1).
    """
    return by_distinct_counts(_lower, count, n, alpha)


def clopper_pearson_upper(count: npt.ArrayLike, n: npt.ArrayLike, alpha: float) -> Array:
    """Returns the exact upper bound of a probability at one-sided level 1 - alpha, 1 where the count is n.

    `count` and `n` broadcast. Clopper and Pearson 1934: the (1 - alpha)-quantile of Beta(count + 1, n - count).
    """
    return by_distinct_counts(_upper, count, n, alpha)


def _lower(count: Array, n: Array, alpha: float) -> Array:
    inside = count > 0
    k = np.where(inside, count, 1.0)
    bound = np.asarray(betaincinv(k, n - k + 1.0, alpha) * (1.0 - _ROUNDING))
    # The logarithm of this tail grows at most k times as fast as that of the bound.
    off = inside & ~_believable(_at_least(k, n, bound), alpha, margin=_ROUNDING * k)
    if off.any():
        found, _ = _turn(lambda p: _is_rare(_at_least, k[off], n[off], p, alpha), int(off.sum()))
        bound = _with(bound, off, found * (1.0 - _ROUNDING))
    return np.where(inside, bound, 0.0).astype(np.float64)


def _upper(count: Array, n: Array, alpha: float) -> Array:
    inside = count < n
    k = np.where(inside, count, n - 1.0)
    bound = np.asarray(np.minimum(betainccinv(k + 1.0, n - k, alpha) * (1.0 + _ROUNDING), 1.0))
    # The logarithm of this tail falls at most n - k times as fast as that of what the bound leaves of one.
    margin = _ROUNDING * (n - k) / np.maximum(1.0 - bound, 1e-300)
    off = inside & ~_believable(_at_most(k, n, bound), alpha, margin=margin)
    if off.any():
        _, found = _turn(lambda p: ~_is_rare(_at_most, k[off], n[off], p, alpha), int(off.sum()))
        bound = _with(bound, off, np.minimum(found * (1.0 + _ROUNDING), 1.0))
    return np.where(inside, bound, 1.0).astype(np.float64)


# The probability of counts on one side of the observed one, of counts, totals and p.
Tail = Callable[[Array, Array, Array], Array]


def _at_least(k: Array, n: Array, p: Array) -> Array:
    return np.asarray(betainc(k, n - k + 1.0, p))


def _at_most(k: Array, n: Array, p: Array) -> Array:
    # The mirror image is four times as quick, and loses digits of a small p only.
    tail: Array = np.array(betainc(n - k, k + 1.0, 1.0 - p), dtype=np.float64)
    small = p < _SMALL
    if small.any():
        tail[small] = betaincc(k[small] + 1.0, n[small] - k[small], p[small])
    return tail


def _believable(tail: Array, alpha: float, *, margin: Array) -> npt.NDArray[np.bool_]:
    """Returns where a bound with this tail holds and is not needlessly far; nowhere where tails cannot be computed.

    `margin` is how much of the tail, at most, the margin for rounding takes.
    """
    near_enough = tail >= alpha * (1.0 - _NEAR - margin)
    return np.asarray((tail <= alpha) & near_enough & (alpha >= _SMALLEST_TAIL))


def _is_rare(tail: Tail, k: Array, n: Array, p: Array, alpha: float) -> npt.NDArray[np.bool_]:
    """Returns where the tail is at most alpha, whichever way it is rounded."""
    if alpha >= _SMALLEST_TAIL:
        return np.asarray(tail(k, n, p) <= alpha * (1.0 - _TAIL_ROUNDING))
    beyond = p < k / n if tail is _at_least else p > k / n
    return np.asarray(beyond & (_chernoff(k, n, p) >= -math.log(alpha)))


def _chernoff(k: Array, n: Array, p: Array) -> Array:
    """Returns n KL(k/n, p): minus the logarithm of the tail is at least that (Chernoff 1952)."""
    return np.asarray(n * (rel_entr(k / n, p) + rel_entr(1.0 - k / n, 1.0 - p)))


def _turn(holds: Callable[[Array], npt.NDArray[np.bool_]], size: int) -> tuple[Array, Array]:
    """Returns the last float in [0, 1] at which `holds`, and the first at which it does not, for each of `size`.

    It holds at 0 and not at 1. Positive floats are in the order of their bits read as integers, so halving that is
    exact however small they are.
    """
    low, high = np.zeros(size, np.int64), np.full(size, np.float64(1.0).view(np.int64))
    for _ in range(62):
        middle = (low + high) // 2
        true = holds(middle.view(np.float64))
        low, high = np.where(true, middle, low), np.where(true, high, middle)
    return low.view(np.float64), high.view(np.float64)


def _with(bound: Array, off: npt.NDArray[np.bool_], found: Array) -> Array:
    replaced = bound.copy()
    replaced[off] = found
    return replaced


# A bound of counts and totals, elementwise, at a level alpha.
Bound = Callable[[Array, Array, float], Array]


def by_distinct_counts(bound: Bound, count: npt.ArrayLike, n: npt.ArrayLike, alpha: float) -> Array:
    """Returns `bound(count, n, alpha)`, evaluated once for every distinct pair: a sweep has millions, few distinct.

    Whole counts of one total are looked up in a table that is kept, and filled in as counts come up.
    """
    counts, totals = np.asarray(count), np.asarray(n)
    shape = np.broadcast_shapes(counts.shape, totals.shape)
    size = math.prod(shape)
    if size < _FEW:
        wide, of = np.broadcast_arrays(counts, totals)
        return bound(wide.astype(np.float64), of.astype(np.float64), alpha)
    whole = np.issubdtype(counts.dtype, np.integer) and np.issubdtype(totals.dtype, np.integer)
    if whole and (totals == totals.flat[0]).all() and int(totals.flat[0]) < _LARGEST_TABLE:
        return np.broadcast_to(_from_table(bound, counts, int(totals.flat[0]), alpha), shape)
    wide, of = np.broadcast_arrays(counts, totals)
    if whole:
        # One number for each pair sorts much faster than rows of two.
        base = int(of.max()) + 1
        distinct, inverse = np.unique(of.astype(np.int64).ravel() * base + wide.ravel(), return_inverse=True)
        pairs = np.stack([distinct % base, distinct // base]).astype(np.float64)
    else:
        flat = np.stack([wide.ravel().astype(np.float64), of.ravel().astype(np.float64)])
        pairs, inverse = np.unique(flat, axis=1, return_inverse=True)
    return np.asarray(bound(pairs[0], pairs[1], alpha)[inverse.ravel()]).reshape(shape)


def _from_table(bound: Bound, counts: npt.NDArray[Any], n: int, alpha: float) -> Array:
    table = _table(bound, n, alpha)
    found: Array = table[counts]
    if np.isnan(found).any():
        missing = np.zeros(n + 1, dtype=bool)
        missing[counts.ravel()] = True
        new = np.flatnonzero(missing & np.isnan(table))
        table[new] = bound(new.astype(np.float64), np.full(len(new), float(n)), alpha)
        found = table[counts]
    return found


@functools.lru_cache(maxsize=24)
def _table(bound: Bound, n: int, alpha: float) -> Array:
    """Returns the table of a bound for every count of n, NaN where it has not been needed yet."""
    return np.full(n + 1, np.nan)


class Bounder(Protocol):
    """Turns an observed amount into bounds of the mass behind it; `shares` is how many bounds share the budget."""

    @property
    def total(self) -> npt.NDArray[Any]: ...

    def lower(self, amount: npt.ArrayLike, *, shares: int) -> Array: ...

    def upper(self, amount: npt.ArrayLike, *, shares: int) -> Array: ...


@dataclass(frozen=True)
class Sampled:
    """Bounds from counts among `total` samples; a guarantee that needs m bounds gives alpha / m to each (Bonferroni).

    `total` broadcasts against the counts, so a total per input comes as `[N, 1]` for counts `[N, K]`.
    """

    total: npt.NDArray[Any]
    alpha: float

    def lower(self, amount: npt.ArrayLike, *, shares: int) -> Array:
        return clopper_pearson_lower(amount, self._total_for(amount), self.alpha / shares)

    def upper(self, amount: npt.ArrayLike, *, shares: int) -> Array:
        return clopper_pearson_upper(amount, self._total_for(amount), self.alpha / shares)

    def _total_for(self, amount: npt.ArrayLike) -> npt.NDArray[Any]:
        return self.total[..., None] if np.ndim(amount) > np.ndim(self.total) else self.total


@dataclass(frozen=True)
class Known:
    """Masses known exactly, but for `unlisted` mass that may belong to any event: it is in no lower bound and in every
    upper one. The total is one.

    Sums of masses that leave [0, 1] by rounding are put back, or their quantiles would be NaN.
    """

    total: npt.NDArray[Any]
    unlisted: npt.NDArray[Any]

    def lower(self, amount: npt.ArrayLike, *, shares: int) -> Array:
        return np.clip(np.asarray(amount, dtype=np.float64), 0.0, 1.0)

    def upper(self, amount: npt.ArrayLike, *, shares: int) -> Array:
        return np.asarray(np.clip(np.asarray(amount, dtype=np.float64) + self.unlisted, 0.0, 1.0))
