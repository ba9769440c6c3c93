"""Figures of stored evidence at many thresholds at once, and the best threshold.

Invariant: nothing is sampled and nothing is stored. Where a threshold is chosen, it is chosen on one half of the inputs
and its figures are of the other half, so that luck in the choice is not in the figures; which half an input is in
depends on its number alone. One threshold is chosen for all inputs, never one for each: the threshold is a part of the
classifier that is certified, and one chosen anew at the attacked point would make another classifier, about which the
ball says nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rsuq_cli.certificates.definitions import CURVES, Measured, shares
from rsuq_cli.certificates.intervals import Share, wilson_interval
from rsuq_cli.certificates.method import Method
from rsuq_cli.errors import BadInput
from rsuq_cli.readings.pages import Plan, certificates, pages_for
from rsuq_cli.readings.request import Best
from rsuq_cli.readings.totals import Counter, Totals
from rsuq_cli.results.database import Database
from rsuq_cli.results.figures import CurvePoint
from rsuq_cli.results.rows import RunRow
from rsuq_cli.results.writer import load_evidence

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Choice:
    """How a threshold was chosen, among how many of how many measures, on how many inputs, and its figure there."""

    best: str
    at_coverage: float
    measures: int
    candidates: int
    chosen_on: int
    value_there: float | None


@dataclass(frozen=True)
class SweepPoint(Measured):
    """The figures of a run's inputs at one threshold; `values` and attributes are those of the definitions.

    `choice` says how the threshold was chosen; the figures are then those of the other inputs.
    """

    run: RunRow
    measure: str
    threshold: float
    threshold_coverage: float | None
    method: Method
    inputs: int
    values: Mapping[str, float | None]
    shares: Mapping[str, Share]
    curves: Mapping[str, tuple[CurvePoint, ...]]
    choice: Choice | None = None


def sweep(db: Database, run: RunRow, plans: Sequence[Plan], radii: Sequence[float]) -> list[SweepPoint]:
    """Returns the figures at every threshold of every plan, over all inputs, with curves at `radii` in pixel units."""
    counters = [_counter(radii) for _ in plans]
    for page in pages_for(load_evidence(db, run.id), plans):
        for place, found in certificates(page, plans):
            counters[place].add(page.inputs, page.labels, found)
    return [
        _point(run, plan, totals, at, radii)
        for plan, totals in zip(plans, [counter.totals() for counter in counters], strict=True)
        for at in range(len(plan.positions))
    ]


def best_thresholds(
    db: Database, run: RunRow, plans: Sequence[Plan], best: Best, radii: Sequence[float]
) -> list[SweepPoint]:
    """Returns each plan's figures at the threshold that `best` asks for.

    Raises:
        BadInput: a half of the inputs is empty, or no threshold answers as many samples as asked.
    """
    return [_best_of(run, [choice], best, radii) for choice in _weighed(db, run, plans, best, radii)]


def best_measures(
    db: Database, run: RunRow, plans: Sequence[Plan], best: Best, radii: Sequence[float]
) -> list[SweepPoint]:
    """Returns, for each rule, the figures of the best threshold of the best measure, both chosen on the one half.

    Measures without a threshold that answers enough are passed over; raises BadInput as `best_thresholds` does.
    """
    weighed = _weighed(db, run, plans, best, radii, skip=True)
    by_method: dict[Method, list[_Weighed]] = {}
    for one in weighed:
        by_method.setdefault(one.plan.method, []).append(one)
    return [_best_of(run, several, best, radii) for several in by_method.values()]


class _Weighed(NamedTuple):
    """A plan with the totals of both halves, the edges that answer enough, and the figure to choose by at each."""

    plan: Plan
    here: Totals
    chosen_on: int
    allowed: Integers
    figure: npt.NDArray[np.float64]


def _weighed(
    db: Database, run: RunRow, plans: Sequence[Plan], best: Best, radii: Sequence[float], *, skip: bool = False
) -> list[_Weighed]:
    choosing, reporting = _counted(db, run, plans, radii)
    if not choosing or not reporting:
        raise BadInput(f"run {run.id} has too few inputs to choose on one half and report on the other",
                       "name the thresholds with --threshold or --coverage")  # fmt: skip
    enough = [np.flatnonzero(there.values["sample_coverage"] >= best.at_coverage - 1e-12) for there in choosing]
    found = []
    for plan, there, here, allowed in zip(plans, choosing, reporting, enough, strict=True):
        if len(allowed):
            figure = there.values[best.criterion][allowed]
            found.append(_Weighed(plan, here, there.inputs, allowed, figure))
        elif not (skip and any(map(len, enough))):
            raise BadInput(
                f"no threshold of {plan.measure} answers {best.at_coverage:g} of the samples",
                f"the most that one answers is {there.values['sample_coverage'].max():.4f}",
            )
    return found


def _best_of(run: RunRow, weighed: Sequence[_Weighed], best: Best, radii: Sequence[float]) -> SweepPoint:
    known = [np.where(np.isnan(one.figure), -np.inf, one.figure) for one in weighed]
    first = max(range(len(weighed)), key=lambda place: known[place].max())
    chosen, at = weighed[first], int(np.argmax(known[first]))
    candidates = sum(len(one.allowed) for one in weighed)
    value = _number(float(chosen.figure[at]))
    choice = Choice(best.criterion, best.at_coverage, len(weighed), candidates, chosen.chosen_on, value)
    return _point(run, chosen.plan, chosen.here, int(chosen.allowed[at]), radii, choice)


def in_choosing_half(input_index: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Returns which inputs thresholds are chosen on: about half, by a hash of the number of the input `[N]`."""
    names = (str(int(index)).encode() for index in np.atleast_1d(input_index))
    return np.array([hashlib.blake2b(name, digest_size=1).digest()[0] % 2 == 0 for name in names], dtype=np.bool_)


