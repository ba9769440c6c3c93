"""The masses behind the radii as tables: their quantiles, and what rejection gains where not the average judges.

Invariant: quantiles are printed as they are, with whether they are estimates or lower bounds; a mass that nothing is
known of is "-".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rsuq_cli.console import Column, Table, number_text, percent_text
from rsuq_cli.formats import Record
from rsuq_cli.readings.masses import QUANTILES, Distribution, Masses
from rsuq_cli.reports.comparison import predictor_text
from rsuq_cli.reports.figures import acr_text

NAMES = {"p_own": "p: votes", "q_own": "q: certain votes", "q_not_wrong": "1 - q of others"}
MEANING = (
    "quantiles over the inputs of the masses for the true label, 0 where the smoothed class is another: p, the votes "
    "(standard radius), q, those of them that are certain (CC), and 1 - the certain votes for other classes (NCL); a "
    "mass m at n → ∞ is a radius of σ Φ⁻¹(m)"
)
ESTIMATES = "masses are estimates: shares of the n samples of every input"
LOWER_BOUNDS = (
    "masses of an imported log are lower bounds: what its radii prove at the log's n and α (0 where a radius is 0)"
)
BOTH = f"{ESTIMATES}; {LOWER_BOUNDS}; so where a bound stands below an estimate, the network need not be worse"
GAINS = (
    "gain at r: certified accuracy of NCL minus that of standard, in points · median: of the radii over all inputs, 0 "
    "where the class is wrong · hardest ¼: share of noise samples that are right, on the quarter of the inputs with "
    "the fewest of them: the average radius does not see them"
)


def masses_tables(found: Sequence[Masses]) -> list[Table]:
    """Returns the quantiles, one row for each mass of a scoring, and the gains, one row for each scoring."""
    records = [_record(one) for one in found]
    rows = [record | {"mass": name} for record in records for name in NAMES if record[name] is not None]
    quantiles = [
        *_settings(records),
        Column("mass", lambda r: NAMES[r["mass"]], "left"),
        *(
            [Column("which is", lambda r: r["masses_are"], "left")]
            if len({r["masses_are"] for r in records}) > 1
            else []
        ),
        *(Column(f"{100 * share:g} %", _quantile(place)) for place, share in enumerate(QUANTILES)),
    ]
    radii = [point["radius"] for point in records[0]["gain_at"]] if records else []
    gains = [
        *_settings(records),
        *(Column(f"gain\nr = {number_text(radius)}", _gain_at(place)) for place, radius in enumerate(radii)),
        Column("median\nstandard", lambda r: acr_text(r["median_standard"]), name="median_standard"),
        Column("median\nNCL", lambda r: acr_text(r["median_ncl"]), name="median_ncl"),
        Column("gain in\nmedian %", lambda r: percent_text(r["gain_in_median"], 2), name="gain_in_median"),
        Column("hardest ¼\n%", lambda r: percent_text(r["hardest_right"], 2), name="hardest_right"),
    ]
    return [
        Table("gains beside the average", records, gains, (GAINS,)),
        Table("masses", rows, quantiles, (MEANING, standing(found))),
    ]


def standing(found: Sequence[Masses]) -> str:
    """Returns whether these masses are estimates or lower bounds, or which of them are which."""
    kinds = {one.proven for one in found}
    return BOTH if len(kinds) > 1 else LOWER_BOUNDS if True in kinds else ESTIMATES


def _record(one: Masses) -> dict[str, Any]:
    figures = one.figures
    nothing = figures.rule == "standard"
    return {
        "run_id": figures.run_id, "scoring_id": figures.scoring_id, "model": figures.model,
        "dataset": figures.dataset, "sigma": figures.sigma, "predictor": figures.predictor,
        "measure": figures.measure, "threshold": figures.threshold, "rule": figures.rule, "inputs": one.inputs,
        "masses_are": "lower bounds" if one.proven else "estimates", "n": figures.n, "alpha": figures.alpha,
        **{name: _by_quantile(getattr(one, name)) for name in NAMES},
        "gain_at": [
            {"radius": standard.radius, "value": None if nothing else ncl.value - standard.value}
            for standard, ncl in zip(figures.certified_standard, figures.certified_ncl, strict=True)
        ],
        "median_standard": one.median_standard, "median_ncl": None if nothing else one.median_ncl,
        "gain_in_median": one.gain_in_median, "hardest_right": one.hardest_right,
    }  # fmt: skip


def _by_quantile(masses: Distribution | None) -> dict[str, float] | None:
    if masses is None:
        return None
    return {f"{share:g}": value for share, value in zip(QUANTILES, masses.quantiles, strict=True)}


def _settings(records: Sequence[Record]) -> list[Column]:
    """Returns the scoring's number, and the settings that differ."""
    every = [
        Column("model", lambda r: r["model"], "left", "model"),
        Column("predictor", predictor_text, "left", "predictor"),
        Column("σ", lambda r: number_text(r["sigma"]), name="sigma"),
        Column("uncertainty", lambda r: r["measure"], "left", "measure"),
    ]
    varying = [one for one in every if len({one.cell(record) for record in records}) > 1]
    return [Column("scoring", lambda r: str(r["scoring_id"]), name="scoring_id"), *varying]


def _quantile(place: int) -> Any:
    return lambda r: f"{r[r['mass']][f'{QUANTILES[place]:g}']:.4f}"


def _gain_at(place: int) -> Any:
    def cell(record: Record) -> str:
        value = record["gain_at"][place]["value"]
        return "-" if value is None else f"{100 * value:+.2f}"

    return cell
