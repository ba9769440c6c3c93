"""How votes become a certificate: noise level, rule, error budget, and what is split off it.

Invariant: alpha is shared out here and nowhere else, and the ceiling is the one figure of what n samples can certify.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from rsuq_cli.certificates.anytime import AnyTime, Reachable
from rsuq_cli.certificates.bounds import Bounder, Sampled
from rsuq_cli.certificates.guarantees import Rule
from rsuq_cli.certificates.radii import stays_above_half

Competitors = Literal["merged", "class-wise", "auto"]
COMPETITORS: tuple[Competitors, ...] = ("merged", "class-wise", "auto")
# 1: every competitor has a bound, and a share of alpha. 2: one bound covers all of them, and a stopping rule keeps half
# of alpha for the last look (theory.md §4). What is stored keeps the bounds that it was made with.
BOUNDS_VERSIONS = (1, 2)
NEWEST_BOUNDS = BOUNDS_VERSIONS[-1]
# Standard, CC, NCL and stays-uncertain: what one certificate prints, and what --family-wise splits alpha over.
STATEMENTS = 4


def share_of_alpha(alpha: float, family_size: int) -> float:
    """Returns the error probability of each of so many guarantees that together are wrong with at most alpha."""
    return alpha / family_size


class Method(NamedTuple):
    """How votes become a certificate. `alpha` is the error budget of an input, `family_size` what it is split over.

    `sampling_error` is how far the samples' distribution may be from the one that a certificate is about (total
    variation over all of them): what holds but for a probability p there holds but for p + sampling_error here.
    `last_look` says that a stopping rule chose the number of samples, at most that many, so that the bounds must hold
    at every number; None where it is fixed. `bounds` is the newest version of the bounds that may be used. Version 2
    needs a class that was not chosen on the counts that are bounded.
    """

    sigma: float
    alpha: float = 0.001
    rule: Rule = "majority"
    competitors: Competitors = "merged"
    family_size: int = 1
    sampling_error: float = 0.0
    last_look: int | None = None
    bounds: int = NEWEST_BOUNDS

    @classmethod
    def of_scoring(cls, sigma: float, scoring: Mapping[str, Any], configuration: Mapping[str, Any]) -> Method:
        """Returns the method of a stored scoring, by the names of its columns, of a run with this configuration."""
        method = cls(
            sigma, scoring["alpha"], scoring["rule"], scoring["competitors"], scoring["family_size"],
            bounds=scoring["bounds_version"],
        )  # fmt: skip
        return method.of_run(configuration)

    @property
    def anytime(self) -> bool:
        """Whether the bounds must hold at every number of samples."""
        return self.last_look is not None

    @property
    def one_bound(self) -> bool:
        """Whether one bound covers all competitors."""
        return self.bounds >= 2

    @property
    def ranks_competitors(self) -> bool:
        """Whether a certificate depends on classes that no sample names: some of them are competitors of their own."""
        return not self.one_bound and self.competitors != "merged"

    @property
    def bounds_version(self) -> int:
        """The oldest version that has the bounds of this method: merged into one, competitors never had others."""
        return self.bounds if self.anytime or self.competitors != "merged" else 1

    @property
    def error_budget(self) -> float:
        """The error probability left to the bounds of one guarantee."""
        return share_of_alpha(self.alpha, self.family_size) - self.sampling_error

    def of_run(self, configuration: Mapping[str, Any]) -> Method:
        """Returns the method as the samples of a run allow it, given everything that its evidence depends on.

        A stopping rule needs bounds that hold at every look, and grid noise takes its sampling error off alpha.
        """
        error = float(configuration.get("sampling_error", 0.0))
        looks = configuration["stopping"]["looks"] if "stopping" in configuration else [None]
        return self._replace(sampling_error=error, last_look=looks[-1])

    def bounder(self, total: npt.NDArray[Any]) -> Bounder:
        """Returns the bounds that the error budget allows of counts among `total` samples."""
        if self.anytime:
            return AnyTime(total, self.error_budget, self._kept_for)
        return Sampled(total, self.error_budget)

    def reachable(self, total: npt.NDArray[Any], n: int) -> Bounder:
        """Returns the bounds to hope for of counts among `total` samples when going on to n; no proof of anything."""
        return Reachable(total, self.error_budget, n, self._kept_for)

    @property
    def _kept_for(self) -> int | None:
        """The look that half of alpha is kept for, if any."""
        return self.last_look if self.bounds >= 2 else None

    def ceiling(self, n: int) -> float:
        """Returns the largest radius that n samples can certify, all of them for the class, in pixel units; 0 if none.

        sigma * Phi^-1(alpha^(1/n)) where the number of samples is fixed (Cohen et al. 2019, section 3.2.2).
        """
        if not self.error_budget > 0:
            return 0.0
        lower = self.bounder(np.asarray(n)).lower(np.asarray(n), shares=1)
        return self.sigma * float(stays_above_half(lower))


def default_competitors(rule: Rule) -> Competitors:
    """Returns how competitors are bounded unless asked otherwise: rules that compare classes need them one by one."""
    return "class-wise" if rule in ("plurality", "filtered") else "merged"
