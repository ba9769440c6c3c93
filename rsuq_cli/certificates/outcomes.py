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
    """The class that a certificate is about, and its competitors by strength, as the selection samples rank them."""

    class_index: Integers  # [...]
    rivals: Integers  # [..., K - 1], strongest first


def choose(primary: Integers, secondary: Integers) -> Choice:
    """Returns the class with the most `primary` votes `[..., K]`, ties broken by `secondary` votes, then by id.

    For a certificate with rejection the primary votes are the certain ones and the secondary all votes, so that an
    input without a certain vote is about the class with the most votes.
    """
    strength = primary * (secondary.sum(axis=-1, keepdims=True) + 1) + secondary
    ranking = np.argsort(-strength, axis=-1, kind="stable")
    return Choice(ranking[..., 0], ranking[..., 1:])


def take(amounts: Amounts, class_index: Integers) -> Amounts:
    """Returns the amount of one class for each input: `[..., K]` and `[...]` to `[...]`."""
    return np.take_along_axis(amounts, class_index[..., None], axis=-1)[..., 0]


@dataclass(frozen=True)
class Outcomes:
    """Amounts (counts or masses) of one decision problem: the class, the rejected, and the competitors."""

    total: Amounts  # [...]
    leader: Amounts  # [...] the certified class, certain
    rejected: Amounts  # [...] uncertain, of any class
    rivals: Amounts  # [..., G] competitors, each a class or the merged rest
    largest: Amounts  # [...] the class with the most, whichever it is, never grouped

    @property
    def groups(self) -> int:
        return int(self.rivals.shape[-1])

    @property
    def everyone(self) -> Amounts:
        """All classes `[..., 1 + G]`, the certified one first and the others as competitors are."""
        return np.concatenate([np.broadcast_to(self.leader, self.rivals.shape[:-1])[..., None], self.rivals], axis=-1)

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
    certain: Amounts, rejected: Amounts, total: Amounts, choice: Choice, *, most_groups: int = MOST_GROUPS
) -> Outcomes:
    """Returns the amounts of `choice` among certain amounts `[..., K]`, with `rejected` and `total` `[...]`."""
    ranked = np.take_along_axis(certain, choice.rivals, axis=-1)
    if ranked.shape[-1] > most_groups:
        rest = ranked[..., most_groups - 1 :].sum(axis=-1, keepdims=True)
        ranked = np.concatenate([ranked[..., : most_groups - 1], rest], axis=-1)
    leader = take(certain, choice.class_index)
    return Outcomes(total, leader, rejected, ranked, certain.max(axis=-1))


def from_counts(counts: Counts, choice: Choice) -> Outcomes:
    """Returns the amounts with rejection: certain votes by class, all others rejected."""
    total = counts.total
    return outcomes(counts.certain, total - counts.certain.sum(axis=-1), total, choice)


def without_rejection(
    votes: Amounts, total: Amounts, choice: Choice, *, most_groups: int = MOST_GROUPS, unanswered: Amounts | int = 0
) -> Outcomes:
    """Returns the amounts of the classifier that never rejects: all votes by class.

    A sample without an answer is a vote against every class: it is in the total, and stands by every competitor.
    """
    found = outcomes(votes, np.zeros_like(total), total, choice, most_groups=most_groups)
    if not np.any(unanswered):
        return found
    against = np.asarray(unanswered)
    return replace(found, rivals=found.rivals + against[..., None], largest=found.largest + against)


def unlisted_mass(listed: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Returns what masses that sum to `listed` leave of one, 0 where that is no more than rounding."""
    rest = 1.0 - np.asarray(listed, dtype=np.float64)
    return np.where(rest > _MASS_ROUNDING, rest, 0.0)
