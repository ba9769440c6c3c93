"""Exact one-sided confidence bounds for a probability that was sampled n times.

Invariant: a bound errs on the safe side. `lower` is above the true probability, and `upper` below it, with probability
at most `alpha` each, whatever the probability is (Clopper and Pearson 1934); numerical rounding only widens them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy.special import betainccinv, betaincinv, ndtri

Array = npt.NDArray[np.float64]

# The inverse of the incomplete beta function is good to a few units in the last place; this margin covers them.
_ROUNDING = 1e-13


def clopper_pearson_lower(count: npt.ArrayLike, n: npt.ArrayLike, alpha: float) -> Array:
    """Returns the exact lower bound of a probability at one-sided level 1 - alpha, 0 where the count is 0.

    `count` and `n` broadcast; counts may be fractional (planning), 0 <= count <= n. Clopper and Pearson 1934: the
    alpha-quantile of Beta(count, n - count + 1).
    """
    return _by_distinct_values(count, n, lambda k, m: _lower(k, m, alpha))


def clopper_pearson_upper(count: npt.ArrayLike, n: npt.ArrayLike, alpha: float) -> Array:
    """Returns the exact upper bound of a probability at one-sided level 1 - alpha, 1 where the count is n.

    `count` and `n` broadcast. Clopper and Pearson 1934: the (1 - alpha)-quantile of Beta(count + 1, n - count).
    """
    return _by_distinct_values(count, n, lambda k, m: _upper(k, m, alpha))


def _lower(count: Array, n: Array, alpha: float) -> Array:
    inside = count > 0
    k = np.where(inside, count, 1.0)
    bound = betaincinv(k, n - k + 1.0, alpha) * (1.0 - _ROUNDING)
    return np.where(inside, bound, 0.0).astype(np.float64)


def _upper(count: Array, n: Array, alpha: float) -> Array:
    inside = count < n
    k = np.where(inside, count, n - 1.0)
    bound = betainccinv(k + 1.0, n - k, alpha) * (1.0 + _ROUNDING)
    return np.where(inside, np.minimum(bound, 1.0), 1.0).astype(np.float64)


def _by_distinct_values(count: npt.ArrayLike, n: npt.ArrayLike, bound: Callable[[Array, Array], Array]) -> Array:
    """Evaluates `bound` once for every distinct (count, n): a sweep has millions of counts and few distinct ones."""
    counts, totals = np.broadcast_arrays(np.asarray(count), np.asarray(n))
    if counts.size < 64:
        return bound(counts.astype(np.float64), totals.astype(np.float64))
    same_total = bool((totals == totals.flat[0]).all())
    if same_total and np.issubdtype(counts.dtype, np.integer) and counts.max() < 16 * counts.size:
        seen = np.zeros(int(counts.max()) + 1, dtype=bool)
        seen[counts.ravel()] = True
        distinct = np.flatnonzero(seen)
        table = np.zeros(len(seen))
        table[distinct] = bound(distinct.astype(np.float64), np.full(len(distinct), float(totals.flat[0])))
        found: Array = table[counts]
        return found
    pairs, inverse = np.unique(
        np.stack([counts.ravel().astype(np.float64), totals.ravel().astype(np.float64)]), axis=1, return_inverse=True
    )
    return np.asarray(bound(pairs[0], pairs[1])[inverse.ravel()]).reshape(counts.shape)


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
    """Masses known exactly: every bound is the mass itself, and the total is one.

    Sums of masses that leave [0, 1] by rounding are put back, or their quantiles would be NaN.
    """

    total: npt.NDArray[Any]

    def lower(self, amount: npt.ArrayLike, *, shares: int) -> Array:
        return np.clip(np.asarray(amount, dtype=np.float64), 0.0, 1.0)

    def upper(self, amount: npt.ArrayLike, *, shares: int) -> Array:
        return np.clip(np.asarray(amount, dtype=np.float64), 0.0, 1.0)


def ceiling_radius(n: int, alpha: float, sigma: float) -> float:
    """Returns the largest radius that n samples can certify, sigma * Phi^-1(alpha^(1/n)), in pixel units; 0 if none.

    It is what an input gets when every one of its n samples speaks for the class.
    """
    return max(0.0, sigma * float(ndtri(clopper_pearson_lower(n, n, alpha))))
