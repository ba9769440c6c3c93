"""What has been certified so far, while a run is under way.

Invariant: counts and sums are over the certificates that are stored, those of an earlier call included, so the figures
are the ones that a report would show of the run as it stands. They are read once; after that they only grow.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rsuq_cli.readings.scoring import Scored
from rsuq_cli.results.database import Database
from rsuq_cli.results.figures import selected_figures
from rsuq_cli.results.rows import SampleRow
from rsuq_cli.results.selection import Selection


@dataclass
class Standing:
    """Counts of inputs, and sums of radii in pixel units, of the certificates of one scoring.

    `right` are right without rejection, `certain` answered with certainty; each sum is over the inputs whose radius
    counts (Cohen et al. 2019 §4: 0 where the class is wrong). Without rejection there is no CC and NCL to tell of.
    """

    scoring_id: int
    rejects: bool = True
    inputs: int = 0
    right: int = 0
    certain: int = 0
    standard: float = 0.0
    cc: float = 0.0
    ncl: float = 0.0

    def add(self, rows: Iterable[SampleRow]) -> None:
        """Adds certificates that were stored; those of other scorings are left out."""
        for row in rows:
            if row.scoring_id != self.scoring_id:
                continue
            named = row.standard_class == row.label
            self.inputs += 1
            self.right += named and row.standard_decided
            self.certain += not row.is_uncertain
            self.standard += row.radius_standard if named else 0.0
            self.cc += row.radius_cc if row.correct else 0.0
            self.ncl += row.radius_ncl if row.class_index == row.label else 0.0

    def __str__(self) -> str:
        """Returns the figures in one line, "" before the first input."""
        if not self.inputs:
            return ""
        right, certain = (100 * count / self.inputs for count in (self.right, self.certain))
        averages = {"ACR": self.standard} | ({"CC": self.cc, "NCL": self.ncl} if self.rejects else {})
        acr = ", ".join(f"{name} {total / self.inputs:.3f}" for name, total in averages.items())
        return f"{self.inputs:,} inputs: {right:.1f} % right, {certain:.1f} % certain, {acr}"


def standing_of(db: Database, scored: Scored) -> Standing:
    """Returns how a scoring stands in the database."""
    standing = Standing(scored.scoring_id, scored.method.rule != "standard")
    for one in selected_figures(db, Selection(scorings=(scored.scoring_id,))):
        standing.inputs = one.inputs
        standing.right, standing.certain = (round(s * one.inputs) for s in (one.clean_accuracy, one.coverage))
        standing.standard, standing.cc, standing.ncl = (
            acr * one.inputs for acr in (one.acr_standard, one.acr_cc, one.acr_ncl)
        )
    return standing
