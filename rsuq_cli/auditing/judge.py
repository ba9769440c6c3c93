"""The judge: whether counts at a point prove that a guarantee is broken there.

Invariant: for a point and a rival chosen without the counts, "broken" is said of a guarantee that holds with
probability at most alpha. Where several contests must be won, each is tested at alpha: all must be lost for the
guarantee to fail, so none of the error is multiplied (Berger 1982, intersection-union tests).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri

from rsuq_cli.auditing.statement import Contest, Masses, Statement
from rsuq_cli.certificates.bounds import clopper_pearson_lower
from rsuq_cli.certificates.evidence import Counts

# A point this many standard errors short of a contradiction is left alone after the first few samples.
HOPELESS = 4.0


class Verdict(NamedTuple):
    """What the counts say: `excess` is by how much the contests are won, above one half; `excess_lower` its bound."""

    excess: float
    excess_lower: float
    mass: float
    n: int

    @property
    def broken(self) -> bool:
        """Whether the guarantee is contradicted with confidence."""
        return self.excess_lower > 0


def masses_of(counts: Counts) -> Masses:
    """Returns the votes `[K]` of one input as masses in units of one sample."""
    total = int(counts.total)
    return Masses(counts.certain, counts.votes, total - int(counts.certain.sum()), total, int(counts.unanswered))


def judge(statement: Statement, masses: Masses, rival: int, alpha: float, *, class_wise: bool) -> Verdict:
    """Returns the verdict on counts that were drawn after the point and the rival were chosen."""
    contests = statement.contests(masses, rival)
    lower = min(float(clopper_pearson_lower(c.wins, c.trials, alpha)) if c.trials else 0.0 for c in contests)
    kept = statement.kept_mass(masses, rival, class_wise=class_wise)
    return Verdict(excess(contests), lower - 0.5, float(kept), int(masses.total))


def excess(contests: tuple[Contest, ...]) -> float:
    """Returns the smallest share won, less one half; a contest without a trial is lost."""
    return min(float(c.wins) / float(c.trials) if float(c.trials) > 0 else 0.0 for c in contests) - 0.5


def is_hopeless(contests: tuple[Contest, ...]) -> bool:
    """Returns whether the counts are so far from a contradiction that more of them will not make one."""
    return any(float(c.wins) - float(c.trials) / 2 < -HOPELESS * np.sqrt(max(float(c.trials), 1.0)) / 2
               for c in contests)  # fmt: skip


def least_mass(lower: float, distance: float, sigma: float) -> float:
    """Returns the least mass at `distance` of an event whose mass at the centre is at least `lower`.

    Phi(Phi^-1(lower) - distance / sigma): Cohen et al. 2019, Lemma 4.
    """
    return float(ndtr(ndtri(lower) - distance / sigma))


def claimed_mass(radius: float, sigma: float) -> float:
    """Returns the mass at the centre that a majority radius claims, Phi(radius / sigma)."""
    return float(ndtr(radius / sigma))
