"""How well a score tells out-of-distribution inputs from in-distribution ones.

Invariant: out-of-distribution is the positive class and larger scores mean more of it. Inputs with equal scores fall on
the same side of every threshold: an input is flagged where its score reaches the threshold, and AUROC counts a tie as
half a success (mid-ranks). Inputs carry whole weights, so one function serves the data and all its resamples at once.

Sources: Hendrycks and Gimpel 2017 for AUROC and AUPR, Liang et al. 2018 for the FPR at 95 % TPR and the detection
error, whose complement at equal priors is the detection accuracy. AUPR is the average precision: a sum of steps, since
a straight line between two points of a precision-recall curve is too optimistic (Davis and Goadrich 2006).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Convention = Literal["ood-positive", "id-positive"]
CONVENTIONS: tuple[Convention, ...] = get_args(Convention)
# Rows of weights that are worked on together: few enough that their tables stay in the cache.
_ROWS = 32


@dataclass(frozen=True)
class Metrics:
    """Metrics for every row of weights, `[B]` each; shares in [0, 1].

    `fpr95_ood_positive` is the share of in-distribution inputs flagged where 95 % of the out-of-distribution ones are;
    `fpr95_id_positive` the share of out-of-distribution inputs accepted where 95 % of the in-distribution ones are.
    `detection_accuracy` is the best mean of the two shares told rightly, `threshold` the score from which it flags.
    """

    auroc: Array
    aupr_in: Array
    aupr_out: Array
    fpr95_ood_positive: Array
    fpr95_id_positive: Array
    detection_accuracy: Array
    threshold: Array

    def fpr95(self, convention: Convention) -> Array:
        """Returns FPR at 95 % TPR in one of the two conventions."""
        return self.fpr95_ood_positive if convention == "ood-positive" else self.fpr95_id_positive


def metrics(inside: npt.ArrayLike, outside: npt.ArrayLike) -> Metrics:
    """Returns the metrics of in-distribution scores `[N]` and out-of-distribution scores `[M]`, arrays of one row.

    Raises ValueError for scores that are no rows, fewer than two on a side, and NaN.
    """
    own, other = np.asarray(inside, dtype=np.float64), np.asarray(outside, dtype=np.float64)
    return weighted_metrics(own, other, np.ones((1, own.size), np.int64), np.ones((1, other.size), np.int64))


def weighted_metrics(inside: Array, outside: Array, own_weights: Integers, other_weights: Integers) -> Metrics:
    """Returns the metrics for every row of whole weights, `[B, N]` and `[B, M]`: how often each input counts.

    Raises ValueError as `metrics` does, and for a row without any weight on a side.
    """
    _check(inside, outside, own_weights, other_weights)
    values, group = np.unique(np.concatenate([inside, outside]), return_inverse=True)
    parts = [
        _rows(
            values,
            _by_value(own_weights[start : start + _ROWS], group[: len(inside)], len(values)),
            _by_value(other_weights[start : start + _ROWS], group[len(inside) :], len(values)),
        )
        for start in range(0, len(own_weights), _ROWS)
    ]
    return Metrics(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Metrics)))


def _by_value(weights: Integers, group: Integers, size: int) -> Integers:
    """Returns the weight at each distinct value, `[B, G]`, from weights `[B, N]` and the value of each input `[N]`."""
    order = np.argsort(group, kind="stable")
    running = np.zeros((len(weights), len(group) + 1), dtype=np.int64)
    np.cumsum(weights[:, order], axis=1, out=running[:, 1:])
    ends = np.searchsorted(group[order], np.arange(size + 1))
    return np.diff(running[:, ends], axis=1)


def _rows(values: Array, own: Integers, other: Integers) -> Metrics:
    """Returns the metrics from the weights at each of the ascending distinct values, `[B, G]`."""
    own_upto, other_upto = np.cumsum(own, axis=1), np.cumsum(other, axis=1)
    own_all, other_all = own_upto[:, -1:], other_upto[:, -1:]
    # What reaches a value, and so is flagged where that value is the threshold.
    own_from, other_from = own_all - own_upto + own, other_all - other_upto + other
    wins = (other * (2 * own_upto - own)).sum(axis=1) / 2
    flagged = own_from + other_from
    accepted = own_upto + other_upto
    right = 0.5 * (1 - own_from / own_all + other_from / other_all)
    best = right.argmax(axis=1)
    # Whole numbers throughout: 0.95 * N in floating point may miss the count that is exactly 95 %.
    detected = (20 * other_from >= 19 * other_all).sum(axis=1) - 1
    kept = (20 * own_upto < 19 * own_all).sum(axis=1)
    at = np.arange(len(own))
    return Metrics(
        auroc=wins / (own_all * other_all)[:, 0],
        aupr_in=(own * own_upto / np.maximum(accepted, 1)).sum(axis=1) / own_all[:, 0],
        aupr_out=(other * other_from / np.maximum(flagged, 1)).sum(axis=1) / other_all[:, 0],
        fpr95_ood_positive=own_from[at, detected] / own_all[:, 0],
        fpr95_id_positive=other_upto[at, kept] / other_all[:, 0],
        detection_accuracy=right[at, best],
        threshold=values[best],
    )


def _check(inside: Array, outside: Array, own_weights: Integers, other_weights: Integers) -> None:
    if inside.ndim != 1 or outside.ndim != 1 or min(len(inside), len(outside)) < 2:
        raise ValueError(f"scores must be two rows of at least two, not {inside.shape} and {outside.shape}")
    if np.isnan(inside).any() or np.isnan(outside).any():
        raise ValueError("a score is NaN, so it has no rank")
    if own_weights.shape[1:] != inside.shape or other_weights.shape != (len(own_weights), len(outside)):
        raise ValueError(f"weights of shape {own_weights.shape} and {other_weights.shape} do not fit the scores")
    if not (own_weights.sum(axis=1).all() and other_weights.sum(axis=1).all()):
        raise ValueError("a row of weights is all zero")
