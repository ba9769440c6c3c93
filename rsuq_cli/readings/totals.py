"""Counts and sums over the inputs of a run, for every threshold at once.

Invariant: totals are sums over inputs (plus the ranks behind risk and coverage), so they can be taken in pieces of any
size; at a stored threshold their figures are those that the database computes over the stored certificates.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from rsuq_cli.certificates.certificate import CERTAIN, UNDECIDED, Certificates
from rsuq_cli.certificates.figures import risk_coverage

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
GUARANTEES = ("standard", "cc", "ncl")


@dataclass(frozen=True)
class Points:
    """Some inputs for a scatter plot: `input_index` and `label` `[P]`; radii in pixel units and whether the class is
    right `[P, T]`."""

    input_index: Integers
    label: Integers
    radius_cc: Array
    radius_ncl: Array
    right: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Totals:
    """The figures of `inputs` inputs at T thresholds; every array has T first.

    Counts of inputs: `answered` with certainty, `undecided`, `correct` (answered and right), `standard_correct` (right
    without rejection), `at_ceiling`. Averages over all inputs: `sample_coverage`, `acr_standard`, `acr_cc`, `acr_ncl`
    in pixel units. `reached[g]` `[T, R]` counts the inputs certified at each of `radii` `[R]` by the guarantee g.
    `errors` `[T, Q]` is how many of the inputs with the most certain votes are wrong, at `coverages` `[Q]`, and `aurc`
    the area under that curve (Geifman et al. 2019). Names and meanings are those of `results.figures.Figures`.
    """

    inputs: int
    answered: Integers
    undecided: Integers
    correct: Integers
    standard_correct: Integers
    at_ceiling: Integers
    sample_coverage: Array
    acr_standard: Array
    acr_cc: Array
    acr_ncl: Array
    radii: Array
    reached: dict[str, Integers]
    coverages: Array
    errors: Array
    aurc: Array
    points: Points

    @property
    def coverage(self) -> Array:
        """The share of inputs answered with certainty."""
        return self.answered / self.inputs

    @property
    def gain(self) -> Array:
        """acr_ncl / acr_standard − 1, NaN where acr_standard is 0."""
        return self._against_standard(self.acr_ncl) - 1

    @property
    def cc_cost(self) -> Array:
        """1 − acr_cc / acr_standard, NaN where acr_standard is 0."""
        return 1 - self._against_standard(self.acr_cc)

    def _against_standard(self, acr: Array) -> Array:
        return np.divide(acr, self.acr_standard, out=np.full_like(acr, np.nan), where=self.acr_standard > 0)


@dataclass
class Counter:
    """Takes certificates `[N, T]` piece by piece, and returns their totals.

    `radii` must ascend. Of the inputs numbered `shown` (their order of arrival) the radii are kept. Inputs are ranked
    by their share of certain votes, or with `by_votes` False (an imported log has none) by their standard radius;
    without `coverages` they are not ranked, which spares their memory, and `aurc` is NaN.
    """

    radii: Array
    coverages: Array
    shown: Integers
    by_votes: bool = True
    _inputs: int = 0
    _sums: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    _kept: dict[str, list[npt.NDArray[Any]]] = field(default_factory=dict)

    def add(self, input_index: Integers, labels: Integers, certificates: Certificates) -> None:
        """Adds some inputs: `input_index` and `labels` `[N]`, certificates `[N, T]`."""
        c, truth = certificates, labels[:, None]
        named, answered = c.class_index == truth, c.decision == CERTAIN
        correct = named & answered
        standard_named = c.standard_class == truth
        standard = standard_named & c.standard_decided
        for name, values in {
            "answered": answered,
            "undecided": c.decision == UNDECIDED,
            "correct": correct,
            "standard_correct": standard,
            "at_ceiling": c.at_ceiling,
            "sample_coverage": 1.0 - c.uncertain_count / c.n,
            "acr_standard": np.where(standard_named, c.radius_standard, 0.0),
            "acr_cc": np.where(correct, c.radius_cc, 0.0),
            "acr_ncl": np.where(named, c.radius_ncl, 0.0),
        }.items():
            self._accumulate(name, values.sum(axis=0))
        self._accumulate("reached_standard", self._reached(standard, c.radius_standard))
        self._accumulate("reached_cc", self._reached(correct, c.radius_cc))
        # A radius of 0 is no proof of "not wrong", not even at the input itself.
        self._accumulate("reached_ncl", self._reached(named & (c.radius_ncl > 0), c.radius_ncl))
        self._keep(input_index, labels, c, named)
        self._inputs += len(labels)

    def totals(self) -> Totals:
        """Returns the totals of all inputs added; raises ValueError where none was."""
        if not self._inputs:
            raise ValueError("there is no input to count")
        sums: dict[str, Any] = dict(self._sums)
        averages = ("sample_coverage", "acr_standard", "acr_cc", "acr_ncl")
        kept = {name: np.concatenate(values) for name, values in self._kept.items()}
        thresholds = len(sums["answered"])
        risk, aurc = np.empty((thresholds, 0)), np.full(thresholds, np.nan)
        if len(self.coverages):
            risk, aurc = self._risk(kept.pop("uncertain"), kept.pop("wrong"))
        return Totals(
            inputs=self._inputs,
            radii=self.radii,
            reached={name: sums.pop(f"reached_{name}") for name in GUARANTEES},
            coverages=self.coverages,
            errors=risk,
            aurc=aurc,
            points=Points(**kept),
            **{name: sums.pop(name) / self._inputs for name in averages},
            **sums,
        )

    def _accumulate(self, name: str, values: npt.NDArray[Any]) -> None:
        self._sums[name] = self._sums[name] + values if name in self._sums else values

    def _reached(self, counts: npt.NDArray[np.bool_], radius: Array) -> Integers:
        """Returns how many inputs that count reach each radius, `[T, R]`."""
        thresholds, width = counts.shape[1], len(self.radii) + 1
        passed = np.searchsorted(self.radii, radius, side="right") + np.arange(thresholds) * width
        between = np.bincount(passed[counts], minlength=thresholds * width).reshape(thresholds, width)
        return between[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]

    def _keep(self, input_index: Integers, labels: Integers, c: Certificates, named: npt.NDArray[np.bool_]) -> None:
        here = self.shown[(self.shown >= self._inputs) & (self.shown < self._inputs + len(labels))] - self._inputs
        kept = {
            "input_index": input_index[here], "label": labels[here],
            "radius_cc": c.radius_cc[here], "radius_ncl": c.radius_ncl[here],
            "right": named[here],
        }  # fmt: skip
        if len(self.coverages):
            kept["uncertain"] = 1.0 - c.certain_count / c.n if self.by_votes else -c.radius_standard
            kept["wrong"] = ~named
        for name, values in kept.items():
            self._kept.setdefault(name, []).append(values)

    def _risk(self, uncertain: Array, wrong: npt.NDArray[np.bool_]) -> tuple[Array, Array]:
        first = np.clip(np.ceil(self.coverages * self._inputs - 1e-9).astype(np.int64), 1, self._inputs)
        curves = [risk_coverage(uncertain[:, at], wrong[:, at]) for at in range(uncertain.shape[1])]
        return np.stack([curve.risk[first - 1] * first for curve in curves]), np.array([c.aurc for c in curves])
