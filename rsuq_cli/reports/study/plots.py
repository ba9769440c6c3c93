"""A study as a picture: for each network gain over cost and gain over coverage, one line a source, and the oracles.

Invariant: it shows the lines of the study's page; what there is no room for is said in its title.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rsuq_cli.errors import BadInput
from rsuq_cli.readings.study import SourceFound
from rsuq_cli.readings.tradeoff import Line
from rsuq_cli.reports.plots_panels import line_style
from rsuq_cli.reports.study.page import study_data

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Networks of one picture.
MOST = 8


def study_picture(name: str, found: Sequence[SourceFound], lines: Sequence[Line]) -> Figure:
    """Returns the figure, one row for each network; raises BadInput where no source has a radius to gain on."""
    from matplotlib.figure import Figure

    drawn = [network for network in study_data(found, lines) if network["lines"]]
    if not drawn:
        raise BadInput(f"there is nothing to draw of the study {name!r}", "no network of it has a radius")
    shown = drawn[:MOST]
    figure = Figure(figsize=(10.8, 3.9 * len(shown) + 0.6), layout="constrained")
    left = f" (the first {MOST} of {len(drawn)} networks)" if len(drawn) > MOST else ""
    figure.suptitle(f"study {name}: what rejection gains and costs{left}", fontsize=10)
    for row, network in zip(figure.subplots(len(shown), 2, squeeze=False), shown, strict=True):
        for number, line in enumerate(network["lines"]):
            style = line_style(number)
            coverage, cost, gain, stored = zip(*line["points"], strict=True)
            for axes, across in zip(row, (cost, coverage), strict=True):
                axes.plot([100 * x for x in across], [100 * y for y in gain], color=style.color, ls=style.dash,
                          marker=style.marker, markevery=[at for at, one in enumerate(stored) if one],
                          label=line["name"])  # fmt: skip
        _oracles(row, network)
        row[0].set(title=network["name"], xlabel="cost of CC (%)", ylabel="gain of NCL (%)")
        row[1].set(xlabel="coverage: noise samples answered (%)", ylabel="gain of NCL (%)", xlim=(50, 100.5))
        row[0].legend(loc="best")
        row[1].legend(loc="best")
    return figure


def _oracles(row: Sequence[object], network: dict[str, object]) -> None:
    cost, coverage = row
    known = [one for one in network["oracles"] if one["coverage"] >= 0.5]  # type: ignore[attr-defined]
    for one in known:
        if one["calibrated"] == network["reference"]:
            cost.axhline(100 * one["random"], color="#777777", ls=(0, (1, 2)), lw=1.2,  # type: ignore[attr-defined]
                         label=f"oracle at {one['calibrated']:g}, at random")  # fmt: skip
    for name, title, dash in (("random", "at random", (0, (1, 2))), ("easiest", "easiest first", (0, (5, 3)))):
        coverage.plot([100 * one["coverage"] for one in known], [100 * one[name] for one in known],  # type: ignore[attr-defined]
                      color="#777777", ls=dash, lw=1.2, label=f"oracle, {title}")  # fmt: skip
