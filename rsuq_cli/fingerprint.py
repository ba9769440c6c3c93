"""What a network computes, as numbers that can be kept and compared: its answers to a few fixed inputs.

Invariant: two fingerprints are compared with a tolerance, since other machines add in another order.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

# Of the largest answer to a probe: far above what the order of additions changes, far below what a user would.
TOLERANCE = 2e-4
# A probe whose answers nearly cancel is compared on the scale of the others.
_SMALLEST_SCALE = 0.01
# What all answers have in common, a large offset or the -1e9 of a class that is masked, says nothing of how far the
# others may move: no number may by more than that share of how much its like differ from probe to probe, unless that
# is the rounding of its own size.
_ROUNDING = 5e-6
_DIGITS = 9

Row = tuple[float | None, ...]


@dataclass(frozen=True)
class Fingerprint:
    """One row of numbers for each probe; None stands for an answer that is not finite."""

    rows: tuple[Row, ...]

    @classmethod
    def of_answers(cls, answers: Sequence[Sequence[float]]) -> Fingerprint:
        """Returns the fingerprint with these numbers, rounded to what is kept."""
        return cls(tuple(tuple(_rounded(value) for value in row) for row in answers))

    @classmethod
    def of_json(cls, stored: Sequence[Sequence[float | None]]) -> Fingerprint:
        """Returns the fingerprint that `to_json` wrote."""
        return cls(tuple(tuple(row) for row in stored))

    def to_json(self) -> list[list[float | None]]:
        """Returns the rows as lists."""
        return [list(row) for row in self.rows]

    def agrees(self, other: Fingerprint) -> bool:
        """Returns whether both are of one function, as far as the probes can tell."""
        if [len(row) for row in self.rows] != [len(row) for row in other.rows]:
            return False
        overall = max((_size(row) for row in (*self.rows, *other.rows)), default=0.0)
        spreads = [max(pair) for pair in zip(_spreads(self.rows), _spreads(other.rows), strict=True)]
        return all(_near(a, b, overall, spreads) for a, b in zip(self.rows, other.rows, strict=True))


def _rounded(value: float) -> float | None:
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None


def _size(row: Row) -> float:
    return max((abs(value) for value in row if value is not None), default=0.0)


def _spreads(rows: Sequence[Row]) -> list[float]:
    """Returns how far apart the numbers of each column lie, and no less than in the middle one of all columns."""
    columns = [[value for value in column if value is not None] for column in zip(*rows, strict=True)]
    own = [max(column) - min(column) if column else 0.0 for column in columns]
    usual = statistics.median(own) if own else 0.0
    return [max(spread, usual) for spread in own]


def _near(a: Row, b: Row, overall: float, spreads: Sequence[float]) -> bool:
    most = TOLERANCE * max(_size(a), _size(b), _SMALLEST_SCALE * overall)
    return all(
        (x is None) == (y is None)
        and (
            x is None or y is None or abs(x - y) <= min(most, max(TOLERANCE * spread, _ROUNDING * max(abs(x), abs(y))))
        )
        for x, y, spread in zip(a, b, spreads, strict=True)
    )
