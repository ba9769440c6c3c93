"""What a guarantee says of the votes at a point, and what would contradict it.

Invariant: one definition serves the attack (soft masses of torch), its evaluation and the judge (counts): a guarantee
is broken where every one of its contests is won by more than half. No torch and no numpy here, only arithmetic.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

from rsuq_cli.certificates.guarantees import Rule

Guarantee = Literal["standard", "cc", "ncl", "uncertain"]
GUARANTEES: tuple[Guarantee, ...] = get_args(Guarantee)
# As a rival: rejection, which can win a vote under plurality.
UNCERTAIN = -1


class Masses(NamedTuple):
    """Counts or masses at a point: `certain` and `votes` (certain or not) by class `[K]`, `rejected`, and the total.

    `unanswered` is what votes for no class; it is rejected too, and against every class where nothing is rejected.
    """

    certain: Any
    votes: Any
    rejected: Any
    total: Any
    unanswered: Any = 0


class Contest(NamedTuple):
    """Trials of which so many speak against the guarantee; more than half of them would contradict it."""

    wins: Any
    trials: Any


class Statement(NamedTuple):
    """A guarantee about class `class_index` under a rule; that the decision stays "uncertain" is about every class."""

    guarantee: Guarantee
    rule: Rule
    class_index: int

    def rival(self, masses: Masses) -> int:
        """Returns the strongest other class, or UNCERTAIN where rejection is what the class has to beat.

        Every class is another one to the guarantee that the decision stays "uncertain".
        """
        amounts: list[float] = (masses.votes if self._without_rejection else masses.certain).tolist()
        own = None if self.guarantee == "uncertain" else self.class_index
        strongest = max((c for c in range(len(amounts)) if c != own), key=lambda c: amounts[c])
        rejection_counts = self.rule == "plurality" and self.guarantee == "cc"
        return UNCERTAIN if rejection_counts and masses.rejected > amounts[strongest] else strongest

    def contests(self, masses: Masses, rival: int) -> tuple[Contest, ...]:
        """Returns the contests that must all be won against the guarantee to contradict it, against this rival.

        Standard: another class has more votes. CC: under majority the class has no majority, otherwise something beats
        it. NCL: under majority another class has one, under plurality it beats both the class and rejection. Stays
        uncertain: under majority any class has one, under plurality it beats rejection.
        """
        own, certain = self.class_index, masses.certain
        if self._without_rejection:
            return (_against(masses.votes[rival] + masses.unanswered, masses.votes[own]),)
        if self.rule == "majority":
            wins = masses.total - certain[own] if self.guarantee == "cc" else certain[rival]
            return (Contest(wins, masses.total),)
        if self.guarantee == "uncertain":
            return (_against(certain[rival], masses.rejected),)
        strength = masses.rejected if rival == UNCERTAIN else certain[rival]
        against_class = _against(strength, certain[own])
        if self.rule == "plurality" and self.guarantee == "ncl":
            return against_class, _against(strength, masses.rejected)
        return (against_class,)

    def kept_mass(self, masses: Masses, rival: int, *, class_wise: bool) -> Any:
        """Returns the share of the event that the guarantee's radius keeps large (Cohen et al. 2019, Theorem 1)."""
        if self._without_rejection:
            return masses.votes[self.class_index] / masses.total
        if self.guarantee == "uncertain":
            kept = masses.rejected if self.rule == "plurality" else masses.total - masses.certain[rival]
            return kept / masses.total
        own = masses.certain[self.class_index]
        if self.guarantee == "cc" or self.rule == "filtered":
            return own / masses.total
        if self.rule == "majority" and class_wise:
            return 1 - masses.certain[rival] / masses.total
        return (own + masses.rejected) / masses.total

    @property
    def _without_rejection(self) -> bool:
        return self.guarantee == "standard" or self.rule == "standard"


def _against(challenger: Any, holder: Any) -> Contest:
    return Contest(challenger, challenger + holder)
