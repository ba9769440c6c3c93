"""The comparison of scorings: one row for each (run, measure, threshold), with every figure.

Invariant: each figure is one that the database computed; here it is only named and printed. Under the rule `standard`
nothing is ever rejected, so CC and NCL are the standard ball again: they are "-" in a table and null for machines, lest
a gain of 0 be taken for a measurement.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, NamedTuple

from rsuq_cli.certificates.definitions import CURVES, FIGURES, shown
from rsuq_cli.console import Column, Table, number_text, percent_text
from rsuq_cli.errors import BadInput
from rsuq_cli.formats import Record
from rsuq_cli.reports.comparability import competitors_text
from rsuq_cli.reports.figures import acr_text, figure_column
from rsuq_cli.results.figures import Figures
from rsuq_cli.run.network.preprocessing import noise_line
from rsuq_cli.uncertainty.predictor import PREDICTOR, predictor_of

# What two runs share that sample the same network on the same inputs.
_SAME_NETWORK = ("model", "checkpoint_id", "source", "dataset", "subset_sha256", "sigma")
SCORING = "scoring: one reading of a run's evidence"
THRESHOLD = "θ: certain up to this uncertainty"
CEILING = "ceiling: inputs whose every sample speaks for the class, so that n limits the radius"
LEGEND = (
    "coverage: inputs answered with certainty · accuracy: right without rejection",
    "ACR: average certified radius in pixel units, over all inputs (0 where the class is wrong), to the nearest digit",
    "standard: without rejection, the class stays · CC, consistent and confident: the class stays and so does its "
    "certainty · NCL, no confident label change: nothing but this class is ever stated with confidence",
    "gain = ACR NCL / ACR standard - 1, and what it costs: CC cost = 1 - ACR CC / ACR standard, at this coverage",
)
# What was sampled, which machines get between the shares and the radii.
_DRAWS = ("draws_mean", "draws_median", "draws_at_max")
INTERVALS = "[…]: 95 % Wilson interval of a share over the inputs"
EXPLICIT = (
    "explicit: without rejection, competitors bounded class by class as NCL has them, lest the bound's merit be taken "
    "for the measure's; what the majority rule alone gains is there at coverage 1"
)
NO_REJECTION = "without rejection (rule standard) there is no CC and NCL beside standard: -"


def parse_radii(text: str | None, sigmas: Sequence[float]) -> list[float]:
    """Returns the radii that a user lists, or 0, 1, 2 and 3 times the smallest sigma; raises BadInput for others."""
    if text is None:
        smallest = min(sigmas, default=0.25)
        return [round(step * smallest, 12) for step in (0, 1, 2, 3)]
    try:
        radii = [float(part) for part in text.replace(",", " ").split()]
    except ValueError:
        raise BadInput(f"--radii {text!r} are no numbers", "give them as 0,0.25,0.5") from None
    if not radii or any(not math.isfinite(radius) or radius < 0 for radius in radii):
        raise BadInput(f"--radii {text!r} are no radii", "give numbers from 0 up, such as 0,0.25,0.5")
    return radii


def comparison_table(figures: Sequence[Figures], *, title: str = "certified", intervals: bool = False) -> Table:
    """Returns the table of these scorings; a setting that all of them share is named once, above it.

    With `intervals` every share has its interval beside it.
    """
    records = [figure_record(one) for one in figures]
    settings = _settings(records)
    shared = [one for one in settings if len({one.column.cell(record) for record in records}) == 1]
    standard_only = [record["rule"] == "standard" for record in records] or [False]
    explicit = any(record["acr_explicit"] is not None for record in records)
    columns = [
        Column("scoring", lambda r: str(r["scoring_id"]), name="scoring_id"),
        *(one.column for one in settings if one not in shared),
        *_figure_columns(abstention=any(standard_only), rejection=not all(standard_only), explicit=explicit),
    ]
    named = [title, *(one.named(records[0]) for one in shared)] if records else [title]
    shares, acr, *of_rejection = LEGEND
    what = (SCORING, shares, CEILING) if all(standard_only) else (SCORING, THRESHOLD, shares, CEILING)
    rest = () if all(standard_only) else (*of_rejection, *([NO_REJECTION] if any(standard_only) else []))
    legend = (" · ".join(what), acr, *rest)
    shown = " · ".join(name for name in named if name)
    notes = (
        *legend,
        *([EXPLICIT] if explicit else []),
        *_noise(figures),
        *beside_the_mean(figures),
        *early_stops(records),
        *_incomplete(records),
        *_warnings(records),
    )
    if intervals:
        columns = [_with_interval(column) for column in columns]
        notes = (INTERVALS, *notes)
    return Table(shown, records, columns, notes)


def certified_table(figures: Sequence[Figures]) -> Table:
    """Returns certified accuracy at each radius, one row for each guarantee, in percent, with the ACR beside it."""
    records = [
        {
            "scoring_id": one.scoring_id, "model": one.model, "measure": one.measure,
            "source": one.source if one.kind == "import" else None,
            "guarantee": curve.title, "acr": one.values[f"acr_{curve.guarantee}"],
            "abstention": one.abstention, "points": [point._asdict() for point in getattr(one, name)],
        }
        for one in figures
        for name, curve in CURVES.items()
        if curve.guarantee == "standard" or one.rule != "standard"
    ]  # fmt: skip
    radii = [point.radius for point in figures[0].certified_standard] if figures else []
    sources = {record["source"] for record in records}
    columns = [
        Column("scoring", lambda r: str(r["scoring_id"])),
        Column("model", lambda r: r["model"], "left"),
        *([Column("source", lambda r: r["source"] or "-", "left")] if len(sources) > 1 else []),
        Column("uncertainty", lambda r: r["measure"], "left"),
        Column("guarantee", lambda r: r["guarantee"], "left"),
        Column("ACR", lambda r: acr_text(r["acr"])),
        *(Column(f"r = {number_text(radius)}", _certified_at(place)) for place, radius in enumerate(radii)),
        Column("abstain", lambda r: percent_text(r["abstention"], 2)),
    ]
    note = "percent of all inputs: right and certified at the radius r (NCL: never confidently wrong within it)"
    return Table("certified accuracy", records, columns, (note,))


def curve_table(figures: Sequence[Figures]) -> Table:
    """Returns the certified curves: for each radius, the share of inputs that each guarantee certifies there."""
    records = [
        {
            "run_id": one.run_id, "model": one.model, "measure": one.measure, "threshold": one.threshold,
            "radius": points[0].radius, **{name: points[at]._asdict() for at, name in enumerate(CURVES)},
        }
        for one in figures
        for points in zip(one.certified_standard, one.certified_cc, one.certified_ncl, strict=True)
    ]  # fmt: skip
    readings = {(r["run_id"], r["model"], r["measure"], r["threshold"]) for r in records}
    runs, models, measures = ({reading[:at] for reading in readings} for at in (1, 2, 3))
    columns = [
        *([Column("run", lambda r: str(r["run_id"]))] if len(runs) > 1 else []),
        *([Column("model", lambda r: r["model"], "left")] if len({model for _, model in models}) > 1 else []),
        Column("uncertainty", lambda r: r["measure"], "left"),
        *([Column("θ", lambda r: _threshold(r))] if len(measures) < len(readings) else []),
        Column("radius", lambda r: number_text(r["radius"])),
        *(Column(f"{curve.title} %", _point(name)) for name, curve in CURVES.items()),
    ]
    note = "share of inputs, with its 95 % interval: right and certified at the radius (NCL: never confidently wrong)"
    return Table("certified accuracy", records, columns, (note,))


def figure_record(figures: Figures) -> dict[str, Any]:
    """Returns all figures of a scoring by their names, the curves and intervals as objects, for machine formats."""
    apart = {"values", "intervals", *CURVES, *_DRAWS}
    record = {name: value for name, value in asdict(figures).items() if name not in apart}
    record |= {one.name: figures.values[one.name] for one in FIGURES if one.unit == "share"}
    record |= {name: getattr(figures, name) for name in _DRAWS}
    record |= {one.name: figures.values[one.name] for one in FIGURES if one.unit != "share"}
    record["intervals"] = {name: share._asdict() for name, share in figures.intervals.items()}
    record |= {name: [point._asdict() for point in getattr(figures, name)] for name in CURVES}
    if figures.rule == "standard":
        record |= dict.fromkeys(one.name for one in FIGURES if one.of_rejection)
        nothing = [{"radius": at.radius, "value": None, "low": None, "high": None} for at in figures.certified_cc]
        record |= {"certified_cc": nothing, "certified_ncl": nothing}
    return record


class Setting(NamedTuple):
    """A setting as a column where runs differ in it, and with its name where all of them share it."""

    column: Column
    named: Callable[[Record], str]


def _settings(records: Sequence[Record]) -> list[Setting]:
    # Samples that select the class are mostly as many in all runs: a column of them would only take room.
    one_n0 = len({r["n0"] for r in records}) == 1
    apart = one_n0 and len({r["n"] for r in records}) > 1
    columns = [
        Column("run", lambda r: str(r["run_id"]), name="run_id"),
        Column("model", lambda r: r["model"], "left", name="model"),
        Column("predictor", predictor_text, "left", name="predictor"),
        # Of a run of our own the source is the weights' path, which the checkpoint's number stands for.
        Column("source", lambda r: (r["source"] or "") if r["kind"] == "import" else "", "left", name="source"),
        Column("data set", lambda r: r["dataset"], "left", name="dataset"),
        Column("σ", lambda r: number_text(r["sigma"]), name="sigma"),
        Column("inputs", _inputs, name="inputs"),
        *([Column("n0", lambda r: f"{r['n0']:,}", name="n0")] if apart else []),
        Column("n", lambda r: f"{r['n']:,}", name="n")
        if one_n0
        else Column("n0 + n", lambda r: f"{r['n0']:,} + {r['n']:,}", name="n"),
        Column("α", _alpha, name="alpha"),
        Column("rule", _rule, "left", name="rule"),
    ]
    named: dict[str, Callable[[Record], str]] = {
        "run_id": lambda r: f"run {r['run_id']}",
        "sigma": lambda r: f"σ = {number_text(r['sigma'])}",
        "predictor": lambda r: predictor_text(r) if r["predictor"] else "",
        "inputs": lambda r: f"{_inputs(r)} inputs",
        "n0": lambda r: f"n0 = {r['n0']:,}",
        "n": lambda r: f"n0 = {r['n0']:,}, n = {r['n']:,}",
        "alpha": lambda r: f"α = {_alpha(r)}",
        "rule": lambda r: _rule(r).replace(r["rule"], f"{r['rule']} rule", 1),
    }
    return [Setting(column, named.get(column.name, column.cell)) for column in columns]


def _figure_columns(*, abstention: bool, rejection: bool, explicit: bool) -> list[Column]:
    measured = [
        Column("uncertainty", lambda r: r["measure"], "left", name="measure"),
        Column("θ", lambda r: _threshold(r), name="threshold"),
    ]
    said = {"always": True, "with rejection": rejection, "without rejection": abstention, "class-wise": explicit}
    return [*(measured if rejection else []), *(figure_column(one) for one in shown("report") if said[one.said])]


def _threshold(record: Record) -> str:
    return "-" if record["threshold"] is None else f"{record['threshold']:.4g}"


def _certified_at(place: int) -> Any:
    return lambda r: percent_text(r["points"][place]["value"], 2)


def _point(name: str) -> Any:
    def cell(record: Record) -> str:
        point: Mapping[str, float] = record[name]
        return f"{100 * point['value']:.1f} [{100 * point['low']:.1f}, {100 * point['high']:.1f}]"

    return cell


def _with_interval(column: Column) -> Column:
    """Returns the column of a share with the share's interval beside it; another column as it is."""

    def cell(record: Record) -> str:
        share = record["intervals"].get(column.name)
        shown = column.cell(record)
        return shown if share is None else f"{shown} [{100 * share['low']:.1f}, {100 * share['high']:.1f}]"

    return replace(column, cell=cell)


