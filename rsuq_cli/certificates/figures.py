"""Figures over a data set, from arrays of certificates.

Invariant: every share and average is over all inputs; an abstention stays in the denominator and counts as not right.
Names and meanings are those of `definitions`, from which the reports compute the same figures in SQL.

Source: Geifman et al. 2019 (arXiv 1805.08206) for the risk-coverage curve and its area.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rsuq_cli.certificates.certificate import Certificates
from rsuq_cli.certificates.definitions import CURVES, Judged, Measured, numbers, shares, summed
from rsuq_cli.certificates.intervals import Share, wilson_interval

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Curve:
    """A share of the inputs for every radius (pixel units), with Wilson intervals; all arrays `[R]`."""

    radius: Array
    value: Array
    low: Array
    high: Array


@dataclass(frozen=True)
class Figures(Measured):
    """The figures of one set of certificates. Radii in pixel units; shares again with intervals in `intervals`.

    Every figure of `certificates.definitions` is an attribute, and in `values` by its name: `accuracy` counts inputs
    answered with certainty and rightly, `clean_accuracy` those that smoothing without rejection gets right. `gain` =
    acr_ncl / acr_standard − 1 and `cc_cost` = 1 − acr_cc / acr_standard, None where acr_standard is 0 or infinite.
    `accuracy_answered` is None where nothing was answered. `certified_cc` is the certified accuracy, `certified_ncl`
    the not-wrong rate. `aurc` ranks the inputs by their certain votes.
    """

    inputs: int
    values: Mapping[str, float | None]
    aurc: float
    certified_standard: Curve
    certified_cc: Curve
    certified_ncl: Curve
    intervals: Mapping[str, Share]


@dataclass(frozen=True)
class RiskCoverage:
    """Risk among the most certain inputs: `coverage` k / N and `risk` for k = 1..N, both `[N]`; `aurc` its mean."""

    coverage: Array
    risk: Array
    aurc: float


def figures(
    labels: npt.ArrayLike, certificates: Certificates, *, radii: npt.ArrayLike = (), confidence: float = 0.95
) -> Figures:
    """Returns the figures of certificates `[N]` against labels `[N]`, with curves at `radii` `[R]` in pixel units.

    Raises ValueError where the shapes differ or are not `[N]` (take one threshold of a sweep with
    `certificates[:, j]`), without inputs, and for a radius that is negative or not finite.
    """
    truth, at = _checked(labels, certificates, radii)
    judged = Judged(certificates, truth)
    sums = {name: total.item() for name, total in summed(judged).items()}
    curves = {
        name: _curve(at, curve.counted(judged), getattr(certificates, curve.column), confidence)
        for name, curve in CURVES.items()
    }
    return Figures(
        inputs=len(truth),
        values=numbers(sums),
        aurc=risk_coverage(1.0 - certificates.certain_count / certificates.n, ~judged.named).aurc,
        intervals=shares(sums, confidence),
        **curves,
    )


def risk_coverage(uncertainty: npt.ArrayLike, wrong: npt.ArrayLike) -> RiskCoverage:
    """Returns the risk-coverage curve of answering the least uncertain inputs first, and the area under it (AURC).

    `uncertainty` and `wrong` are `[N]`. Inputs with equal uncertainty have no order, so each gets the average over all
    their orders: the errors of a tied group come evenly. Geifman et al. 2019, §2. Raises ValueError for shapes that
    differ, for no inputs, and for NaN.
    """
    values, errors = np.asarray(uncertainty, dtype=np.float64), np.asarray(wrong, dtype=np.float64)
    if values.ndim != 1 or values.shape != errors.shape or not len(values):
        raise ValueError(f"uncertainty and wrong must be [N] with N >= 1, not {values.shape} and {errors.shape}")
    if np.isnan(values).any():
        raise ValueError("an uncertainty is NaN, so it has no rank")
    _, group, size = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.concatenate([[0], np.cumsum(size)])
    errors_at_ends = np.concatenate([[0.0], np.cumsum(np.bincount(group, weights=errors))])
    answered = np.arange(1, len(values) + 1)
    risk = np.interp(answered, ends, errors_at_ends) / answered
    return RiskCoverage(answered / len(values), risk, float(risk.mean()))


class _Checked(NamedTuple):
    labels: npt.NDArray[Any]
    radii: Array


def _checked(labels: npt.ArrayLike, certificates: Certificates, radii: npt.ArrayLike) -> _Checked:
    truth, at = np.asarray(labels), np.asarray(radii, dtype=np.float64)
    shape = certificates.class_index.shape
    if truth.ndim != 1 or shape != truth.shape or not len(truth):
        raise ValueError(f"labels and certificates must both be [N] with N >= 1, not {truth.shape} and {shape}")
    if at.ndim != 1 or not (np.isfinite(at) & (at >= 0)).all():
        raise ValueError("radii must be a list of finite numbers from 0 up")
    return _Checked(truth, at)


def _curve(radii: Array, counts: Flags, radius: Array, confidence: float) -> Curve:
    # How many radii lie below each asked one: with the radii sorted, no table of inputs by radii is needed.
    ascending = np.sort(radius[counts])
    reached = len(ascending) - np.searchsorted(ascending, radii, side="left")
    interval = wilson_interval(reached, len(radius), confidence)
    return Curve(radii, reached / len(radius), interval.low, interval.high)
