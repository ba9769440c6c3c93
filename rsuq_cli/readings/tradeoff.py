"""What each source of a study gains and costs as its threshold moves: one line a source, for each network.

Invariant: a line is read from stored evidence, at the bin edges, and at a stored threshold it has the figures of the
database (`readings.evidence` holds it to that); a run without evidence has its stored thresholds alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rsuq_cli.readings.evidence import Detail, Reading, readings
from rsuq_cli.readings.study import Place, SourceFound
from rsuq_cli.results.database import Database

Array = npt.NDArray[np.float64]
# Every bin edge, and nothing over radii, single inputs or ranks.
_DETAIL = Detail(thresholds=10_000, radii=2, points=1, coverages=0)
# Below this share of answered samples a gain says little: rejecting everything would make it infinite.
LEAST_COVERAGE = 0.5


class Line(NamedTuple):
    """A source on a network, coverage descending: the share of samples it answers, gain and CC cost, each `[T]`.

    `stored` `[T]` are the thresholds that the study compares.
    """

    place: Place
    predictor: str
    measure: str
    coverage: Array
    gain: Array
    cost: Array
    stored: npt.NDArray[np.bool_]

    def reaching(self, gain: float) -> tuple[float, float] | None:
        """Returns the largest coverage at which the gain is reached, and the cost there; None where it never is."""
        reached = np.flatnonzero(self.gain >= gain)
        return (float(self.coverage[reached[0]]), float(self.cost[reached[0]])) if len(reached) else None


def tradeoffs(
    db: Database, found: Sequence[SourceFound], advance: Callable[[int], None] = lambda inputs: None
) -> list[Line]:
    """Returns a line for every source on every network of a study, in its order; rules without rejection have none.

    `advance` is told how many inputs have been read, as it goes on.
    """
    where = {one.figures.run_id: (one.place, one.predictor) for one in found}
    read = readings(db, [one.figures for one in found], _DETAIL, advance)
    return [_line(*where[one.run.id], one) for one in read if one.rejects]


def _line(place: Place, predictor: str, reading: Reading) -> Line:
    coverage, gain, cost = (reading.column(name) for name in ("sample_coverage", "gain", "cc_cost"))
    stored = np.isin(np.arange(len(coverage)), reading.stored)
    shown = (coverage >= LEAST_COVERAGE) & np.isfinite(gain) & np.isfinite(cost)
    order = np.flatnonzero(shown)[np.argsort(-coverage[shown], kind="stable")]
    return Line(place, predictor, reading.key.measure, coverage[order], gain[order], cost[order], stored[order])
