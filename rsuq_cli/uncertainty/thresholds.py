"""Thresholds and bin edges from noisy calibration data, which training never saw.

Invariant: everything here is fixed before the first certified sample is drawn, from the calibration split and the
calibration noise alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rsuq_cli.certificates.evidence import MeasureEdges, build_edges
from rsuq_cli.errors import BadInput
from rsuq_cli.uncertainty.measures import MEASURES
from rsuq_cli.uncertainty.predictor import PLAIN

# Noisy samples behind a calibrated coverage: at 0.9 its standard error is 0.4 points.
SAMPLES = 5000


@dataclass(frozen=True)
class Threshold:
    """A threshold of a measure, and the coverage it was calibrated for (None where the user gave the threshold)."""

    measure: str
    value: float
    coverage: float | None


def draws_for(inputs: int, samples: int = SAMPLES) -> int:
    """Returns how many noise samples each of so many calibration inputs gets."""
    return math.ceil(samples / inputs) if inputs else 0


def calibrated_edges(
    values: Mapping[str, npt.NDArray[np.float32]],
    *,
    measures: Sequence[str] | None = None,
    thresholds: Mapping[str, Sequence[float]],
    coverages: Sequence[float],
) -> dict[str, MeasureEdges]:
    """Returns the bin edges of these measures (those of one pass where none is named) from their values on noisy
    calibration inputs `[S]` (may be empty).
    """
    return {
        name: build_edges(
            values.get(name, np.empty(0, dtype=np.float32)),
            lowest=MEASURES[name].lowest,
            highest=MEASURES[name].highest,
            thresholds=thresholds.get(name, ()),
            coverages=coverages,
        )
        for name in (PLAIN.measures if measures is None else measures)
    }


def chosen_thresholds(
    edges: Mapping[str, MeasureEdges], measures: Sequence[str], *, threshold: float | None, coverages: Sequence[float]
) -> list[Threshold]:
    """Returns the thresholds asked for: one given, or one for each coverage, for every measure.

    Raises BadInput where a coverage is asked for and there is no calibration data.
    """
    if threshold is not None:
        return [Threshold(measure, threshold, None) for measure in measures]
    for measure in measures:
        if not len(edges[measure].coverages) or edges[measure].coverages[-1] == 0:
            raise BadInput(
                f"there is no calibration data to find a threshold of {measure} for a coverage",
                "give --threshold, or a data set with training data",
            )
    return [
        Threshold(measure, edges[measure].threshold_for(coverage), coverage)
        for measure in measures
        for coverage in coverages
    ]


def out_of_reach(edges: Mapping[str, MeasureEdges], measures: Sequence[str], coverages: Sequence[float]) -> list[str]:
    """Returns a line for every measure that reaches not all of the coverages, since samples without an answer are never
    certain; nothing is said where nothing was calibrated.
    """
    lines = []
    for measure in measures:
        most = float(edges[measure].coverages[-1]) if len(edges[measure].coverages) else 0.0
        missed = [coverage for coverage in coverages if 0 < most < coverage - 1e-12]
        if missed:
            lines.append(
                f"no threshold of {measure} answers {max(missed):g} of the noisy calibration samples: the most is "
                f"{most:.3f}, since the others have no answer"
            )
    return lines
