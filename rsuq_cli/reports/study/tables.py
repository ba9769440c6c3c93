"""The comparison that a study is made for: its networks, its sources of uncertainty on each, and their ranking.

Invariant: gain and cost compare sources of one network; between networks stand absolute figures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from rsuq_cli.console import Column, Table, number_text, percent_text
from rsuq_cli.formats import Record
from rsuq_cli.readings.masses import QUANTILES
from rsuq_cli.readings.ranking import RESAMPLES, Interval
from rsuq_cli.readings.study import SourceFound, study_found
from rsuq_cli.reports.comparison import figure_record
from rsuq_cli.reports.figures import acr_text
from rsuq_cli.results.database import Database
from rsuq_cli.results.studies import StudyRow

_PLACE = ("network", "objective", "sigma", "seed")
EQUAL = (
    "sources are compared at equal coverage: the share of noisy held-out inputs that each answers; answered: the share "
    "of the noisy inputs that are certified here"
)
INTERVALS = (
    f"[…]: 95 % over {RESAMPLES:,} resamples of the inputs, the same for every source · behind: the best source's gain "
    "minus this one's · best: how often it gains most in a resample"
)
ABSOLUTE = (
    "networks are compared by absolute figures: a weak network has the larger gain, and training for certificates "
    "lowers it"
)
CALIBRATION = (
    "ECE: expected calibration error, the mean distance in ten bins of the share of votes from how often the smoothed "
    "class is right, and of the softmax of single noise samples from how often they are"
)
PROPERTIES = {
    "separation_within": "apart\nwithin", "separation_between": "apart\nbetween", "within_share": "varies\nwithin",
    "rejected_dissent": "rejected:\ndissent", "rejected_easy": "of these\neasy",
}  # fmt: skip
SEPARATION = (
    "apart within: AUROC of dissenting against agreeing noise samples of one input, which NCL lives on; between: of "
    "wrong against right smoothed answers, by the mean under noise · varies within: share of the measure's variance "
    "within inputs"
)
REJECTED = (
    "rejected: of the rejected samples, those that dissent from their input's smoothed class; easy: of these, those of "
    "inputs with p_A above 0.9, where one is worth most radius"
)
ORACLE = (
    "oracle: the gain if as many samples were rejected and all of them dissented, on inputs whose class is right: at "
    "random, or those of the easiest inputs first; the class stays, where a rejecter may also name a better one"
)
CERTIFIED = "r: inputs that are right without rejection and certified at this radius, in pixel units"
MASSES = (
    "p_A: votes for the smoothed class where it is the label, else 0, in percent, that so many of the inputs have at "
    "most; with any n and α of yours they give a radius · hardest quarter: right samples on the inputs with the fewest"
)
AUROC = "AUROC: mean over the OOD sets, of one clean pass and of the mean under noise"


def study_tables(db: Database, study: StudyRow, *, machine: bool = False) -> list[Table]:
    """Returns the tables of a study, none where nothing of it is certified; for machines the sources alone."""
    return tables_of(study.name, study_found(db, study), machine=machine)


def tables_of(name: str, found: Sequence[SourceFound], *, machine: bool = False) -> list[Table]:
    """Returns the tables of what a study found; for machines the sources alone."""
    if not found:
        return []
    sources = source_table(name, found)
    return (
        [sources]
        if machine
        else [
            network_table(name, found), certified_table(name, found), sources, property_table(name, found),
            ranking_table(found),
        ]
    )  # fmt: skip


def network_table(name: str, found: Sequence[SourceFound]) -> Table:
    """Returns one row for each network and predictor: what it certifies without any rejection."""
    records = [
        _place_of(one) | {
            "predictor": one.predictor, "run_id": one.figures.run_id, "inputs": one.figures.inputs,
            "clean_accuracy": one.figures.clean_accuracy, "acr_standard": one.figures.acr_standard,
            "at_ceiling": one.figures.at_ceiling, "calibration_votes": one.calibration.votes,
            "calibration_softmax": one.calibration.softmax,
        }
        for one in _networks(found)
    ]  # fmt: skip
    columns = [
        *_place_columns(records, always=("network",)),
        *_varying(records, "predictor", Column("predictor", lambda r: r["predictor"], "left", "predictor")),
        Column("run", lambda r: str(r["run_id"]), name="run_id"),
        Column("accuracy\n%", lambda r: percent_text(r["clean_accuracy"]), name="clean_accuracy"),
        Column("ACR\nstandard", lambda r: acr_text(r["acr_standard"]), name="acr_standard"),
        Column("ceiling\n%", lambda r: percent_text(r["at_ceiling"]), name="at_ceiling"),
        Column("ECE\nvotes %", lambda r: percent_text(r["calibration_votes"]), name="calibration_votes"),
        Column("ECE\nsoftmax %", lambda r: percent_text(r["calibration_softmax"]), name="calibration_softmax"),
    ]
    return Table(f"study {name}: networks", records, columns, (ABSOLUTE, CALIBRATION))


def _networks(found: Sequence[SourceFound]) -> list[SourceFound]:
    """Returns one source for each network and predictor: what is said without rejection is the same for all of them."""
    return list({(one.place, one.predictor): one for one in reversed(found)}.values())[::-1]


def certified_table(name: str, found: Sequence[SourceFound]) -> Table:
    """Returns one row for each network and predictor: certified accuracies, and how its masses are distributed."""
    records = [
        _place_of(one) | {
            "predictor": one.predictor, "run_id": one.figures.run_id,
            **{f"certified_standard@{point.radius:g}": point.value for point in one.figures.certified_standard},
            **{f"p_own@{share:g}": mass for share, mass in zip(QUANTILES, one.masses.p_own.quantiles, strict=True)},
            "hardest_right": one.masses.hardest_right,
        }
        for one in _networks(found)
    ]  # fmt: skip
    radii = [point.radius for point in found[0].figures.certified_standard]
    columns = [
        *_place_columns(records, always=("network",)),
        *_varying(records, "predictor", Column("predictor", lambda r: r["predictor"], "left", "predictor")),
        *(_share(f"r = {number_text(radius)}\n%", f"certified_standard@{radius:g}") for radius in radii),
        *(_share(f"p_A:\n{share:.0%}" if not at else f"\n{share:.0%}", f"p_own@{share:g}")
          for at, share in enumerate(QUANTILES)),
        _share("hardest\nquarter %", "hardest_right"),
    ]  # fmt: skip
    return Table(f"study {name}: certified accuracy and masses", records, columns, (CERTIFIED, MASSES))


def _share(title: str, name: str) -> Column:
    return Column(title, _percent_of(name), name=name)


def source_table(name: str, found: Sequence[SourceFound]) -> Table:
    """Returns one row for each source on each network at each coverage."""
    records = [_record(one) for one in found]
    detection = any(record["auroc_smoothed"] is not None for record in records)
    columns = [
        *_place_columns(records),
        Column("coverage", lambda r: number_text(r["coverage_calibrated"]), name="coverage_calibrated"),
        *_varying(records, "predictor", Column("predictor", lambda r: r["predictor"], "left", "predictor")),
        Column("uncertainty", lambda r: r["measure"], "left", "measure"),
        Column("answered\n%", lambda r: percent_text(r["sample_coverage"]), name="sample_coverage"),
        Column("gain\n%", lambda r: _interval(r, "gain"), name="gain"),
        Column("CC cost\n%", lambda r: _interval(r, "cc_cost"), name="cc_cost"),
        Column("ACR\nCC", lambda r: acr_text(r["acr_cc"]), name="acr_cc"),
        Column("ACR\nNCL", lambda r: acr_text(r["acr_ncl"]), name="acr_ncl"),
        Column("behind\n%", lambda r: _interval(r, "behind"), name="behind"),
        Column("best\n%", lambda r: percent_text(r["best"], 0), name="best"),
        *(
            [
                Column("AUROC\nclean", lambda r: percent_text(r["auroc_clean"]), name="auroc_clean"),
                Column("AUROC\nnoise", lambda r: percent_text(r["auroc_smoothed"]), name="auroc_smoothed"),
            ]
            if detection
            else []
        ),
    ]
    notes = (EQUAL, INTERVALS, *([AUROC] if detection else []))
    return Table(f"study {name}: sources of uncertainty", records, columns, notes)


def property_table(name: str, found: Sequence[SourceFound]) -> Table:
    """Returns what each source is like under noise, and what the best rejection at its coverage would gain."""
    records = [_record(one) for one in found]
    columns = [
        *_place_columns(records),
        Column("coverage", lambda r: number_text(r["coverage_calibrated"]), name="coverage_calibrated"),
        *_varying(records, "predictor", Column("predictor", lambda r: r["predictor"], "left", "predictor")),
        Column("uncertainty", lambda r: r["measure"], "left", "measure"),
        *(Column(f"{title}\n%", _percent_of(key), name=key) for key, title in PROPERTIES.items()),
        Column("gain\n%", lambda r: percent_text(r["gain"]), name="gain"),
        Column("oracle:\nrandom %", lambda r: percent_text(r["oracle_random"]), name="oracle_random"),
        Column("easiest\nfirst %", lambda r: percent_text(r["oracle_easiest"]), name="oracle_easiest"),
    ]
    return Table(f"study {name}: properties under noise", records, columns, (SEPARATION, REJECTED, ORACLE))


def _percent_of(name: str) -> Callable[[Record], str]:
    return lambda record: percent_text(record[name])


def ranking_table(found: Sequence[SourceFound]) -> Table:
    """Returns one row for each source: how it does over all networks and coverages, the most often best first."""
    groups: dict[tuple[str, str], list[SourceFound]] = {}
    for one in found:
        if one.ranked:
            groups.setdefault((one.predictor, one.figures.measure), []).append(one)
    records: list[dict[str, Any]] = [
        {
            "predictor": predictor, "measure": measure, "comparisons": len(group),
            "best": sum(one.ranked.best for one in group if one.ranked) / len(group),
            "gain": sum(one.ranked.gain.value for one in group if one.ranked) / len(group),
            "cc_cost": sum(one.ranked.cost.value for one in group if one.ranked) / len(group),
        }
        for (predictor, measure), group in groups.items()
    ]  # fmt: skip
    records.sort(key=lambda record: -record["best"])
    columns = [
        Column("uncertainty", lambda r: r["measure"], "left", "measure"),
        *_varying(records, "predictor", Column("predictor", lambda r: r["predictor"], "left", "predictor")),
        Column("comparisons", lambda r: str(r["comparisons"]), name="comparisons"),
        Column("best\n%", lambda r: percent_text(r["best"], 0), name="best"),
        Column("mean gain\n%", lambda r: percent_text(r["gain"], 2), name="gain"),
        Column("mean CC cost\n%", lambda r: percent_text(r["cc_cost"], 2), name="cc_cost"),
    ]
    note = "ranking: over all networks and coverages of the study; best: the mean share of resamples it gains most in"
    return Table("ranking", records, columns, (note,))


def _record(one: SourceFound) -> dict[str, Any]:
    record = _place_of(one) | {"coverage_calibrated": one.coverage, "predictor": one.predictor} | {
        name: value for name, value in figure_record(one.figures).items() if name not in (*_PLACE, "predictor")
    }  # fmt: skip
    intervals: dict[str, Interval | None] = dict.fromkeys(("gain", "cc_cost", "behind"))
    if one.ranked:
        intervals = {"gain": one.ranked.gain, "cc_cost": one.ranked.cost, "behind": one.ranked.behind}
    record |= {f"{name}_interval": value and value._asdict() for name, value in intervals.items()}
    record["behind"] = one.ranked.behind.value if one.ranked else None
    record["best"] = one.ranked.best if one.ranked else None
    return record | {"auroc_clean": one.auroc_clean, "auroc_smoothed": one.auroc_smoothed} | asdict(one.properties)


def _place_of(one: SourceFound) -> dict[str, Any]:
    return one.place._asdict()


def _place_columns(records: Sequence[Record], always: Sequence[str] = ()) -> list[Column]:
    """Returns the columns of the place in the grid that the records differ in."""
    every = {
        "network": Column("network", lambda r: r["network"], "left", "network"),
        "objective": Column("objective", lambda r: r["objective"], "left", "objective"),
        "sigma": Column("σ", lambda r: number_text(r["sigma"]), name="sigma"),
        "seed": Column("seed", lambda r: str(r["seed"]), name="seed"),
    }
    return [one for name, one in every.items() if name in always or len({r[name] for r in records}) > 1]


def _varying(records: Sequence[Record], name: str, column: Column) -> list[Column]:
    return [column] if len({record[name] for record in records}) > 1 else []


def _interval(record: Record, name: str) -> str:
    value, interval = record[name], record[f"{name}_interval"]
    if value is None or interval is None:
        return "-"
    if name == "behind" and value == 0:
        return "-"
    return f"{100 * value:.1f} [{100 * interval['low']:.1f}, {100 * interval['high']:.1f}]"