def _inputs(record: Record) -> str:
    missing = record["planned"] - record["inputs"]
    return f"{record['inputs']:,}" + (f" of {record['planned']:,}" if missing else "")


def _alpha(record: Record) -> str:
    family = record["family_size"]
    return f"{record['alpha']:g}" + (f" over {family} guarantees" if family > 1 else "")


def _rule(record: Record) -> str:
    competitors = competitors_text(record["competitors"], record["bounds_version"])
    return f"{record['rule']}" + ("" if competitors == "merged" else f", {competitors} competitors")


def predictor_text(record: Record) -> str:
    """Returns what was asked of the network for every noise sample."""
    return str(predictor_of({PREDICTOR: record["predictor"]} if record["predictor"] else {}))


def beside_the_mean(figures: Sequence[Figures]) -> list[str]:
    """Returns, for every run whose views only reject, what the mean of the same views certifies as the classifier.

    Who rejects by more passes than who decides knows more than the classifier: its gain flatters.
    """
    rejecting = {one.run_id: one for one in figures if _more_than_decides(one)}
    return [_beside_the_mean(one, figures) for one in rejecting.values()]


def _more_than_decides(one: Figures) -> bool:
    predictor = one.predictor or {}
    more = predictor.get("views", 1) > 1 or "members" in predictor or "mc_dropout" in predictor
    return more and predictor["decide"] == "single"


