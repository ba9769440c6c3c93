"""The panels of a picture, each drawn into axes that it is given.

Invariant: nothing is told apart by colour alone: lines differ in dash and marker too, and the colours (Okabe and Ito's)
keep their order of lightness in grey. Radii are in pixel units, shares in percent; intervals are Wilson's, 95 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rsuq_cli.certificates.intervals import wilson_interval
from rsuq_cli.readings.evidence import Reading
from rsuq_cli.readings.masses import Masses
from rsuq_cli.reports.names import short_name
from rsuq_cli.reports.roc import roc
from rsuq_cli.results.exhibits import Scores

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Style(NamedTuple):
    """How one line looks."""

    color: str
    dash: str | tuple[int, tuple[float, ...]]
    marker: str


CURVE_STYLES = {
    "standard": ("standard, without rejection", Style("#333333", (0, (4, 2)), "s")),
    "cc": ("CC, stays right and certain", Style("#0072B2", (0, (1, 1.2)), "v")),
    "ncl": ("NCL, never confidently wrong", Style("#D55E00", "solid", "o")),
}
LINES = (
    Style("#0072B2", "solid", "o"),
    Style("#D55E00", (0, (5, 2)), "s"),
    Style("#009E73", (0, (1, 1.2)), "^"),
    Style("#CC79A7", (0, (5, 1, 1, 1)), "D"),
    Style("#E69F00", (0, (3, 1, 1, 1, 1, 1)), "v"),
    Style("#56B4E9", (0, (8, 2)), "P"),
    Style("#000000", (0, (2, 2)), "X"),
)
# Below this coverage a gain says little: rejecting everything would make it infinite.
LEAST_COVERAGE = 0.5


def line_style(at: int) -> Style:
    """Returns the look of the line number `at`: past the last colour, colour and dash go on in other pairs."""
    return LINES[at % len(LINES)]._replace(marker=LINES[(at + at // len(LINES)) % len(LINES)].marker)


def draw_curves(axes: Axes, reading: Reading, position: int) -> None:
    """Draws the certified curves of one scoring, the gain of NCL over standard shaded."""
    totals, at = reading.at(position)
    names = tuple(CURVE_STYLES) if reading.rejects else ("standard",)
    reached = {name: totals.reached[name][at] for name in names}
    for name in names:
        label, style = CURVE_STYLES[name]
        share, interval = reached[name] / totals.inputs, wilson_interval(reached[name], totals.inputs)
        axes.fill_between(totals.radii, 100 * interval.low, 100 * interval.high, color=style.color, alpha=0.13, lw=0)
        every = max(1, len(totals.radii) // 12)
        axes.plot(totals.radii, 100 * share, color=style.color, ls=style.dash, marker=style.marker, markevery=every,
                  label=label)  # fmt: skip
    if reading.rejects:
        low, high = (100 * reached[name] / totals.inputs for name in ("standard", "ncl"))
        axes.fill_between(totals.radii, low, high, where=(high > low).tolist(), facecolor="none", edgecolor="#D55E00",
                          hatch="////", alpha=0.45, lw=0, label="gained by rejection")  # fmt: skip
    axes.axvline(totals.radii[-1], color="#999999", lw=0.8)
    axes.annotate("largest there can be", (totals.radii[-1], 100), (-3, 0), textcoords="offset points", rotation=90,
                  ha="right", va="top", fontsize=7, color="#666666")  # fmt: skip
    axes.set(xlabel="ℓ₂ radius (pixel units)", ylabel="inputs certified (%)", xlim=(0, None), ylim=(0, 101))
    axes.legend(loc="lower left")


MASS_STYLES = {
    "p_own": ("p, votes for the label", CURVE_STYLES["standard"][1]),
    "q_own": ("q, certain votes for it", CURVE_STYLES["cc"][1]),
    "q_not_wrong": ("1 − certain votes for others", CURVE_STYLES["ncl"][1]),
}


def draw_masses(axes: Axes, masses: Masses) -> None:
    """Draws the empirical distribution functions of the masses of one scoring, and where a majority begins."""
    for name, (label, style) in MASS_STYLES.items():
        distribution = getattr(masses, name)
        if distribution is None:
            continue
        values, shares = distribution.curve()
        x, y = np.concatenate([[0.0], values, [1.0]]), np.concatenate([[0.0], shares, [1.0]])
        axes.step(x, 100 * y, where="post", color=style.color, ls=style.dash, label=label)
    axes.axvline(0.5, color="#999999", lw=0.8)
    what = "lower bound, as the log proves it" if masses.proven else "estimate, a share of the votes"
    axes.set(xlabel=f"mass ({what})", ylabel="inputs with at most this mass (%)", xlim=(0, 1), ylim=(0, 101))
    axes.legend(loc="upper left")


def draw_tradeoff(pair: Sequence[Axes], readings: Sequence[tuple[str, Reading]]) -> None:
    """Draws what each reading gains and what that costs over the share that it answers; stored thresholds are filled.

    Thresholds that answer less than half of the inputs are left out.
    """
    gain, cost = pair
    for number, (name, reading) in enumerate(readings):
        style = line_style(number)
        coverage = reading.column("coverage")
        shown = np.flatnonzero(coverage >= LEAST_COVERAGE)
        stored = [at for at in reading.stored if coverage[at] >= LEAST_COVERAGE]
        for axes, values in ((gain, reading.column("gain")), (cost, reading.column("cc_cost"))):
            axes.plot(100 * coverage[shown], 100 * values[shown], color=style.color, ls=style.dash, label=name)
            axes.plot(100 * coverage[stored], 100 * values[stored], color=style.color, ls="none", marker=style.marker,
                      ms=7, mec="white")  # fmt: skip
    gain.set(ylabel="gain of NCL (%)", xlim=(100 * LEAST_COVERAGE, 100.5))
    cost.set(ylabel="cost of CC (%)", xlabel="coverage: inputs answered with certainty (%)")
    gain.tick_params(labelbottom=False)
    gain.legend(loc="lower left")


def draw_risk(axes: Axes, scorings: Sequence[tuple[str, Reading, int]]) -> None:
    """Draws the risk among the inputs with the most certain votes, and where each threshold stands."""
    for number, (name, reading, position) in enumerate(scorings):
        style = line_style(number)
        totals, at = reading.at(position)
        answered = np.clip(np.ceil(totals.coverages * totals.inputs - 1e-9), 1, None)
        axes.plot(100 * totals.coverages, 100 * totals.errors[at] / answered, color=style.color, ls=style.dash,
                  label=f"{name}; AURC {100 * totals.aurc[at]:.2g} %")  # fmt: skip
        right = totals.values["accuracy_answered"][at]
        if not np.isnan(right):
            coverage = totals.values["coverage"][at]
            axes.plot(100 * coverage, 100 * (1 - right), color=style.color, marker=style.marker, ms=7, mec="white")
    axes.set(xlabel="share of inputs, most certain votes first (%)", ylabel="wrong among them (%)",
             xlim=(0, 101), ylim=(0, None))  # fmt: skip
    axes.legend(loc="upper left", title="marker: as decided at θ")


def draw_scatter(axes: Axes, reading: Reading, position: int) -> None:
    """Draws the CC radius of each input against its NCL radius."""
    totals, at = reading.at(position)
    x, y = totals.points.radius_cc[:, at], totals.points.radius_ncl[:, at]
    wrong = ~totals.points.right[:, at]
    axes.plot(x[~wrong], y[~wrong], ls="none", marker="o", ms=3.5, mec="none", alpha=0.45, color="#0072B2",
              label="right class")  # fmt: skip
    axes.plot(x[wrong], y[wrong], ls="none", marker="x", ms=5, color="#D55E00", label="wrong class")
    largest = float(max(x.max(), y.max(), 1e-9)) * 1.04
    axes.plot([0, largest], [0, largest], color="#333333", lw=0.8, ls=(0, (4, 2)), label="NCL = CC")
    axes.set(xlabel="CC radius (pixel units)", ylabel="NCL radius (pixel units)",
             xlim=(-0.02 * largest, largest), ylim=(-0.02 * largest, largest))  # fmt: skip
    axes.legend(loc="lower right")


def draw_ood(pair: Sequence[Axes], scores: Scores) -> None:
    """Draws how a score spreads over the data set and over the others, and the ROC curve of each of those."""
    histogram, curve = pair
    every = np.concatenate([scores.inside, *scores.outside.values()])
    edges = np.linspace(every.min(), every.max() if every.max() > every.min() else every.min() + 1, 31).tolist()
    histogram.hist(
        scores.inside,
        edges,
        weights=_percent(scores.inside),
        color="#BBBBBB",
        label=f"{short_name(scores.dataset)}, inside",
    )
    for number, (name, values) in enumerate(scores.outside.items()):
        style = line_style(number)
        histogram.hist(values, edges, weights=_percent(values), histtype="step", color=style.color, ls=style.dash,
                       lw=1.5, label=short_name(name))  # fmt: skip
        drawn = roc(scores.inside, values)
        curve.plot(100 * drawn.false_alarms, 100 * drawn.found, color=style.color, ls=style.dash,
                   label=f"{drawn.auroc:.3f}")  # fmt: skip
    curve.plot([0, 100], [0, 100], color="#999999", lw=0.8)
    histogram.set(xlabel=f"score {scores.score} (larger: more foreign)", ylabel="inputs (%)")
    curve.set(xlabel="inside inputs flagged (%)", ylabel="outside inputs flagged (%)", xlim=(-1, 101), ylim=(-1, 101))
    histogram.legend(loc="best")
    curve.legend(loc="lower right", title="AUROC")


def weakest_auroc(scores: Scores) -> float:
    """Returns the AUROC against the set that a score tells apart worst."""
    return min(roc(scores.inside, values).auroc for values in scores.outside.values())


def _percent(values: np.ndarray) -> np.ndarray:
    return np.full(len(values), 100 / len(values))
