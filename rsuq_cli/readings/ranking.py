"""Sources of uncertainty ranked by what they gain on the same inputs, with how sure the ranking is.

Invariant: all sources are compared on the inputs that every one of them has, and a resample takes the same inputs for
all of them; its randomness is that of a fixed seed, so that a report is the same each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rsuq_cli.results.input_radii import InputRadii

Array = npt.NDArray[np.float64]
RESAMPLES = 2000
# Of a bootstrap's distribution, the 95 % in the middle.
_ENDS = (2.5, 97.5)
# How many resamples are weighed at once, so that memory does not grow with the inputs.
_CHUNK = 200


class Interval(NamedTuple):
    """A value with the ends of its 95 % percentile interval over resamples of the inputs (Efron 1979)."""

    value: float
    low: float
    high: float


class Ranked(NamedTuple):
    """What a source gains and costs on the common inputs, beside the best of them.

    `gain` = ACR NCL / ACR standard − 1 and `cost` = 1 − ACR CC / ACR standard, `behind` the best source's gain minus
    its own. `best` is the share of resamples in which it gains most, ties shared out.
    """

    gain: Interval
    cost: Interval
    behind: Interval
    best: float


def ranked(sources: Sequence[InputRadii], resamples: int = RESAMPLES) -> list[Ranked] | None:
    """Returns the sources compared by gain, in their order; None where they have no radius on common inputs.

    Bootstrap over the inputs, paired: Efron and Tibshirani 1993, §8.3 and §13.3.
    """
    common = reduce(np.intersect1d, [one.input_index for one in sources])
    rows = [np.searchsorted(one.input_index, common) for one in sources]
    standard, cc, ncl = (
        np.stack([getattr(one, name)[row] for one, row in zip(sources, rows, strict=True)])
        for name in ("standard", "cc", "ncl")
    )
    if not len(common) or (standard.sum(axis=1) <= 0).any():
        return None
    gains, costs = _changes(np.ones((1, len(common))), standard, cc, ncl)
    random = np.random.default_rng(0)
    parts = []
    for begin in range(0, resamples, _CHUNK):
        rows_of = min(_CHUNK, resamples - begin)
        weights = random.multinomial(len(common), np.full(len(common), 1 / len(common)), size=rows_of)
        parts.append(_changes(weights.astype(np.float64), standard, cc, ncl))
    drawn_gains, drawn_costs = (np.concatenate([part[at] for part in parts]) for at in (0, 1))
    leader = int(np.argmax(gains[0]))
    behind = drawn_gains[:, [leader]] - drawn_gains
    tops = drawn_gains >= drawn_gains.max(axis=1, keepdims=True)
    best = (tops / tops.sum(axis=1, keepdims=True)).mean(axis=0)
    return [
        Ranked(
            _interval(gains[0, at], drawn_gains[:, at]),
            _interval(costs[0, at], drawn_costs[:, at]),
            _interval(gains[0, leader] - gains[0, at], behind[:, at]),
            float(best[at]),
        )
        for at in range(len(sources))
    ]


def _changes(weights: Array, standard: Array, cc: Array, ncl: Array) -> tuple[Array, Array]:
    """Returns gain and cost `[B, S]` for every row of weights `[B, N]`; a resample without a radius changes nothing."""
    base = weights @ standard.T
    whole = np.where(base > 0, base, 1.0)
    gain = np.where(base > 0, weights @ ncl.T / whole - 1.0, 0.0)
    return gain, np.where(base > 0, 1.0 - weights @ cc.T / whole, 0.0)


def _interval(value: float, drawn: Array) -> Interval:
    low, high = np.percentile(drawn, _ENDS)
    return Interval(float(value), float(low), float(high))
