"""Figures over a data set, from arrays of certificates.

Invariant: every share and average is over all inputs; an abstention stays in the denominator and counts as not right.
Names and meanings are those of the reports, which compute the same figures in SQL: two independent sources.

Sources: Cohen et al. 2019 §4 for certified accuracy and the average certified radius (ACR), Däubener et al. 2024 for
the two guarantees CC and NCL, Geifman et al. 2019 (arXiv 1805.08206) for the risk-coverage curve and its area.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rsuq_cli.certificates.certificate import CERTAIN, UNDECIDED, Certificates
from rsuq_cli.certificates.intervals import wilson_interval

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


class Share(NamedTuple):
    """A share of the inputs with its Wilson interval over the inputs."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Curve:
    """A share of the inputs for every radius (pixel units), with Wilson intervals; all arrays `[R]`."""

    radius: Array
    value: Array
    low: Array
    high: Array


@dataclass(frozen=True)
class Figures:
    """The figures of one set of certificates. Radii in pixel units; shares again with intervals in `intervals`.

    `accuracy` counts inputs answered with certainty and rightly, `clean_accuracy` those that smoothing without
    rejection gets right. `gain` = acr_ncl / acr_standard − 1 and `cc_cost` = 1 − acr_cc / acr_standard, None where
    acr_standard is 0 or infinite. `accuracy_answered` is None where nothing was answered. `certified_cc` is the
    certified accuracy, `certified_ncl` the not-wrong rate. `aurc` ranks the inputs by their certain votes.
    """

    inputs: int
    accuracy: float
    clean_accuracy: float
    coverage: float
    abstention: float
    undecided: float
    accuracy_answered: float | None
    at_ceiling: float
    sample_coverage: float
    acr_standard: float
    acr_cc: float
    acr_ncl: float
    gain: float | None
    cc_cost: float | None
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
    correct, standard_correct, right = _right(truth, certificates)
    answered = certificates.decision == CERTAIN
    shares = {
        "accuracy": _share(correct, confidence),
        "clean_accuracy": _share(standard_correct, confidence),
        "coverage": _share(answered, confidence),
        "abstention": _share(~answered, confidence),
        "undecided": _share(certificates.decision == UNDECIDED, confidence),
        "at_ceiling": _share(certificates.at_ceiling, confidence),
    }
    if answered.any():
        shares["accuracy_answered"] = _share(correct[answered], confidence)
    standard_class_right = certificates.standard_class == truth
    acr_standard = _mean_where(standard_class_right, certificates.radius_standard)
    acr_cc = _mean_where(correct, certificates.radius_cc)
    acr_ncl = _mean_where(right, certificates.radius_ncl)
    compared = 0 < acr_standard < np.inf
    values: dict[str, Any] = {"accuracy_answered": None} | {name: share.value for name, share in shares.items()}
    return Figures(
        **values,
        inputs=len(truth),
        sample_coverage=float(np.mean(1.0 - certificates.uncertain_count / certificates.n)),
        acr_standard=acr_standard,
        acr_cc=acr_cc,
        acr_ncl=acr_ncl,
        gain=acr_ncl / acr_standard - 1.0 if compared else None,
        cc_cost=1.0 - acr_cc / acr_standard if compared else None,
        aurc=risk_coverage(1.0 - certificates.certain_count / certificates.n, ~right).aurc,
        certified_standard=_curve(at, standard_correct, certificates.radius_standard, confidence),
        certified_cc=_curve(at, correct, certificates.radius_cc, confidence),
        # A radius of 0 is no proof of "not wrong", not even at the input itself.
        certified_ncl=_curve(at, right & (certificates.radius_ncl > 0), certificates.radius_ncl, confidence),
        intervals=shares,
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


class _Right(NamedTuple):
    correct: Flags  # answered with certainty, and rightly
    standard: Flags  # decided without rejection, and rightly
    named: Flags  # the class of the votes is the label, whatever the decision


def _right(labels: npt.NDArray[Any], certificates: Certificates) -> _Right:
    named = certificates.class_index == labels
    standard = certificates.standard_decided & (certificates.standard_class == labels)
    return _Right(named & (certificates.decision == CERTAIN), standard, named)


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


def _share(flags: Flags, confidence: float) -> Share:
    interval = wilson_interval(flags.sum(), len(flags), confidence)
    return Share(float(flags.mean()), float(interval.low), float(interval.high))


def _mean_where(counts: Flags, radius: Array) -> float:
    return float(np.where(counts, radius, 0.0).mean())


def _curve(radii: Array, counts: Flags, radius: Array, confidence: float) -> Curve:
    # How many radii lie below each asked one: with the radii sorted, no table of inputs by radii is needed.
    ascending = np.sort(radius[counts])
    reached = len(ascending) - np.searchsorted(ascending, radii, side="left")
    interval = wilson_interval(reached, len(radius), confidence)
    return Curve(radii, reached / len(radius), interval.low, interval.high)
