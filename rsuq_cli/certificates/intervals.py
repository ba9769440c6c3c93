"""Confidence intervals for shares of a data set.

Invariant: an interval lies in [0, 1] and contains the observed share.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


class Interval(NamedTuple):
    """Low and high end, arrays of the shape of what was observed."""

    low: Array
    high: Array


class Share(NamedTuple):
    """A share of the inputs with its 95 % Wilson interval over the inputs, unless another confidence is asked for."""

    value: float
    low: float
    high: float


def wilson_interval(successes: npt.ArrayLike, total: npt.ArrayLike, confidence: float = 0.95) -> Interval:
    """Returns the two-sided Wilson score interval of a share, [0, 1] where nothing was observed.

    `successes` and `total` broadcast. Wilson 1927; of the simple intervals the one whose coverage is nearest to its
    name for the shares near 0 and 1 that certified accuracy has at its ends.
    """
    k = np.asarray(successes, dtype=np.float64)
    n = np.asarray(total, dtype=np.float64)
    z2 = NormalDist().inv_cdf(0.5 + confidence / 2) ** 2
    safe = np.maximum(n, 1.0)
    share = k / safe
    centre = (share + z2 / (2 * safe)) / (1 + z2 / safe)
    half = np.sqrt(share * (1 - share) / safe * z2 + (z2 / (2 * safe)) ** 2) / (1 + z2 / safe)
    # At 0 and at n the formula gives the share itself, up to rounding.
    low = np.where(n > 0, np.where(k == 0, 0.0, np.clip(centre - half, 0.0, share)), 0.0)
    high = np.where(n > 0, np.where(k == n, 1.0, np.clip(centre + half, share, 1.0)), 1.0)
    return Interval(low, high)
