"""Every figure over a data set, defined once: what it is in SQL and in numpy, and how it is shown.

Invariant: a figure is a ratio of sums over the inputs, or of two figures before it; every share and average is over all
inputs, an abstention stays in the denominator. Reports, machine formats, sweeps and the page's script take a figure
from here, so a new row of `TERMS` or `FIGURES` is a new column everywhere.

Sources: Cohen et al. 2019 §4 for certified accuracy and the average certified radius (ACR, 0 where the class is wrong),
Däubener et al. 2024 for the two guarantees CC and NCL.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from rsuq_cli.certificates.certificate import CERTAIN, UNDECIDED, Certificates
from rsuq_cli.certificates.intervals import Share, wilson_interval

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Unit = Literal["share", "radius", "change"]
# The tables that people see: `rsuq report` and by class, `rsuq rescore`, `rsuq runs show`, a model's card, the page.
View = Literal["report", "class", "rescore", "run", "card", "page"]
# SQL for what holds for every input.
EVERY = "TRUE"


def _equal(one: npt.NDArray[Any], other: npt.ArrayLike) -> Flags:
    found: Flags = one == np.asarray(other)
    return found


@dataclass(frozen=True)
class Judged:
    """Certificates beside the labels, of shapes that broadcast: to numpy what rows of `certified_sample` are to SQL."""

    certificates: Certificates
    labels: npt.NDArray[np.int64]

    @cached_property
    def named(self) -> Flags:
        """The class of the votes is the label, whatever the decision."""
        return _equal(self.certificates.class_index, self.labels)

    @cached_property
    def answered(self) -> Flags:
        """Answered with certainty."""
        return _equal(self.certificates.decision, CERTAIN)

    @cached_property
    def correct(self) -> Flags:
        """Answered with certainty, and rightly."""
        return self.named & self.answered

    @cached_property
    def standard_named(self) -> Flags:
        """The class of the votes without rejection is the label, proved or not."""
        return _equal(self.certificates.standard_class, self.labels)

    @cached_property
    def standard_correct(self) -> Flags:
        """Decided without rejection, and rightly."""
        return self.standard_named & self.certificates.standard_decided


class Term(NamedTuple):
    """What is counted over the inputs, or summed: `where` and `amount` in SQL, `values` `[N, ...]` in numpy."""

    name: str
    where: str
    values: Callable[[Judged], npt.NDArray[Any]]
    amount: str | None = None

    @property
    def counts(self) -> bool:
        """Whether it is a number of inputs."""
        return self.amount is None

    @property
    def row(self) -> str:
        """SQL for what one input adds."""
        return f"CASE WHEN {self.where} THEN {self.amount or 1} ELSE 0 END"

    def total(self, *, among: str = EVERY) -> str:
        """Returns SQL for the sum over the rows `among` those that are selected."""
        where = " AND ".join(one for one in (self.where, among) if one != EVERY)
        of = "COUNT(*)" if self.amount is None else f"SUM({self.amount})"
        return f"COALESCE({of} FILTER (WHERE {where}), 0)" if where else f"COALESCE({of}, 0)"


TERMS: Mapping[str, Term] = {
    term.name: term
    for term in (
        Term("inputs", EVERY, lambda at: np.ones_like(at.named)),
        Term("correct", "correct", lambda at: at.correct),
        Term("standard_correct", "standard_decided AND standard_class = label", lambda at: at.standard_correct),
        Term("answered", "decision = 'certain'", lambda at: at.answered),
        Term("abstained", "decision <> 'certain'", lambda at: ~at.answered),
        Term("left_undecided", "decision = 'undecided'", lambda at: _equal(at.certificates.decision, UNDECIDED)),
        Term("reach_ceiling", "at_ceiling", lambda at: at.certificates.at_ceiling),
        Term("certain_votes", EVERY, lambda at: 1.0 - at.certificates.uncertain_count / at.certificates.n,
             "1 - uncertain_count * 1.0 / n"),
        Term("radii_standard", "standard_class = label",
             lambda at: np.where(at.standard_named, at.certificates.radius_standard, 0.0), "radius_standard"),
        Term("radii_cc", "correct", lambda at: np.where(at.correct, at.certificates.radius_cc, 0.0), "radius_cc"),
        Term("radii_ncl", "class_index = label", lambda at: np.where(at.named, at.certificates.radius_ncl, 0.0),
             "radius_ncl"),
        Term("explicit", "radius_explicit IS NOT NULL", lambda at: ~np.isnan(at.certificates.radius_explicit)),
        Term("radii_explicit", "standard_class = label AND radius_explicit IS NOT NULL",
             lambda at: np.where(at.standard_named & ~np.isnan(at.certificates.radius_explicit),
                                 at.certificates.radius_explicit, 0.0),
             "radius_explicit"),
    )
}  # fmt: skip


class Figure(NamedTuple):
    """`times` · `part` / `whole` + `plus`, where both are terms or figures before it; unknown where `whole` is 0.

    `title` is that of its column and `tile` that on the page; people see it in `views`, from left to right by `place`,
    and `said` of it only what can be said: nothing about CC and NCL where nothing can be rejected, and of the baseline
    with explicit competitors where NCL has them. `better` tells which of two values is.
    """

    name: str
    part: str
    whole: str = "inputs"
    times: float = 1.0
    plus: float = 0.0
    unit: Unit = "share"
    title: str = ""
    tile: str = ""
    better: Literal["more", "less"] = "more"
    said: Literal["always", "with rejection", "without rejection", "class-wise"] = "always"
    views: tuple[View, ...] = ("report", "rescore", "page")
    place: int = 99

    @property
    def of_rejection(self) -> bool:
        """Whether it says nothing where nothing can be rejected."""
        return self.said in ("with rejection", "class-wise")

    @property
    def counts(self) -> bool:
        """Whether it is a share of a number of inputs, which has an interval."""
        return all(name in TERMS and TERMS[name].counts for name in (self.part, self.whole))


_ALL: tuple[View, ...] = ("report", "class", "rescore", "run", "card", "page")
# In the order of the machine formats.
FIGURES: tuple[Figure, ...] = (
    Figure("accuracy", "correct", title="right and certain", tile="right and certain %", views=("page",), place=3),
    Figure("clean_accuracy", "standard_correct", title="accuracy", tile="accuracy, no rejection %",
           views=("report", "class", "rescore", "card", "page"), place=2),
    Figure("coverage", "answered", title="coverage", tile="coverage %", views=_ALL, place=1),
    Figure("abstention", "abstained", title="abstain", better="less", said="without rejection", views=("report",),
           place=5),
    Figure("undecided", "left_undecided", title="undecided", tile="undecided %", better="less", views=("page",),
           place=13),
    Figure("accuracy_answered", "correct", "answered", title="right among answered", tile="right among answered %",
           views=("page",), place=4),
    Figure("at_ceiling", "reach_ceiling", title="ceiling", tile="at the ceiling %", better="less",
           views=("report", "page"), place=14),
    Figure("sample_coverage", "certain_votes", title="answered", views=("rescore",), place=0),
    Figure("acr_standard", "radii_standard", unit="radius", title="standard", tile="ACR standard", views=_ALL, place=6),
    Figure("acr_cc", "radii_cc", unit="radius", title="CC", tile="ACR CC", said="with rejection", views=_ALL, place=7),
    Figure("acr_ncl", "radii_ncl", unit="radius", title="NCL", tile="ACR NCL", said="with rejection", views=_ALL,
           place=8),
    Figure("gain", "acr_ncl", "acr_standard", plus=-1.0, unit="change", title="gain", tile="gain of NCL %",
           said="with rejection", place=9),
    Figure("cc_cost", "acr_cc", "acr_standard", times=-1.0, plus=1.0, unit="change", title="CC cost",
           tile="cost of CC %", better="less", said="with rejection", place=10),
    Figure("acr_explicit", "radii_explicit", "explicit", unit="radius", title="explicit", tile="ACR explicit standard",
           said="class-wise", place=11),
    Figure("gain_explicit", "acr_ncl", "acr_explicit", plus=-1.0, unit="change", title="gain,\nexplicit",
           tile="gain of NCL beside explicit %", said="class-wise", place=12),
)  # fmt: skip


class CertifiedCurve(NamedTuple):
    """The share of inputs that count and whose radius in `column` reaches another: in SQL, and in numpy `[N, ...]`."""

    guarantee: str
    title: str
    column: str
    where: str
    counted: Callable[[Judged], Flags]


CURVES: Mapping[str, CertifiedCurve] = {
    f"certified_{curve.guarantee}": curve
    for curve in (
        CertifiedCurve("standard", "standard", "radius_standard", TERMS["standard_correct"].where,
                       lambda at: at.standard_correct),
        CertifiedCurve("cc", "CC", "radius_cc", "correct", lambda at: at.correct),
        # A radius of 0 is no proof of "not wrong", not even at the input itself.
        CertifiedCurve("ncl", "NCL", "radius_ncl", "class_index = label AND radius_ncl > 0",
                       lambda at: at.named & (at.certificates.radius_ncl > 0)),
    )
}  # fmt: skip
# The titles of the guarantees by their names.
TITLES: Mapping[str, str] = {curve.guarantee: curve.title for curve in CURVES.values()}


def shown(view: View) -> list[Figure]:
    """Returns the figures of a table that people see, from left to right."""
    return sorted((one for one in FIGURES if view in one.views), key=lambda one: one.place)


def summed(judged: Judged) -> dict[str, npt.NDArray[Any]]:
    """Returns every term over the inputs `[N, ...]`, of shape `[...]`."""
    return {name: np.asarray(term.values(judged)).sum(axis=0) for name, term in TERMS.items()}


def evaluated(sums: Mapping[str, npt.ArrayLike]) -> dict[str, Array]:
    """Returns every figure from the terms, in the order of `FIGURES` and of their shape; NaN where it is unknown."""
    known = {name: np.asarray(values, dtype=np.float64) for name, values in sums.items()}
    for one in FIGURES:
        part, whole = np.broadcast_arrays(known[one.part], known[one.whole])
        with np.errstate(over="ignore"):  # by a radius of next to nothing: infinite, as it should be
            ratio = np.divide(part, whole, out=np.full(part.shape, np.nan), where=(whole > 0) & np.isfinite(whole))
        known[one.name] = one.times * ratio + one.plus
    return {one.name: known[one.name] for one in FIGURES}


def numbers(sums: Mapping[str, float]) -> dict[str, float | None]:
    """Returns every figure from the terms of one set of inputs; None where it is unknown."""
    return {name: None if np.isnan(value) else float(value) for name, value in evaluated(sums).items()}


def shares(sums: Mapping[str, float], confidence: float = 0.95) -> dict[str, Share]:
    """Returns, by figure, each share of a number of inputs with its Wilson interval; those over all inputs first."""
    known = [one for one in FIGURES if one.counts and sums[one.whole]]
    known.sort(key=lambda one: one.whole != "inputs")
    parts, wholes = (np.array([sums[getattr(one, side)] for one in known]) for side in ("part", "whole"))
    low, high = wilson_interval(parts, wholes, confidence)
    return {one.name: Share(float(parts[i] / wholes[i]), float(low[i]), float(high[i])) for i, one in enumerate(known)}


class Measured:
    """Something that has figures: `values` by their names, which are its attributes, too."""

    values: Mapping[str, float | None]

    if TYPE_CHECKING:
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
        acr_explicit: float | None
        gain_explicit: float | None
    else:

        def __getattr__(self, name: str) -> float | None:
            # `values` is missing while a copy is being made.
            if name in self.__dict__.get("values", ()):
                return self.values[name]
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