def _counted(
    db: Database, run: RunRow, plans: Sequence[Plan], radii: Sequence[float]
) -> tuple[list[Totals], list[Totals]]:
    """Returns the totals of the choosing half and of the reporting half; none where a half is empty."""
    halves = [[_counter(radii) for _ in plans] for _ in range(2)]
    filled = [False, False]
    for page in pages_for(load_evidence(db, run.id), plans):
        choosing = in_choosing_half(page.inputs)
        for half, inside in enumerate((choosing, ~choosing)):
            if not inside.any():
                continue
            filled[half] = True
            part = page.where(inside)
            for place, found in certificates(part, plans):
                halves[half][place].add(part.inputs, part.labels, found)
    first, second = ([c.totals() for c in half] if full else [] for half, full in zip(halves, filled, strict=True))
    return first, second


def _counter(radii: Sequence[float]) -> Counter:
    nothing = np.empty(0)
    return Counter(np.unique(np.asarray(radii, dtype=np.float64)), nothing, nothing.astype(np.int64))


def _point(
    run: RunRow, plan: Plan, totals: Totals, at: int, radii: Sequence[float], choice: Choice | None = None
) -> SweepPoint:
    edge = int(plan.positions[at])
    calibrated = float(plan.edges.coverages[edge]) if plan.edges.coverages[-1] > 0 else None
    return SweepPoint(
        run=run,
        measure=plan.measure,
        threshold=float(plan.edges.edges[edge]),
        threshold_coverage=calibrated,
        method=plan.method,
        inputs=totals.inputs,
        values={name: _number(float(values[at])) for name, values in totals.values.items()},
        shares=shares({name: values[at] for name, values in totals.sums.items()}),
        curves={name: _curve(totals, curve.guarantee, at, radii) for name, curve in CURVES.items()},
        choice=choice,
    )


def _curve(totals: Totals, guarantee: str, at: int, radii: Sequence[float]) -> tuple[CurvePoint, ...]:
    reached = totals.reached[guarantee][at][np.searchsorted(totals.radii, np.asarray(radii, dtype=np.float64))]
    low, high = wilson_interval(reached, totals.inputs)
    return tuple(
        CurvePoint(float(radius), float(reached[i] / totals.inputs), float(low[i]), float(high[i]))
        for i, radius in enumerate(radii)
    )


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value
