"""What has been certified so far, while a run is under way.

Invariant: counts and sums are over the certificates that are stored, those of an earlier call included, so the figures
are the ones that a report would show of the run as it stands. They are read once; after that they only grow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from rsuq_cli.certificates.definitions import TERMS, Judged, evaluated, summed
from rsuq_cli.readings.scoring import CERTIFICATE, Scored, stored_certificates
from rsuq_cli.results.database import Database
from rsuq_cli.results.figures import stored_sums
from rsuq_cli.results.rows import SampleRow

_COLUMNS = ("label", "competitors", *(name for name in CERTIFICATE if name != "class_wise"))


@dataclass
class Standing:
    """The terms of the figures over the certificates of one scoring; without rejection there is no CC and NCL."""

    scoring_id: int
    rejects: bool = True
    sums: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(TERMS, 0))

    @property
    def inputs(self) -> int:
        """How many inputs have a certificate."""
        return int(self.sums["inputs"])

    def add(self, rows: Iterable[SampleRow]) -> None:
        """Adds certificates that were stored; those of other scorings are left out."""
        own = [row for row in rows if row.scoring_id == self.scoring_id]
        if own:
            columns = {name: np.array([getattr(row, name) for row in own]) for name in _COLUMNS}
            added = summed(Judged(stored_certificates(columns), columns["label"]))
            self.sums = {name: total + added[name].item() for name, total in self.sums.items()}

    def __str__(self) -> str:
        """Returns the figures in one line, "" before the first input."""
        if not self.inputs:
            return ""
        known = evaluated(self.sums)
        names = {"acr_standard": "ACR"} | ({"acr_cc": "CC", "acr_ncl": "NCL"} if self.rejects else {})
        acr = ", ".join(f"{title} {known[name]:.3f}" for name, title in names.items())
        right, certain = (100 * known[name] for name in ("clean_accuracy", "coverage"))
        return f"{self.inputs:,} inputs: {right:.1f} % right, {certain:.1f} % certain, {acr}"


def standing_of(db: Database, scored: Scored) -> Standing:
    """Returns how a scoring stands in the database."""
    return Standing(scored.scoring_id, scored.method.rule != "standard", stored_sums(db, scored.scoring_id))
