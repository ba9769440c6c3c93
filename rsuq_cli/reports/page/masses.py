"""The masses behind the radii on the page: the tables of `rsuq report --masses`, and their distribution as curves.

Invariant: a curve has every step of the empirical distribution function, or as many of them as say where it is within a
two-hundredth; whether its masses are estimates or lower bounds stands with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rsuq_cli.console import number_text
from rsuq_cli.readings.masses import Distribution, Masses
from rsuq_cli.reports.comparison import figure_record, predictor_text
from rsuq_cli.reports.markup import Html, element, joined, report_table
from rsuq_cli.reports.masses import NAMES, masses_tables

MOST_STEPS = 200


def masses_html(found: Sequence[Masses]) -> Html:
    """Returns the tables, each under its title."""
    return joined([joined([element("h3", table.title.capitalize()), report_table(table)])
                   for table in masses_tables(found)])  # fmt: skip


def masses_data(found: Sequence[Masses]) -> list[dict[str, Any]]:
    """Returns the curves of every scoring: by mass, `[mass, share of the inputs that has at most it]`."""
    return [
        {
            "name": _name(one),
            "network": f"run {one.figures.run_id}, {_network(one)}",
            "run": one.figures.run_id,
            "scoring": one.figures.scoring_id,
            "sigma": one.figures.sigma,
            "proven": one.proven,
            "curves": {name: _steps(getattr(one, name)) for name in NAMES if getattr(one, name) is not None},
        }
        for one in found
    ]


def _name(one: Masses) -> str:
    figures = one.figures
    read = "" if figures.threshold is None else f", {figures.measure} ≤ {figures.threshold:.4g}"
    return f"scoring {figures.scoring_id}: {_network(one)}{read}"


def _network(one: Masses) -> str:
    figures = one.figures
    asked = f", {predictor_text(figure_record(figures))}" if figures.predictor else ""
    bound = ", lower bound" if one.proven else ""
    return f"{figures.model}{asked}, σ = {number_text(figures.sigma)}{bound}"


def _steps(distribution: Distribution) -> list[list[float]]:
    masses, shares = distribution.curve()
    some = np.unique(np.linspace(0, len(masses) - 1, min(len(masses), MOST_STEPS)).round().astype(np.int64))
    if len(masses) > MOST_STEPS:  # evenly in the shares, where the curve is steep
        wanted = np.searchsorted(shares, np.linspace(0, 1, MOST_STEPS + 1))
        some = np.unique(np.append(np.minimum(wanted, len(masses) - 1), 0))
    return [
        [round(float(mass), 7), round(float(share), 7)] for mass, share in zip(masses[some], shares[some], strict=True)
    ]
