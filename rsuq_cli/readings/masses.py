"""The masses behind the radii: how they are distributed over the inputs, so that not the average radius alone judges.

The average certified radius rewards easy inputs (arXiv 2410.06895); quantiles of the masses do not, and they convert to
any n and alpha. Invariant: masses are for the true label: 0 for a mass that stands for another class. Those of a run
sampled here are estimates, shares of its stored votes; of an imported log there is only what its radii prove, which is
a lower bound at the log's n and alpha. Which of the two a mass is, is always said with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rsuq_cli.readings.pages import pages
from rsuq_cli.results.database import Database
from rsuq_cli.results.exhibits import certificate_columns
from rsuq_cli.results.figures import Figures
from rsuq_cli.results.writer import load_evidence

Array = npt.NDArray[np.float64]
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
_HARDEST = 0.25
_NORMAL = NormalDist()


class Distribution(NamedTuple):
    """The masses of all inputs, ascending `[N]`, and their quantiles: the smallest mass that so large a share of the
    inputs has at most, for each of `QUANTILES`."""

    quantiles: tuple[float, ...]
    ascending: Array

    @classmethod
    def of(cls, masses: Array) -> Distribution:
        """Returns the empirical distribution (quantiles are its inverse, without interpolation)."""
        quantiles = np.quantile(masses, QUANTILES, method="inverted_cdf")
        return cls(tuple(float(one) for one in quantiles), np.sort(masses))

    def curve(self) -> tuple[Array, Array]:
        """Returns the empirical distribution function at its steps: masses `[M]`, ascending and distinct, and the share
        of the inputs that has at most each, `[M]`."""
        masses, first = np.unique(self.ascending, return_index=True)
        return masses, np.append(first[1:], len(self.ascending)) / len(self.ascending)


@dataclass(frozen=True)
class Masses:
    """The masses of one scoring over its inputs.

    `p_own` are the votes for the smoothed class where it is the label, `q_own` those of them that are certain, and
    `q_not_wrong` 1 - the certain votes for other classes: the masses behind the standard, CC and NCL radius. The last
    two are None where nothing is known of rejection. With `proven` the first is a lower bound, as an imported log
    proves it, else all are estimates. `median_standard` and `median_ncl` are the medians of the radii
    (pixel units, 0 where the class is wrong), `gain_in_median` their ratio - 1, None where the first is 0.
    `hardest_right` is the share of noise samples that are right on the hardest quarter of the inputs, those with the
    fewest right samples; None for an imported log.
    """

    figures: Figures
    inputs: int
    proven: bool
    p_own: Distribution
    q_own: Distribution | None
    q_not_wrong: Distribution | None
    median_standard: float
    median_ncl: float
    gain_in_median: float | None
    hardest_right: float | None


def masses_of(db: Database, figures: Sequence[Figures]) -> list[Masses]:
    """Returns the masses of every scoring, in the order of the figures."""
    right: dict[int, Array] = {}
    found = []
    for one in figures:
        if one.kind != "import" and one.run_id not in right:
            right[one.run_id] = _right_shares(db, one)
        found.append(_masses(db, one, right.get(one.run_id)))
    return found


def _masses(db: Database, one: Figures, right: Array | None) -> Masses:
    columns = certificate_columns(db, one.scoring_id)
    n, label = columns["n"].astype(np.float64), columns["label"]
    standard = np.where(columns["standard_class"] == label, columns["radius_standard"].astype(np.float64), 0.0)
    named = columns["class_index"] == label
    ncl = np.where(named, columns["radius_ncl"].astype(np.float64), 0.0)
    imported, rejects = one.kind == "import", one.rule != "standard"
    if imported:  # what a radius proves of the mass: Cohen et al. 2019, equation 3, turned round
        p = np.array([_NORMAL.cdf(radius / one.sigma) if radius > 0 else 0.0 for radius in standard])
    else:
        p = np.where(columns["standard_class"] == label, columns["vote_count"] / n, 0.0)
    q = not_wrong = None
    if rejects and not imported:
        q = Distribution.of(np.where(named, columns["certain_count"] / n, 0.0))
        kept = (columns["certain_count"] + columns["uncertain_count"]) / n
        not_wrong = Distribution.of(np.where(named, kept, 0.0))
    middle, wider = float(np.median(standard)), float(np.median(ncl))
    return Masses(
        one, len(label), imported, Distribution.of(p), q, not_wrong, middle, wider,
        wider / middle - 1 if middle > 0 and rejects else None, None if right is None else _of_hardest(right),
    )  # fmt: skip


def _right_shares(db: Database, one: Figures) -> Array:
    """Returns the share of the estimation samples of every input that name its label, `[N]`, from the evidence."""
    shares = []
    for page in pages(load_evidence(db, one.run_id), {one.measure}):
        for evidence in page.evidence:
            histogram = evidence.histograms[one.measure]
            shares.append(histogram.estimation[evidence.label].sum() / histogram.draws)
    return np.array(shares, dtype=np.float64)


def _of_hardest(right: Array) -> float | None:
    """Returns the mean over the quarter with the smallest shares, at least one input."""
    if not len(right):
        return None
    count = max(1, round(_HARDEST * len(right)))
    return float(np.sort(right)[:count].mean())