def _beside_the_mean(one: Figures, figures: Sequence[Figures]) -> str:
    # A rejecter leaves the classifier as it is: the mean certifies what it does, whoever rejects.
    wanted = {name: value for name, value in (one.predictor or {}).items() if name != "rejecter"} | {"decide": "mean"}
    means = [
        other
        for other in figures
        if other.predictor == wanted and all(getattr(other, name) == getattr(one, name) for name in _SAME_NETWORK)
    ]
    said = f"run {one.run_id} rejects by more passes than decide, so its gain flatters: "
    if not means:
        return f"{said}beside it belongs the same command with --decide mean"
    best = max(means, key=lambda mean: mean.acr_ncl)
    return (
        f"{said}the mean of the same passes as the classifier has ACR {acr_text(best.acr_standard)}, "
        f"CC {acr_text(best.acr_cc)}, NCL {acr_text(best.acr_ncl)} (scoring {best.scoring_id})"
    )


def early_stops(records: Sequence[Record]) -> list[str]:
    """Returns what was sampled where a stopping rule had inputs stop before n, and what that means for the radii."""
    return list(
        dict.fromkeys(
            f"run {r['run_id']} stopped inputs once they were decided: {r['draws_mean']:,.0f} samples on average, "
            f"median {r['draws_median']:,.0f}, all {r['n']:,} for {percent_text(r['draws_at_max'], 2)} % of them; "
            "its radii are what these samples prove: with all n they may be larger"
            for r in records
            if r["draws_mean"] < r["n"] and r["kind"] == "certify"
        )
    )


def _incomplete(records: Sequence[Record]) -> list[str]:
    runs = sorted({r["run_id"] for r in records if r["status"] != "complete"})
    return [f"not complete: run {', '.join(map(str, runs))}; the same rsuq certify command goes on"] if runs else []


def _noise(figures: Sequence[Figures]) -> list[str]:
    """Returns at which size the noise was added, for runs whose networks see another."""
    said = {f"run {one.run_id}: {noise_line(one.preprocessing)}": None for one in figures if one.preprocessing}
    return list(said)


def _warnings(records: Sequence[Record]) -> list[str]:
    return list(dict.fromkeys(f"run {r['run_id']}: {warning}" for r in records for warning in r["warnings"]))
