"""How sure a metric is, given the inputs that it was measured on.

Invariant: intervals are two-sided at the confidence asked for, lie in [0, 1] (a difference in [-1, 1]) and contain the
observed value. Resamples are drawn from a seed, the same for every score of a set, so that differences are paired.

Sources: DeLong, DeLong and Clarke-Pearson 1988 for AUROC (ties by mid-ranks, Sun and Xu 2014), Efron 1979 for the
percentile bootstrap, Newcombe 2006 (method 5) for an AUROC of 0 or 1, where the other two have no width.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq

from rsuq_cli.certificates.intervals import wilson_interval

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
RESAMPLES = 400


class Estimate(NamedTuple):
    """An observed value with its interval."""

    value: float
    low: float
    high: float


def resample_weights(inputs: int, seed: tuple[int, ...], resamples: int = RESAMPLES) -> Integers:
    """Returns how often each of `inputs` inputs is drawn, `[1 + resamples, inputs]`; the first row is all ones."""
    random = np.random.default_rng(np.random.SeedSequence(seed))
    drawn = random.multinomial(inputs, np.full(inputs, 1 / inputs), size=resamples)
    return np.concatenate([np.ones((1, inputs), np.int64), drawn.astype(np.int64)])


def percentile(replicates: Array, confidence: float = 0.95) -> Estimate:
    """Returns the first replicate, the observed value, with the percentile interval of the others, `[1 + B]`.

    Raises ValueError where there are no resamples.
    """
    if len(replicates) < 2:
        raise ValueError("an interval needs at least one resample")
    value = float(replicates[0])
    low, high = np.quantile(replicates[1:], [0.5 - confidence / 2, 0.5 + confidence / 2])
    return Estimate(value, min(value, float(low)), max(value, float(high)))


def rate(replicates: Array, inputs: int, confidence: float = 0.95) -> Estimate:
    """Returns `percentile` of a share of `inputs` inputs, with Wilson's interval at 0 and 1, where resamples agree."""
    found = percentile(replicates, confidence)
    if 0 < found.value < 1:
        return found
    wilson = wilson_interval(round(found.value * inputs), inputs, confidence)
    return Estimate(found.value, min(found.low, float(wilson.low)), max(found.high, float(wilson.high)))


def delong(inside: npt.ArrayLike, outside: npt.ArrayLike, confidence: float = 0.95) -> Estimate:
    """Returns AUROC of in-distribution scores `[N]` against out-of-distribution ones `[M]`, with DeLong's interval.

    The interval is symmetric on the logit scale, so it stays inside (0, 1). Raises ValueError for fewer than two on a
    side.
    """
    own, other = np.asarray(inside, dtype=np.float64), np.asarray(outside, dtype=np.float64)
    if min(len(own), len(other)) < 2:
        raise ValueError("DeLong's interval needs two inputs on each side")
    ranks = _mid_ranks(np.concatenate([own, other]))
    # The share of the other side that each input wins against (ties count half).
    lost = 1 - (ranks[: len(own)] - _mid_ranks(own)) / len(other)
    won = (ranks[len(own) :] - _mid_ranks(other)) / len(own)
    value = float(won.mean())
    spread = float(np.sqrt(lost.var(ddof=1) / len(own) + won.var(ddof=1) / len(other)))
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    if spread == 0 or not 0 < value < 1:
        return _score_interval(value, len(own), len(other), z)
    centre, half = np.log(value / (1 - value)), z * spread / (value * (1 - value))
    low, high = 1 / (1 + np.exp(-np.clip([centre - half, centre + half], -700, 700)))
    return Estimate(value, min(value, float(low)), max(value, float(high)))


def _mid_ranks(values: Array) -> Array:
    """Returns the place of each value in their order, from 1; equal ones share the mean of their places."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Array = (np.cumsum(count) - (count - 1) / 2)[place]
    return ranks


def _score_interval(value: float, own: int, other: int, z: float) -> Estimate:
    """Returns Newcombe's interval: the areas that `value` does not speak against, by Hanley and McNeil's variance."""

    def distance(area: float) -> float:
        more = (own + other) / 2 - 1
        variance = area * (1 - area) * (1 + more * ((1 - area) / (2 - area) + area / (1 + area))) / (own * other)
        return float(abs(value - area) - z * np.sqrt(variance))

    tiny = 1e-12
    low = 0.0 if value <= tiny else float(brentq(distance, tiny, max(value - tiny, 2 * tiny)))
    high = 1.0 if value >= 1 - tiny else float(brentq(distance, min(value + tiny, 1 - 2 * tiny), 1 - tiny))
    return Estimate(value, min(low, value), max(high, value))
