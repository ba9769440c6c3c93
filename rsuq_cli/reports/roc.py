"""ROC curves of out-of-distribution scores.

Invariant: a threshold flags tied inputs together, so ties are straight lines and count half in the area (Fawcett 2006).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


class Roc(NamedTuple):
    """Shares of inside and outside inputs with a score of at least each threshold, from (0, 0) to (1, 1), and AUROC."""

    false_alarms: Array
    found: Array
    auroc: float


def roc(inside: Array, outside: Array) -> Roc:
    """Returns the curve of telling `outside` `[M]` (positive, larger scores) from `inside` `[N]`."""
    thresholds = np.unique(np.concatenate([inside, outside]))[::-1]
    shares = [
        np.concatenate([[0.0], 1 - np.searchsorted(np.sort(values), thresholds, side="left") / len(values)])
        for values in (inside, outside)
    ]
    false_alarms, found = shares
    # The trapezoid rule by hand: numpy's has another name in each major version.
    area = float(np.sum(np.diff(false_alarms) * (found[1:] + found[:-1]) / 2))
    return Roc(false_alarms, found, area)
