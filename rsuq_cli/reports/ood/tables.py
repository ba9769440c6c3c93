"""Out-of-distribution runs in detail: every score, every radius, what selection gains, and whether smoothing helps.

Invariant: every figure is one that was stored; here it is only named and printed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rsuq_cli.console import Column, Table, number_text, percent_text
from rsuq_cli.formats import Record
from rsuq_cli.ood.scores import MEAN
from rsuq_cli.reports.ood.records import SHOWN_COVERAGES, guaranteed_points, selective_figures
from rsuq_cli.reports.ood.view import (
    FPR_MEANING,
    View,
    confidence,
    distinct,
    floor_percent,
    group_of,
    is_row,
    percent_with_interval,
    run_columns,
    run_warnings,
    short,
    title_of,
    value_of,
    verdict,
)
from rsuq_cli.results.ood_queries import AVERAGE, Difference, Estimate, OodRun
from rsuq_cli.uncertainty.measures import MEASURES


def detailed_tables(view: View) -> list[Table]:
    """Returns every table; the last one answers whether smoothing helps."""
    tables = detection_table, guarantee_table, ball_table, selective_table, gain_table, difference_table
    return [table(view) for table in tables]


def detection_table(view: View) -> Table:
    """Returns AUROC and FPR95 in percent, one row for each run and score, two columns for each set."""
    sets = distinct(name for run in view.runs for name in run.sets)
    groups = {group: [n for run in view.runs for n in run.sets if run.group(n) == group] for group in ("near", "far")}
    averages = [AVERAGE + group for group, names in groups.items() if len(set(names)) > 1]
    records: list[dict[str, Any]] = [
        {"run": run, "score": score, "sets": {name: _cell(view, run, name, score) for name in (*sets, *averages)}}
        for run in view.runs
        for score in view.scores_of(run)
    ]
    columns = [Column("score", lambda r: r["score"], "left")]
    for name in (*sets, *averages):
        kind = "" if name.startswith(AVERAGE) else f" ({group_of(view, name)})"
        columns += [
            Column(f"{short(name)}{kind}\nAUROC %", lambda r, n=name: percent_with_interval(r["sets"][n][0])),  # type: ignore[misc]
            Column("FPR95 %", lambda r, n=name: percent_text(value_of(r["sets"][n][1]))),  # type: ignore[misc]
        ]
    notes = (
        "larger score = more out-of-distribution; AUROC with its 95 % interval, ties count half",
        FPR_MEANING[view.convention],
        "clean: one pass without noise · mean: over the noise samples · uncertain_mass: q_⊥, the share above the "
        "threshold · one_minus_max_q (p): 1 - largest share of certain (all) votes",
    )
    title = title_of("out-of-distribution detection", view)
    return _table(view, title, records, columns, (*notes, *run_warnings(view)))


def guarantee_table(view: View) -> Table:
    """Returns the guaranteed AUROC in percent at every radius: against one moved side, and against both."""
    records: list[dict[str, Any]] = [
        {"run": run, "score": score, "ood_set": name, "points": _guaranteed(view, run, name, score)}
        for run in view.runs
        for name in run.sets
        for score in view.scores_of(run)
        if score in run.settings
    ]
    radii = sorted({radius for record in records for radius in record["points"]})
    columns = [
        Column("set", lambda r: short(r["ood_set"]), "left"),
        Column("score", lambda r: r["score"], "left"),
        *(Column(f"r = {number_text(radius)}", _guaranteed_cell(radius)) for radius in radii),
    ]
    notes = (
        "AUROC % that no attacker can lower who moves every OOD input by up to r in l2 / and every ID input too; ties "
        "are failures",
        *distinct(confidence(run, score) for run in view.runs for score in run.settings),
    )
    return _table(view, "guaranteed AUROC", records, columns, notes, keys=2)


def ball_table(view: View) -> Table:
    """Returns the shares certified in the whole ball: OOD inputs to stay uncertain, ID inputs CC, and the risk."""
    kinds = (("certified_uncertain", "stays uncertain"), ("certified_cc", "stays certain (CC)"),
             ("certified_risk", "selective risk at most"))  # fmt: skip
    records: list[dict[str, Any]] = [
        {
            "run": run, "score": score, "ood_set": ood_set or run.run.dataset, "kind": title,
            "points": {radius: run.figure(name, ood_set, score, radius) for radius in run.radii(score)},
        }
        for run in view.runs
        for score in run.settings
        for name, title in kinds
        for ood_set in (run.sets if name == "certified_uncertain" else (None,))
        if run.figure(name, ood_set, score, next(iter(run.radii(score)), None)) is not None
    ]  # fmt: skip
    radii = sorted({radius for record in records for radius in record["points"]})

    def at(radius: float) -> Callable[[Record], str]:
        return lambda record: percent_text(value_of(record["points"].get(radius)))

    columns = [
        Column("inputs from", lambda r: short(r["ood_set"]), "left"),
        Column("rejection by", lambda r: r["score"].partition(":")[2], "left"),
        Column("certified", lambda r: r["kind"], "left"),
        *(Column(f"r = {number_text(radius)}\n%", at(radius)) for radius in radii),
    ]
    note = "selective risk: share of the answers that an attacker can make wrong within r, at most (from NCL)"
    return _table(view, "certified in the whole ball", records, columns, (note,), keys=3)


def selective_table(view: View) -> Table:
    """Returns how well each score tells right from wrong answers on the in-distribution side."""
    records: list[dict[str, Any]] = [
        {"run": run, "score": score, "selective": selective_figures(run, score)}
        for run in view.runs
        for score in view.scores_of(run)
    ]

    def accuracy(coverage: float) -> Callable[[Record], str]:
        return lambda record: percent_text(record["selective"][f"accuracy@{coverage:g}"])

    columns = [
        Column("score", lambda r: r["score"], "left"),
        *(
            Column(title, lambda r, n=name: f"{100 * r['selective'][n]:.2f}")  # type: ignore[misc]
            for name, title in (("aurc", "AURC %"), ("e_aurc", "E-AURC %"), ("augrc", "AUGRC %"))
        ),
        *(Column(f"accuracy %\nat {coverage:.0%}", accuracy(coverage)) for coverage in SHOWN_COVERAGES),
    ]
    note = (
        "in-distribution inputs, the most certain answered first; clean scores rank the answers of the clean pass, the "
        "others those of the votes"
    )
    return _table(view, "selective classification", records, columns, (note,))


def gain_table(view: View) -> Table:
    """Returns for each measure what its mean under noise gains over its single pass, for every set and average."""
    records: list[dict[str, Any]] = [
        {"run": run, "ood_set": one.ood_set} for run in view.runs for one in run.differences if is_row(run, one)
    ]

    def gain(record: Record, measure: str) -> Estimate | None:
        found: Estimate | None = record["run"].figure("gain_over_clean", record["ood_set"], f"{MEAN}:{measure}")
        return found

    def gained(measure: str) -> Callable[[Record], str]:
        return lambda r: percent_with_interval(gain(r, measure), sign=True)

    # A run from before a measure was added has none of it.
    shown = [measure for measure in MEASURES if any(gain(record, measure) for record in records)] or MEASURES
    columns = [
        Column("set", lambda r: short(r["ood_set"]), "left"),
        *(Column(measure, gained(measure)) for measure in shown),
    ]
    note = "points of AUROC, [95 %] by paired bootstrap: for each measure its mean under noise against its clean pass"
    return Table(
        "the same measure, mean under noise minus clean pass",
        records,
        columns,
        (note,),
        keys=len(run_columns(view)) + 1,
    )


def difference_table(view: View) -> Table:
    """Returns the best clean score against the best smoothed score, for every set and average."""
    records = [{"run": run, "difference": one} for run in view.runs for one in run.differences if is_row(run, one)]

    def auroc(which: str) -> Callable[[Record], str]:
        def cell(record: Record) -> str:
            one: Difference = record["difference"]
            found = record["run"].figure("auroc", one.ood_set, getattr(one, which))
            return percent_text(value_of(found))

        return cell

    columns = [
        Column("set", lambda r: short(r["difference"].ood_set), "left"),
        Column("best clean score", lambda r: r["difference"].clean, "left"),
        Column("AUROC %", auroc("clean")),
        Column("best smoothed score", lambda r: r["difference"].smoothed, "left"),
        Column("AUROC %", auroc("smoothed")),
        Column("difference [95 %]", lambda r: percent_with_interval(r["difference"].estimate, sign=True)),
        Column("smoothing", lambda r: verdict(r["difference"].estimate), "left"),
    ]
    notes = (
        "paired bootstrap over the inputs; both scores are the best of their kind on these very inputs, and there are "
        "more smoothed ones to choose from",
    )
    return _table(view, "does smoothing help?", records, columns, notes)


def _table(
    view: View, title: str, records: Sequence[Record], columns: Sequence[Column], notes: Sequence[str], keys: int = 1
) -> Table:
    """Returns a table whose rows are named by what the runs differ in and by its first `keys` columns."""
    named = run_columns(view)
    return Table(title, records, [*named, *columns], notes, keys=len(named) + keys)


def _cell(view: View, run: OodRun, ood_set: str, score: str) -> tuple[Estimate | None, Estimate | None]:
    return run.figure("auroc", ood_set, score), run.figure(view.metric("fpr95"), ood_set, score)


def _guaranteed(view: View, run: OodRun, ood_set: str, score: str) -> dict[float, tuple[float | None, float | None]]:
    return {
        point["radius"]: (point["auroc"], point["auroc_two_sided"])
        for point in guaranteed_points(view, run, ood_set, score)
    }


def _guaranteed_cell(radius: float) -> Callable[[Record], str]:
    def cell(record: Record) -> str:
        one, both = record["points"].get(radius, (None, None))
        return f"{floor_percent(one)} / {floor_percent(both)}"

    return cell
