"""Two scorings on the same inputs: differences with paired intervals, and a test of whether they differ at all.

Invariant: pure functions of counts and sums. Pairing matters: both scorings meet the same easy and hard inputs, so the
interval of a difference is far narrower than two separate intervals suggest.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from scipy import stats

from rsuq_cli.certificates.intervals import wilson_interval


class Difference(NamedTuple):
    """A difference (second minus first) with its interval; `p_value` of the hypothesis that there is none."""

    value: float
    low: float
    high: float
    p_value: float


def difference_of_means(pairs: int, total: float, total_of_squares: float, *, confidence: float = 0.95) -> Difference:
    """Returns the mean of paired differences, from their number, sum and sum of squares, with Student's t interval.

    One pair gives no spread: the interval is then infinite and the p-value 1.
    """
    mean = total / pairs
    if pairs < 2:
        return Difference(mean, -math.inf, math.inf, 1.0)
    # Differences of less than the rounding of their squares leave a tiny negative number.
    variance = max(total_of_squares / pairs - mean * mean, 0.0) * pairs / (pairs - 1)
    error = math.sqrt(variance / pairs)
    if error == 0.0:
        return Difference(mean, mean, mean, 1.0 if mean == 0.0 else 0.0)
    reach = float(stats.t.ppf(0.5 + confidence / 2, pairs - 1)) * error
    p_value = 2 * float(stats.t.sf(abs(mean) / error, pairs - 1))
    return Difference(mean, mean - reach, mean + reach, p_value)


def difference_of_shares(both: int, only_first: int, only_second: int, neither: int) -> Difference:
    """Returns the difference of two paired shares with Newcombe's interval and McNemar's exact test.

    The four counts are the inputs for which both hold, only the first, only the second, neither. Sources: Newcombe
    1998 (Statistics in Medicine 17, 2635-2650), method 10, at 95 %; McNemar 1947 in its exact binomial form.
    """
    pairs = both + only_first + only_second + neither
    first, second = (both + only_first) / pairs, (both + only_second) / pairs
    low, high = wilson_interval([both + only_first, both + only_second], pairs)
    correlation = _correlation(both, only_first, only_second, neither)

    def reach(one: float, other: float) -> float:
        return math.sqrt(max(one * one + other * other - 2 * correlation * one * other, 0.0))

    value = second - first
    return Difference(
        value,
        value - reach(second - float(low[1]), float(high[0]) - first),
        value + reach(float(high[1]) - second, first - float(low[0])),
        mcnemar(only_first, only_second),
    )


def mcnemar(only_first: int, only_second: int) -> float:
    """Returns the exact two-sided p-value of equal chances for both kinds of discordant pairs; 1 without any."""
    discordant = only_first + only_second
    return min(1.0, 2 * float(stats.binom.cdf(min(only_first, only_second), discordant, 0.5))) if discordant else 1.0


def _correlation(both: int, only_first: int, only_second: int, neither: int) -> float:
    """Returns the phi coefficient with Newcombe's continuity correction where it is positive."""
    margins = (both + only_first) * (only_second + neither) * (both + only_second) * (only_first + neither)
    if margins == 0:
        return 0.0
    covariance = float(both * neither - only_first * only_second)
    if covariance > 0:
        covariance = max(covariance - (both + only_first + only_second + neither) / 2, 0.0)
    return covariance / math.sqrt(margins)
