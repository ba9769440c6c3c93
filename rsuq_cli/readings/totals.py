"""Counts and sums over the inputs of a run, for every threshold at once.

Invariant: totals are sums over inputs (plus the ranks behind risk and coverage), so they can be taken in pieces of any
size; at a stored threshold their figures are those that the database computes over the stored certificates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from rsuq_cli.certificates.certificate import Certificates
from rsuq_cli.certificates.definitions import CURVES, TITLES, Judged, evaluated, summed
from rsuq_cli.certificates.figures import risk_coverage

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


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

    `sums` has every term of `certificates.definitions`, `values` every figure (NaN where it is unknown), by their names
    and in pixel units. `reached[g]` `[T, R]` counts the inputs certified at each of `radii` `[R]` by the guarantee g.
    `errors` `[T, Q]` is how many of the inputs with the most certain votes are wrong, at `coverages` `[Q]`, and `aurc`
    the area under that curve (Geifman et al. 2019).
    """

    inputs: int
    sums: Mapping[str, npt.NDArray[Any]]
    radii: Array
    reached: dict[str, Integers]
    coverages: Array
    errors: Array
    aurc: Array
    points: Points

    @cached_property
    def values(self) -> dict[str, Array]:
        """Every figure by its name, `[T]`."""
        return evaluated(self.sums)


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
        judged = Judged(certificates, labels[:, None])
        for name, values in summed(judged).items():
            self._accumulate(name, values)
        for curve in CURVES.values():
            radius = getattr(certificates, curve.column)
            self._accumulate(f"reached_{curve.guarantee}", self._reached(curve.counted(judged), radius))
        self._keep(input_index, labels, judged)
        self._inputs += len(labels)

    def totals(self) -> Totals:
        """Returns the totals of all inputs added; raises ValueError where none was."""
        if not self._inputs:
            raise ValueError("there is no input to count")
        sums: dict[str, Any] = dict(self._sums)
        kept = {name: np.concatenate(values) for name, values in self._kept.items()}
        thresholds = len(sums["inputs"])
        risk, aurc = np.empty((thresholds, 0)), np.full(thresholds, np.nan)
        if len(self.coverages):
            risk, aurc = self._risk(kept.pop("uncertain"), kept.pop("wrong"))
        return Totals(
            inputs=self._inputs,
            reached={name: sums.pop(f"reached_{name}") for name in TITLES},
            sums=sums,
            radii=self.radii,
            coverages=self.coverages,
            errors=risk,
            aurc=aurc,
            points=Points(**kept),
        )

    def _accumulate(self, name: str, values: npt.NDArray[Any]) -> None:
        self._sums[name] = self._sums[name] + values if name in self._sums else values

    def _reached(self, counts: npt.NDArray[np.bool_], radius: Array) -> Integers:
        """Returns how many inputs that count reach each radius, `[T, R]`."""
        thresholds, width = counts.shape[1], len(self.radii) + 1
        passed = np.searchsorted(self.radii, radius, side="right") + np.arange(thresholds) * width
        between = np.bincount(passed[counts], minlength=thresholds * width).reshape(thresholds, width)
        return between[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]

    def _keep(self, input_index: Integers, labels: Integers, judged: Judged) -> None:
        c, named = judged.certificates, judged.named
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
