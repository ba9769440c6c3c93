"""How far a score can be moved by an attacker, and what detection is guaranteed against one.

Invariant: every bound errs on the safe side, each with probability at most `alpha`; ties count as failures, and an
input about which nothing is known counts as the worst. An out-of-distribution input needs a lower bound only, an
in-distribution input an upper bound only, so each of them spends its `alpha` once for a score, at all radii together.

When an input moves by r in l2, a mass m of noise samples moves within [Phi(Phi^-1(m) - r/sigma), Phi(Phi^-1(m) +
r/sigma)] (Cohen et al. 2019). It is applied to the mass that is rejected, to the largest class, and for the mean of a
measure to its distribution function at every bin edge (Kumar et al. 2020, arXiv 2009.08061). Half of alpha goes to the
Dvoretzky-Kiefer-Wolfowitz inequality, which bounds it at all edges at once (Massart 1990), and half to exact bounds at
a few edges that are fixed before sampling, much the nearer in the tails. Both hold together, so at every edge the
better one may be taken.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from rsuq_cli.certificates.bounds import clopper_pearson_lower, clopper_pearson_upper
from rsuq_cli.certificates.outcomes import choose, take

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
# The normal distribution function and its inverse are good to a few units in the last place.
_ROUNDING = 1e-12
# At how many edges the distribution function of a measure has an exact bound of its own.
EXACT_EDGES = 25


class Bounds(NamedTuple):
    """Between which values a score stays inside each ball, `[R, N]` for R radii; scores are in [0, 1]."""

    lower: Array
    upper: Array


class Guaranteed(NamedTuple):
    """Metrics that no attacker within the ball can worsen, each `[R]`."""

    auroc: Array
    fpr95_ood_positive: Array
    fpr95_id_positive: Array


def rejected_bounds(rejected: Integers, n: Integers, alpha: float, shift: Array) -> Bounds:
    """Returns the bounds of the uncertain mass from rejected counts `[N]` among n samples, at shifts r/sigma `[R]`."""
    return _moved(clopper_pearson_lower(rejected, n, alpha), clopper_pearson_upper(rejected, n, alpha), shift)


def no_class_bounds(selection: Integers, estimation: Integers, n: Integers, alpha: float, shift: Array) -> Bounds:
    """Returns the bounds of 1 - the largest mass of a class, from selection and estimation votes `[N, K]`.

    The largest mass is at most the upper bound of the largest count: that fails only if the bound of the truly largest
    class does, since a larger count has a larger bound. It is at least the lower bound of any one class; which one is
    chosen on the selection samples.
    """
    largest = clopper_pearson_upper(estimation.max(axis=1), n, alpha)
    leader = take(estimation, choose(selection, selection).class_index)
    return _moved(1.0 - largest, 1.0 - clopper_pearson_lower(leader, n, alpha), shift)


def mean_bounds(counts: Integers, n: Integers, edges: Array, alpha: float, shift: Array) -> Bounds:
    """Returns the bounds of the mean of a measure on [0, 1], from counts by bin `[N, B + 1]` of edges `[B]` in [0, 1].

    Between two edges the distribution function is taken at the end that is safe; values above 1 count as 1. Raises
    ValueError for edges outside [0, 1].
    """
    if len(edges) and not 0 <= edges[0] <= edges[-1] <= 1:
        raise ValueError("the mean of a measure has bounds only where the measure lies in [0, 1]")
    below = np.cumsum(counts[:, :-1], axis=1)
    banded, exact = _banded(below, n, alpha / 2.0), _exact(below, n, alpha / 2.0)
    zeros, ones = np.zeros((len(n), 1)), np.ones((len(n), 1))
    at_most = np.concatenate([np.minimum(banded.upper, exact.upper), ones], axis=1)
    at_least = np.concatenate([zeros, np.maximum(banded.lower, exact.lower)], axis=1)
    widths = np.diff(np.concatenate([[0.0], edges, [1.0]]))
    lower = [(_at_least(1.0 - at_most, step) * widths).sum(axis=1) for step in shift]
    upper = [(_at_most(1.0 - at_least, step) * widths).sum(axis=1) for step in shift]
    return Bounds(np.maximum(np.stack(lower) - _ROUNDING, 0.0), np.minimum(np.stack(upper) + _ROUNDING, 1.0))


def _banded(below: Integers, n: Integers, alpha: float) -> Bounds:
    """Returns the bounds `[N, B]` of a distribution function at all edges, from the counts up to each."""
    share = below / n[:, None]
    # One-sided: valid for alpha up to 1/2 (Massart 1990).
    band = np.sqrt(np.log(1 / min(alpha, 0.5)) / (2 * n))[:, None]
    return Bounds(np.maximum(share - band, 0.0), np.minimum(share + band, 1.0))


def _exact(below: Integers, n: Integers, alpha: float) -> Bounds:
    """Returns the bounds `[N, B]` that exact ones at some edges give all of them, since the function never falls.

    Which edges depends on their number alone; each has its share of alpha (Clopper and Pearson 1934).
    """
    edges = below.shape[1]
    if not edges:
        return Bounds(np.zeros(below.shape), np.ones(below.shape))
    chosen = np.unique(np.linspace(0, edges - 1, min(EXACT_EDGES, edges)).round().astype(np.int64))
    lower = clopper_pearson_lower(below[:, chosen], n[:, None], alpha / len(chosen))
    upper = clopper_pearson_upper(below[:, chosen], n[:, None], alpha / len(chosen))
    # The last edge is among them: there is one at or after every edge, and, the first being there, one at or before.
    after, before = (
        np.searchsorted(chosen, np.arange(edges)),
        np.searchsorted(chosen, np.arange(edges), side="right") - 1,
    )
    return Bounds(lower[:, before], upper[:, after])


def guaranteed(inside: Array, outside: Array) -> Guaranteed:
    """Returns the guaranteed metrics from upper bounds `[R, N]` of in-distribution scores and lower bounds `[R, M]`.

    AUROC counts the pairs whose bounds are strictly apart. FPR at 95 % TPR takes the threshold that 95 % of the
    out-of-distribution bounds (or of the in-distribution ones, where those are positive) still pass.
    """
    found = [_guaranteed(np.sort(own), np.sort(other)) for own, other in zip(inside, outside, strict=True)]
    return Guaranteed(*(np.array(values) for values in zip(*found, strict=True)))


def _guaranteed(own: Array, other: Array) -> tuple[float, float, float]:
    wins = np.searchsorted(own, other, side="left").sum()
    flagged_from = other[len(other) - -(-19 * len(other) // 20)]
    accepted_to = own[-(-19 * len(own) // 20) - 1]
    return (
        float(wins / (len(own) * len(other))),
        float(1 - np.searchsorted(own, flagged_from, side="left") / len(own)),
        float(np.searchsorted(other, accepted_to, side="right") / len(other)),
    )


def _moved(lower: Array, upper: Array, shift: Array) -> Bounds:
    return Bounds(_at_least(lower, shift[:, None]), _at_most(upper, shift[:, None]))


def _at_least(mass: Array, shift: Array | float) -> Array:
    """Returns how small a mass can become; without a shift it is the mass itself, which the formula would round."""
    moved: Array = np.where(np.asarray(shift) == 0, mass, ndtr(ndtri(mass) - shift) * (1.0 - _ROUNDING))
    return np.clip(moved, 0.0, 1.0)


def _at_most(mass: Array, shift: Array | float) -> Array:
    moved: Array = np.where(np.asarray(shift) == 0, mass, ndtr(ndtri(mass) + shift) * (1.0 + _ROUNDING))
    return np.clip(moved, 0.0, 1.0)
