"""Who is certified, and against whom: what the selection samples decide, and the amounts that the bounds are put on.

Invariant: everything that is chosen (the class, the grouping of its competitors) is chosen on the selection samples
alone, and every amount is counted on the estimation samples alone; rejected samples stay in the total.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from rsuq_cli.certificates.evidence import Counts

Integers = npt.NDArray[np.int64]
Amounts = npt.NDArray[Any]  # counts (integers) or masses (floats)

# With more competitors than this, the strongest of the selection get a bound each and all the others one together.
MOST_GROUPS = 10
# Masses that sum to one sum to no less than this below it, whatever their number.
_MASS_ROUNDING = 1e-12


@dataclass(frozen=True)
class Choice:
    """The class that a certificate is about, and the strength of every class, as the selection samples have it."""

    class_index: Integers  # [...]
    strength: Amounts  # [..., K]

    @cached_property
    def rivals(self) -> Integers:
        """All classes but the strongest, by strength, `[..., K - 1]`; ties by id."""
        return np.argsort(-self.strength, axis=-1, kind="stable")[..., 1:]


def choose(primary: Integers, secondary: Integers) -> Choice:
    """Returns the class with the most `primary` votes `[..., K]`, ties broken by `secondary` votes, then by id.

    For a certificate with rejection the primary votes are the certain ones and the secondary all votes, so that an
    input without a certain vote is about the class with the most votes.
    """
    strength = primary * (secondary.sum(axis=-1, keepdims=True) + 1) + secondary
    return Choice(strength.argmax(axis=-1), strength)


def take(amounts: Amounts, class_index: Integers) -> Amounts:
    """Returns the amount of one class for each input: `[..., K]` and `[...]` to `[...]`."""
    return np.take_along_axis(amounts, class_index[..., None], axis=-1)[..., 0]


@dataclass(frozen=True)
class Outcomes:
    """Amounts (counts or masses) of one decision problem: the class, the rejected, and the competitors.

    With `one_bound` one bound covers every competitor, and `rivals` has the strongest alone. The certified class is
    fixed before the counts are seen, and so is the competitor with the largest mass, whichever it is. A statement that
    rests on a bound of that one fails only if its own bound fails; the bound of the largest count is at least its own
    (theory.md §4.4). Without it every competitor has a bound, and a share of alpha.
    """

    total: Amounts  # [...]
    leader: Amounts  # [...] the certified class, certain
    rejected: Amounts  # [...] uncertain, of any class
    rivals: Amounts  # [..., G] competitors, each a class or the merged rest
    largest: Amounts  # [...] the class with the most, whichever it is, never grouped
    one_bound: bool = False

    @property
    def groups(self) -> int:
        return int(self.rivals.shape[-1])

    def upper_bounds(self, beside: int = 0) -> int:
        """Returns how many bounds it takes to bound every competitor, and `beside` other events, from above."""
        return 1 if self.one_bound else self.groups + beside

    @cached_property
    def strongest(self) -> Amounts:
        """The largest of the competitors, zero where there is none."""
        return self.rivals.max(axis=-1) if self.groups else np.zeros_like(self.leader)

    @property
    def not_wrong(self) -> Amounts:
        """The certified class or rejected."""
        return self.leader + self.rejected

    @property
    def wrong(self) -> Amounts:
        """All competitors merged into one, by the complement."""
        return self.total - self.not_wrong


def outcomes(
    certain: Amounts, rejected: Amounts, total: Amounts, choice: Choice, *, one_bound: bool = False
) -> Outcomes:
    """Returns the amounts of `choice` among certain amounts `[..., K]`, with `rejected` and `total` `[...]`."""
    competitors = _strongest(certain, choice) if one_bound else _grouped(certain, choice)
    return Outcomes(total, take(certain, choice.class_index), rejected, competitors, certain.max(axis=-1), one_bound)


def _strongest(certain: Amounts, choice: Choice) -> Amounts:
    """Returns the largest amount of any other class, `[..., 1]`, of none `[..., 0]` where there is one class only."""
    if certain.shape[-1] == 1:
        return certain[..., :0]
    others = np.array(np.broadcast_to(certain, (*choice.class_index.shape, certain.shape[-1])))
    np.put_along_axis(others, choice.class_index[..., None], 0, axis=-1)
    return np.asarray(others.max(axis=-1, keepdims=True))


def _grouped(certain: Amounts, choice: Choice) -> Amounts:
    """Returns the amounts of the competitors by strength, `[..., G]`, the last ones merged where there are many."""
    ranked = np.take_along_axis(certain, choice.rivals, axis=-1)
    if ranked.shape[-1] > MOST_GROUPS:
        rest = ranked[..., MOST_GROUPS - 1 :].sum(axis=-1, keepdims=True)
        ranked = np.concatenate([ranked[..., : MOST_GROUPS - 1], rest], axis=-1)
    return ranked


def from_counts(counts: Counts, choice: Choice, *, one_bound: bool = False) -> Outcomes:
    """Returns the amounts with rejection: certain votes by class, all others rejected."""
    total = counts.total
    return outcomes(counts.certain, total - counts.certain.sum(axis=-1), total, choice, one_bound=one_bound)


def without_rejection(
    votes: Amounts, total: Amounts, choice: Choice, *, one_bound: bool = False, unanswered: Amounts | int = 0
) -> Outcomes:
    """Returns the amounts of the classifier that never rejects: all votes by class.

    A sample without an answer is a vote against every class: it is in the total, and stands by every competitor.
    """
    found = outcomes(votes, np.zeros_like(total), total, choice, one_bound=one_bound)
    if not np.any(unanswered):
        return found
    against = np.asarray(unanswered)
    return replace(found, rivals=found.rivals + against[..., None], largest=found.largest + against)


def unlisted_mass(listed: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Returns what masses that sum to `listed` leave of one, 0 where that is no more than rounding."""
    rest = 1.0 - np.asarray(listed, dtype=np.float64)
    return np.where(rest > _MASS_ROUNDING, rest, 0.0)
