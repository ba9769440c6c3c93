"""The certificate of counts or masses that a user types in.

Invariant: nothing about the class or its competitors is chosen on the counts that are bounded, except where the user
leaves `--class` out; then the class is the one with the most certain votes, as the documentation says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rsuq_cli.certificates.certificate import DECISIONS, Certificates, certify, certify_masses
from rsuq_cli.certificates.evidence import Counts
from rsuq_cli.certificates.method import NEWEST_BOUNDS, STATEMENTS, Method, default_competitors
from rsuq_cli.certificates.outcomes import choose, unlisted_mass
from rsuq_cli.errors import BadInput
from rsuq_cli.run.request import check_alpha, check_method, check_sigma

MOST_CLASSES = 1_000_000
# Votes are ranked by products of two counts, which must fit into 64 bits.
MOST_VOTES = 1_000_000_000


@dataclass(frozen=True)
class RadiusRequest:
    """Votes by class id: counts, or with `masses` probabilities; raises BadInput for values that cannot be votes."""

    sigma: float
    certain: Mapping[int, float]
    uncertain: Mapping[int, float]
    class_index: int | None = None
    rule: str = "majority"
    competitors: str | None = None
    alpha: float = 0.001
    family_wise: bool = False
    masses: bool = False

    def __post_init__(self) -> None:
        check_sigma(self.sigma)
        check_alpha(self.alpha)
        check_method(self.rule, self.competitors)
        if not self.certain and not self.uncertain:
            raise BadInput("there are no votes", "give --certain CLASS:COUNT, and --uncertain CLASS:COUNT")
        if self.total <= 0:
            raise BadInput("all votes are 0", "give at least one vote")
        if self.masses and self.total > 1 + 1e-9:
            raise BadInput(f"the masses sum to {self.total:g}, more than 1", "give probabilities")
        if not self.masses and self.total > MOST_VOTES:
            raise BadInput(f"there are {self.total:,.0f} votes", f"give at most {MOST_VOTES:,}")
        if self.class_index is not None and not 0 <= self.class_index <= MOST_CLASSES:
            raise BadInput(f"--class is {self.class_index}", f"give a class id from 0 to {MOST_CLASSES}")

    @property
    def total(self) -> float:
        """The sum of all votes: n, or the mass that is listed."""
        return math.fsum([*self.certain.values(), *self.uncertain.values()])

    @property
    def classes(self) -> int:
        """Class ids run from 0 to this; never fewer than two, so that there is someone to lose to."""
        return max(2, *(c + 1 for c in (*self.certain, *self.uncertain, self.class_index or 0)))


def parse_votes(texts: Sequence[str], flag: str, *, masses: bool) -> dict[int, float]:
    """Returns class id to count (or mass) from texts CLASS:VALUE; raises BadInput for anything else."""
    votes: dict[int, float] = {}
    for text in (part for given in texts for part in given.split(",")):
        left, colon, right = text.partition(":")
        try:
            if not colon:
                raise ValueError
            class_index, value = int(left), float(right) if masses else int(right)
            finite = math.isfinite(value)
        except (ValueError, OverflowError):
            what = "CLASS:MASS, such as 0:0.9" if masses else "CLASS:COUNT, such as 0:9000"
            raise BadInput(f"{flag} {text} is not {what}", "masses need --masses" if not masses else "") from None
        if class_index < 0 or not (finite and value >= 0) or class_index in votes:
            raise BadInput(f"{flag} {text} is negative or names a class twice", "give each class once, with 0 or more")
        if class_index > MOST_CLASSES:
            raise BadInput(f"{flag} {text} names class {class_index}", f"class ids go to {MOST_CLASSES}")
        votes[class_index] = value
    return votes


def single_certificate(request: RadiusRequest) -> dict[str, Any]:
    """Returns the certificate with its settings, by the names of the JSON output; an unbounded radius is None."""
    rule: Any = request.rule
    competitors: Any = request.competitors or default_competitors(rule)
    family_size = STATEMENTS if request.family_wise else 1
    # One bound for all competitors needs a class that was not chosen on the counts that are bounded.
    bounds = 1 if request.class_index is None else NEWEST_BOUNDS
    method = Method(request.sigma, request.alpha, rule, competitors, family_size, bounds=bounds)
    certificate = _of_masses(request, method) if request.masses else _of_counts(request, method)
    n = None if request.masses else int(request.total)
    return {
        "class": int(certificate.class_index),
        "class_given": request.class_index is not None,
        "standard_class": int(certificate.standard_class),
        "decision": DECISIONS[int(certificate.decision)],
        "rule": request.rule,
        "competitors": "class-wise" if bool(certificate.class_wise) else "merged",
        "bounds_version": method.bounds_version,
        "sigma": request.sigma,
        "alpha": None if request.masses else request.alpha,
        "family_size": method.family_size,
        "n": n,
        "unlisted": float(unlisted_mass(request.total)) if request.masses else None,
        "radius_standard": _finite(certificate.radius_standard),
        "radius_cc": _finite(certificate.radius_cc),
        "radius_ncl": _finite(certificate.radius_ncl),
        "radius_uncertain": _finite(certificate.radius_uncertain),
        "ceiling": None if n is None else method.ceiling(n),
        "bounds": {
            name: {"lower": float(bound.lower), "upper": float(bound.upper)}
            for name, bound in certificate.bounds.items()
        },
    }


def _of_counts(request: RadiusRequest, method: Method) -> Certificates:
    votes = np.zeros((2, request.classes), dtype=np.int64)
    for row, given in enumerate((request.certain, request.uncertain)):
        for class_index, count in given.items():
            votes[row, class_index] = int(count)
    estimation = Counts(votes[0], votes.sum(axis=0))
    return certify(_stand_in_selection(estimation, request.class_index), estimation, method)


def _stand_in_selection(estimation: Counts, class_index: int | None) -> Counts:
    """Returns selection votes that name the classes and nothing else, so that competitors are grouped by id.

    A class that is given is the one that every radius is about, as with masses: none is chosen on the counts.
    """
    votes, certain = np.zeros_like(estimation.votes), np.zeros_like(estimation.certain)
    if class_index is None:
        votes[np.argmax(estimation.votes)] = 1
        certain[choose(estimation.certain, estimation.votes).class_index] = 1
    else:
        votes[class_index] = certain[class_index] = 1
    return Counts(certain, votes)


def _of_masses(request: RadiusRequest, method: Method) -> Certificates:
    masses = np.zeros((2, request.classes))
    for row, given in enumerate((request.certain, request.uncertain)):
        for class_index, mass in given.items():
            masses[row, class_index] = mass
    about = None if request.class_index is None else np.asarray(request.class_index)
    return certify_masses(masses[0], masses[1], method, about)


def _finite(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None
