"""One input's case: its votes, who is certified, and the amounts that the bounds are put on.

Invariant: what is chosen is chosen on the selection samples alone, whatever the method; amounts are counted once,
however many methods read them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rsuq_cli.certificates.evidence import Counts
from rsuq_cli.certificates.outcomes import Amounts, Choice, Outcomes, choose, from_counts, without_rejection

# How many samples a form is chosen for where their number is not known beforehand.
FORETOLD = 10_000


class Counted(NamedTuple):
    """What the bounds are put on: with rejection and without."""

    rejecting: Outcomes
    standard: Outcomes


@dataclass(frozen=True, eq=False)
class Case:
    """Votes, and what is chosen on the selection samples, whatever the method."""

    selection: Counts
    estimation: Counts
    choice: Choice
    standard_choice: Choice
    _counted: dict[bool, Counted] = field(default_factory=dict)

    @classmethod
    def of(cls, selection: Counts, estimation: Counts) -> Case:
        selection, estimation = (counts._replace(votes=_once(counts.votes)) for counts in (selection, estimation))
        choice = choose(selection.certain, selection.votes)
        return cls(selection, estimation, choice, choose(selection.votes, selection.votes))

    @property
    def total(self) -> npt.NDArray[np.int64]:
        return self.estimation.total

    def counted(self, *, one_bound: bool) -> Counted:
        """Returns the amounts of the estimation samples, counted once for each way to bound competitors."""
        if one_bound not in self._counted:
            self._counted[one_bound] = self._amounts(self.estimation, one_bound=one_bound)
        return self._counted[one_bound]

    def foretold(self, total: Amounts, *, one_bound: bool) -> Counted:
        """Returns the amounts to expect of so many samples, in whole votes: few distinct counts keep bounds quick."""
        scale = total / np.maximum(self.selection.total, 1)
        certain, votes = (
            np.floor(given * scale[..., None]).astype(np.int64)
            for given in (self.selection.certain, self.selection.votes)
        )
        unanswered = np.floor(self.selection.unanswered * scale).astype(np.int64)
        return self._amounts(Counts(certain, votes, unanswered), one_bound=one_bound)

    def _amounts(self, counts: Counts, *, one_bound: bool) -> Counted:
        standard = without_rejection(
            counts.votes, counts.total, self.standard_choice, one_bound=one_bound, unanswered=counts.unanswered
        )
        return Counted(from_counts(counts, self.choice, one_bound=one_bound), standard)


def _once(votes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Returns votes `[..., K]` that are repeated for every threshold only once, as `[..., 1, K]`."""
    return votes[..., :1, :] if votes.ndim > 1 and votes.strides[-2] == 0 else votes
