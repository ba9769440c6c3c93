"""The uncertainty measures that one or several passes give: names and ranges. No torch, so that `--help` is quick.

Invariant: larger means more uncertain, for every measure; `forms` has what each of them computes. A run counts the
measures of its predictor that are registered when it begins, and keeps to them: its bins say which those are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from rsuq_cli.errors import BadInput, nearest


class Measure(NamedTuple):
    """A measure of uncertainty; `lowest` and `highest` bound its values, None where it is unbounded.

    One that is `of_passes` compares several passes over a noisy input, and is nothing of a single one; one that is
    `fitted` is nothing without what `rsuq fit-rejecter` wrote.
    """

    name: str
    formula: str
    lowest: float | None
    highest: float | None
    of_passes: bool = False
    fitted: bool = False

    @property
    def is_share(self) -> bool:
        """Whether values lie in [0, 1], so that their mean under noise has certified bounds."""
        return (self.lowest, self.highest) == (0.0, 1.0)


MEASURES: dict[str, Measure] = {
    measure.name: measure
    for measure in (
        Measure("entropy", "-sum(p log p) / log K", 0.0, 1.0),
        Measure("confidence", "1 - max p", 0.0, 1.0),
        Measure("margin", "1 - (p_1 - p_2)", 0.0, 1.0),
        Measure("energy", "-logsumexp(z)", None, None),
        Measure("max_logit", "-max z", None, None),
        Measure("gen", "sum of p^0.1 (1 - p)^0.1 over the 100 largest", 0.0, None),
        # m is the mean of the softmax over the passes, and c the class that is decided.
        Measure("own_margin", "1 - (m_c - the largest other m)", 0.0, 2.0, of_passes=True),
        Measure("mean_entropy", "-sum(m log m) / log K", 0.0, 1.0, of_passes=True),
        Measure("mean_confidence", "1 - max m", 0.0, 1.0, of_passes=True),
        Measure("expected_entropy", "mean over passes of -sum(p log p) / log K", 0.0, 1.0, of_passes=True),
        Measure("mutual_information", "mean_entropy - expected_entropy", 0.0, 1.0, of_passes=True),
        Measure("variation_ratio", "1 - the largest share of passes that name one class", 0.0, 1.0, of_passes=True),
        Measure("disagreement", "share of passes that name another class than c", 0.0, 1.0, of_passes=True),
        # s is a linear function of what all passes say, fitted on calibration images of its own.
        Measure("rejecter", "(1 + s / (1 + |s|)) / 2", 0.0, 1.0, fitted=True),
    )
}


def measure_named(name: str) -> Measure:
    """Returns the measure; raises BadInput with the nearest names for an unknown one."""
    if name not in MEASURES:
        raise BadInput(f"unknown uncertainty measure {name!r}", nearest(name, MEASURES))
    return MEASURES[name]


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Returns measures in the order of the registry; those that it does not have come last."""
    given = set(names)
    return (*(name for name in MEASURES if name in given), *sorted(given - set(MEASURES)))


def lacking(run_id: int, measure: str, counted: Iterable[str]) -> BadInput:
    """Returns what to say of a run whose evidence has no counts of a measure: it is from before there was one, or of
    one pass.
    """
    known = MEASURES.get(measure)
    views = " --views 2" if known and known.of_passes else " --rejecter ID" if known and known.fitted else ""
    return BadInput(
        f"run {run_id} has no counts of {measure}, only of {', '.join(in_order(counted))}",
        f"the same rsuq certify command with{views} --uncertainty {measure} samples a run that has them",
    )


def check_known(run_id: int, counted: Iterable[str]) -> None:
    """Raises BadInput where a run counts a measure that this release does not have, so that it cannot go on."""
    if unknown := sorted(set(counted) - set(MEASURES)):
        raise BadInput(
            f"run {run_id} counts {', '.join(unknown)}, which this release of rsuq does not have",
            "go on with the release that began it, or begin anew with --fresh",
        )


def check_threshold(name: str, threshold: float) -> None:
    """Raises BadInput where no value of the measure could be on both sides of the threshold."""
    measure = measure_named(name)
    low, high = measure.lowest, measure.highest
    outside = (low is not None and threshold < low) or (high is not None and threshold > high)
    if outside or not math.isfinite(threshold):
        span = f"[{'-inf' if low is None else f'{low:g}'}, {'inf' if high is None else f'{high:g}'}]"
        raise BadInput(
            f"threshold {threshold:g} is outside the range of {name}, {span}", "use --coverage to calibrate one"
        )
