"""What a rescoring is asked for, checked before the database is opened.

Invariant: a `RescoreRequest` that exists names one way to choose thresholds, and known measures and rules only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from rsuq_cli.certificates.guarantees import Rule
from rsuq_cli.certificates.method import STATEMENTS, Competitors, Method, default_competitors
from rsuq_cli.errors import BadInput, nearest
from rsuq_cli.run.request import DEFAULT_COVERAGE, check_alpha, check_method
from rsuq_cli.uncertainty.measures import measure_named

Criterion = Literal["gain", "acr_ncl", "acr_cc"]
CRITERIA: tuple[Criterion, ...] = get_args(Criterion)


@dataclass(frozen=True)
class Best:
    """What to choose thresholds by: a figure to make as large as possible, and the least share of samples to answer.

    `at_coverage` is about noisy samples, as a coverage that a threshold is calibrated for is.
    """

    criterion: Criterion
    at_coverage: float


@dataclass(frozen=True)
class RescoreRequest:
    """Readings of stored evidence: measures × thresholds × rules. Raises BadInput for impossible values.

    Without `thresholds`, `coverages` and `every_edge` a threshold for the usual coverage is taken, or every bin edge
    where there is something to choose. Without `measures` the best of all that the evidence has is chosen, which takes
    `best`.
    """

    measures: tuple[str, ...] = ("entropy",)
    thresholds: tuple[float, ...] = ()
    coverages: tuple[float, ...] = ()
    every_edge: bool = False
    rules: tuple[Rule, ...] = ("majority",)
    competitors: Competitors | None = None
    alpha: float = 0.001
    family_wise: bool = False
    best: Best | None = None

    def __post_init__(self) -> None:
        check_alpha(self.alpha)
        if not self.measures and self.best is None:
            raise BadInput("no uncertainty measure is named", "give --uncertainty entropy, for example")
        for measure in self.measures:
            measure_named(measure)
        for rule in self.rules:
            check_method(rule, self.competitors)
        if sum((bool(self.thresholds), bool(self.coverages), self.every_edge)) > 1:
            raise BadInput("more than one of --threshold, --coverage and --sweep is given", "give one of them")
        for coverage in self.coverages:
            check_coverage(coverage)
        if self.best:
            check_coverage(self.best.at_coverage)
            if self.best.criterion not in CRITERIA:
                raise BadInput(f"cannot choose by {self.best.criterion!r}", nearest(self.best.criterion, CRITERIA))

    @property
    def over_edges(self) -> bool:
        """Whether figures over thresholds are asked for, rather than scorings to keep."""
        return self.every_edge or self.best is not None

    @property
    def wanted_coverages(self) -> tuple[float, ...]:
        """The coverages whose thresholds are asked for; none where thresholds are named or every edge is taken."""
        if self.thresholds or self.every_edge:
            return ()
        return self.coverages or (() if self.best else (DEFAULT_COVERAGE,))

    def method(self, rule: Rule, sigma: float, certificates: int) -> Method:
        """Returns how votes become certificates; `certificates` is how many are printed for one input."""
        competitors = self.competitors or default_competitors(rule)
        return Method(sigma, self.alpha, rule, competitors, STATEMENTS * certificates if self.family_wise else 1)


def check_coverage(coverage: float) -> None:
    """Raises BadInput unless a coverage is a share that answers something."""
    if not 0 < coverage <= 1:
        raise BadInput(f"coverage {coverage:g} is not in (0, 1]", "give the share to answer, such as 0.9")
