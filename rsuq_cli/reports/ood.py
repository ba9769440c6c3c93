"""Out-of-distribution runs as tables: detection by score and set, what is guaranteed, what selection gains.

Invariant: every figure is one that was stored; here it is only named and printed. Machines get one record for each
(run, set, score) with everything about it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from rsuq_cli.console import Column, Table, number_text, percent_text, radius_text
from rsuq_cli.formats import Record
from rsuq_cli.measures import MEASURES
from rsuq_cli.ood.metrics import Convention
from rsuq_cli.ood.scores import MEAN, chosen
from rsuq_cli.ood.selective import COVERAGES
from rsuq_cli.results.ood_queries import AVERAGE, Difference, Estimate, OodRun

SHOWN_COVERAGES = (0.95, 0.9, 0.8, 0.7)
METRICS = ("auroc", "aupr_in", "aupr_out", "fpr95", "detection_accuracy")
GUARANTEED = ("auroc", "fpr95", "auroc_two_sided", "fpr95_two_sided")
FPR_MEANING = {
    "ood-positive": "FPR95, OOD positive: in-distribution inputs flagged where 95 % of the others are",
    "id-positive": "FPR95, ID positive: out-of-distribution inputs accepted where 95 % of the others are",
}


class View(NamedTuple):
    """Runs, which of their scores to show (all where none is named), and the convention of FPR95."""

    runs: Sequence[OodRun]
    scores: Sequence[str] = ()
    convention: Convention = "ood-positive"

    def scores_of(self, run: OodRun) -> list[str]:
        """Returns the names of the scores of a run to show, in order."""
        return chosen(run.scores, self.scores)

    def metric(self, name: str) -> str:
        """Returns the name that a metric is stored by, in the convention of this view."""
        return f"{name}_id_positive" if self.convention == "id-positive" and name.endswith("fpr95") else name


def record_table(view: View) -> Table:
    """Returns one record for each (run, set, score), for machine formats."""
    records = [
        _record(view, run, name, score) for run in view.runs for name in run.sets for score in view.scores_of(run)
    ]
    columns = [
        Column("run", lambda r: str(r["run_id"]), name="run_id"),
        Column("set", lambda r: r["ood_set"], "left", name="ood_set"),
        Column("score", lambda r: r["score"], "left", name="score"),
        *(Column(name, _percent_of(name), name=name) for name in METRICS),
    ]
    return Table("out-of-distribution detection", records, columns)


def people_tables(view: View) -> list[Table]:
    """Returns the tables that people read; the last one answers whether smoothing helps."""
    tables = detection_table, guarantee_table, ball_table, selective_table, gain_table, difference_table
    return [table(view) for table in tables]


def detection_table(view: View) -> Table:
    """Returns AUROC and FPR95 in percent, one row for each run and score, two columns for each set."""
    sets = _distinct(name for run in view.runs for name in run.sets)
    groups = {group: [n for run in view.runs for n in run.sets if run.group(n) == group] for group in ("near", "far")}
    averages = [AVERAGE + group for group, names in groups.items() if len(set(names)) > 1]
    records: list[dict[str, Any]] = [
        {"run": run, "score": score, "sets": {name: _cell(view, run, name, score) for name in (*sets, *averages)}}
        for run in view.runs
        for score in view.scores_of(run)
    ]
    columns = [*_run_columns(view), Column("score", lambda r: r["score"], "left")]
    for name in (*sets, *averages):
        kind = "" if name.startswith(AVERAGE) else f" ({_group(view, name)})"
        columns += [
            Column(f"{short(name)}{kind}\nAUROC %", lambda r, n=name: _with_interval(r["sets"][n][0])),  # type: ignore[misc]
            Column("FPR95 %", lambda r, n=name: percent_text(_value(r["sets"][n][1]))),  # type: ignore[misc]
        ]
    notes = (
        "larger score = more out-of-distribution; AUROC with its 95 % interval, ties count half",
        FPR_MEANING[view.convention],
        "clean: one pass without noise · mean: over the noise samples · uncertain_mass: q_⊥, the share above the "
        "threshold · one_minus_max_q (p): 1 - largest share of certain (all) votes",
    )
    return Table(_title("out-of-distribution detection", view), records, columns, (*notes, *_warnings(view)))


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
        *_run_columns(view),
        Column("set", lambda r: short(r["ood_set"]), "left"),
        Column("score", lambda r: r["score"], "left"),
        *(Column(f"r = {number_text(radius)}", _guaranteed_cell(radius)) for radius in radii),
    ]
    notes = (
        "AUROC % that no attacker can lower who moves every OOD input by up to r in l2 / and every ID input too; ties "
        "are failures",
        *_distinct(_confidence(run, score) for run in view.runs for score in run.settings),
    )
    return Table("guaranteed AUROC", records, columns, notes)


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
        return lambda record: percent_text(_value(record["points"].get(radius)))

    columns = [
        *_run_columns(view),
        Column("inputs from", lambda r: short(r["ood_set"]), "left"),
        Column("rejection by", lambda r: r["score"].partition(":")[2], "left"),
        Column("certified", lambda r: r["kind"], "left"),
        *(Column(f"r = {number_text(radius)}\n%", at(radius)) for radius in radii),
    ]
    note = "selective risk: share of the answers that an attacker can make wrong within r, at most (from NCL)"
    return Table("certified in the whole ball", records, columns, (note,))


def selective_table(view: View) -> Table:
    """Returns how well each score tells right from wrong answers on the in-distribution side."""
    records: list[dict[str, Any]] = [
        {"run": run, "score": score, "selective": _selective(run, score)}
        for run in view.runs
        for score in view.scores_of(run)
    ]

    def accuracy(coverage: float) -> Callable[[Record], str]:
        return lambda record: percent_text(record["selective"][f"accuracy@{coverage:g}"])

    columns = [
        *_run_columns(view),
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
    return Table("selective classification", records, columns, (note,))


def gain_table(view: View) -> Table:
    """Returns for each measure what its mean under noise gains over its single pass, for every set and average."""
    records: list[dict[str, Any]] = [
        {"run": run, "ood_set": one.ood_set} for run in view.runs for one in run.differences if _shown(run, one)
    ]

    def gained(measure: str) -> Callable[[Record], str]:
        return lambda r: _with_interval(
            r["run"].figure("gain_over_clean", r["ood_set"], f"{MEAN}:{measure}"), sign=True
        )

    columns = [
        *_run_columns(view),
        Column("set", lambda r: short(r["ood_set"]), "left"),
        *(Column(measure, gained(measure)) for measure in MEASURES),
    ]
    note = "points of AUROC, [95 %] by paired bootstrap: for each measure its mean under noise against its clean pass"
    return Table("the same measure, mean under noise minus clean pass", records, columns, (note,))


def difference_table(view: View) -> Table:
    """Returns the best clean score against the best smoothed score, for every set and average."""
    records = [{"run": run, "difference": one} for run in view.runs for one in run.differences if _shown(run, one)]

    def auroc(which: str) -> Callable[[Record], str]:
        def cell(record: Record) -> str:
            one: Difference = record["difference"]
            found = record["run"].figure("auroc", one.ood_set, getattr(one, which))
            return percent_text(_value(found))

        return cell

    columns = [
        *_run_columns(view),
        Column("set", lambda r: short(r["difference"].ood_set), "left"),
        Column("best clean score", lambda r: r["difference"].clean, "left"),
        Column("AUROC %", auroc("clean")),
        Column("best smoothed score", lambda r: r["difference"].smoothed, "left"),
        Column("AUROC %", auroc("smoothed")),
        Column("difference [95 %]", lambda r: _with_interval(r["difference"].estimate, sign=True)),
        Column("smoothing", lambda r: verdict(r["difference"].estimate), "left"),
    ]
    notes = (
        "paired bootstrap over the inputs; both scores are the best of their kind on these very inputs, and there are "
        "more smoothed ones to choose from",
    )
    return Table("does smoothing help?", records, columns, notes)


def reading(run: OodRun) -> str:
    """Returns a paragraph that reads a run aloud: each set's best scores, and what an attacker cannot take away."""
    sentences = []
    for one in run.differences:
        if one.ood_set.startswith(AVERAGE):
            continue
        clean, smoothed = (_value(run.figure("auroc", one.ood_set, score)) for score in (one.clean, one.smoothed))
        sentences.append(
            f"{short(one.ood_set)} ({run.group(one.ood_set)}): AUROC {percent_text(clean)} % by {one.clean}, "
            f"{percent_text(smoothed)} % by {one.smoothed}, so smoothing {_WORDS[verdict(one.estimate)]}."
        )
    promises = [
        (found.value, radius, ood_set, score)
        for score in run.settings
        for radius in run.radii(score)[1:2]
        for ood_set in run.sets
        if (found := run.figure("guaranteed_auroc", ood_set, score, radius))
    ]
    if promises:
        value, radius, ood_set, score = max(promises)
        sentences.append(
            f"An attacker who moves every input of {short(ood_set)} by up to {number_text(radius)} in l2 cannot push "
            f"AUROC by {score} below {_floor_percent(value)} %."
        )
    return "Inputs from elsewhere, best score of each kind: " + " ".join(sentences)


_WORDS = {"helps": "helps", "hurts": "hurts", "undecided": "makes no difference that these inputs could show"}


def verdict(estimate: Estimate) -> str:
    """Returns what an interval of a difference says in one word."""
    if estimate.low is not None and estimate.low > 0:
        return "helps"
    return "hurts" if estimate.high is not None and estimate.high < 0 else "undecided"


def short(ood_set: str) -> str:
    """Returns a set's name as a column can hold it: of a path the last part, of an average what it is over."""
    if ood_set.startswith(AVERAGE):
        return f"{ood_set.removeprefix(AVERAGE)} average"
    return ood_set.rpartition("/")[2] if ood_set.startswith(("folder:", "npz:")) else ood_set


def _record(view: View, run: OodRun, ood_set: str, score: str) -> dict[str, Any]:
    found = {name: run.figure(view.metric(name), ood_set, score) for name in METRICS}
    settings = run.settings.get(score)
    gain = run.figure("gain_over_clean", ood_set, score)
    difference = next((one for one in run.differences if one.ood_set == ood_set), None)
    return {
        "run_id": run.run.id,
        "status": run.run.status,
        "model": run.run.model,
        "dataset": run.run.dataset,
        "sigma": run.run.sigma,
        "n0": run.run.n0,
        "n": run.run.n,
        "seed": run.run.seed,
        "ood_set": ood_set,
        "group": run.group(ood_set),
        "score": score,
        "convention": view.convention,
        "inputs_id": run.inputs[run.run.dataset],
        "inputs_ood": run.inputs[ood_set],
        **{name: _value(one) for name, one in found.items()},
        "threshold": _value(run.figure("threshold", ood_set, score)),
        "intervals": {name: one._asdict() for name, one in found.items() if one},
        "alpha": settings.alpha if settings else None,
        "guarantee": None if settings is None else "simultaneous" if settings.family_size > 1 else "per input",
        "family_size": settings.family_size if settings else None,
        "certified": _points(view, run, ood_set, score),
        "gain_over_clean": None if gain is None else gain._asdict(),
        "group_average": _average(view, run, run.group(ood_set), score),
        "selective": _selective(run, score),
        "comparison": None if difference is None else {
            "best_clean": difference.clean, "best_smoothed": difference.smoothed,
            "difference": difference.estimate.value, "low": difference.estimate.low, "high": difference.estimate.high,
        },
    }  # fmt: skip


def _points(view: View, run: OodRun, ood_set: str, score: str) -> list[dict[str, Any]]:
    """Returns what is guaranteed at every radius, by the names of the metrics."""
    points = []
    for radius in run.radii(score):
        point: dict[str, Any] = {"radius": radius}
        for name in GUARANTEED:
            base, suffix = (name.removesuffix("_two_sided"), "_two_sided" if name.endswith("_two_sided") else "")
            point[name] = _value(run.figure(f"{view.metric(f'guaranteed_{base}')}{suffix}", ood_set, score, radius))
        for name, about in (("certified_uncertain", ood_set), ("certified_cc", None), ("certified_risk", None)):
            share = run.figure(name, about, score, radius)
            if share is not None:
                point[name] = share.value
        points.append(point)
    return points


def _average(view: View, run: OodRun, group: str, score: str) -> dict[str, Any]:
    found = {name: run.figure(view.metric(name), AVERAGE + group, score) for name in METRICS}
    return {name: one._asdict() for name, one in found.items() if one}


def _selective(run: OodRun, score: str) -> dict[str, Any]:
    figures = {name: _value(run.figure(name, None, score)) for name in ("aurc", "e_aurc", "augrc")}
    risks = {coverage: _value(run.figure(f"risk@{coverage:g}", None, score)) for coverage in COVERAGES}
    return {
        **figures,
        **{f"accuracy@{c:g}": None if (risk := risks[c]) is None else 1 - risk for c in SHOWN_COVERAGES},
        "risk_coverage": [{"coverage": coverage, "risk": risk} for coverage, risk in risks.items()],
    }


def _cell(view: View, run: OodRun, ood_set: str, score: str) -> tuple[Estimate | None, Estimate | None]:
    return run.figure("auroc", ood_set, score), run.figure(view.metric("fpr95"), ood_set, score)


def _guaranteed(view: View, run: OodRun, ood_set: str, score: str) -> dict[float, tuple[float | None, float | None]]:
    return {point["radius"]: (point["auroc"], point["auroc_two_sided"]) for point in _points(view, run, ood_set, score)}


def _guaranteed_cell(radius: float) -> Callable[[Record], str]:
    def cell(record: Record) -> str:
        one, both = record["points"].get(radius, (None, None))
        return f"{_floor_percent(one)} / {_floor_percent(both)}"

    return cell


def _floor_percent(share: float | None) -> str:
    """Returns a guaranteed share in percent, rounded down."""
    # The shortest decimal of the float, so that 0.57 stays 57.0 and is not cut to 56.9.
    return "-" if share is None else radius_text(float(Decimal(repr(share)) * 100), 1)


def _run_columns(view: View) -> list[Column]:
    """Returns the settings that the runs differ in."""
    every = [
        Column("run", lambda r: str(r["run"].run.id), name="run_id"),
        Column("model", lambda r: r["run"].run.model, "left", name="model"),
        Column("data set", lambda r: short(r["run"].run.dataset), "left", name="dataset"),
        Column("σ", lambda r: number_text(r["run"].run.sigma), name="sigma"),
    ]
    return [column for column in every if len({column.cell({"run": run}) for run in view.runs}) > 1]


def _title(what: str, view: View) -> str:
    if len(view.runs) != 1:
        return what
    run = view.runs[0].run
    return (
        f"{what} · run {run.id} · {run.model} · {short(run.dataset)} ({view.runs[0].inputs[run.dataset]:,} inputs) · "
        f"σ = {number_text(run.sigma)} · n0 = {run.n0:,}, n = {run.n:,}"
    )


def _confidence(run: OodRun, score: str) -> str:
    settings = run.settings[score]
    alpha, family = settings.alpha, settings.family_size
    if family > 1:
        return f"all bounds hold simultaneously with probability at least 1 - {alpha:g} (alpha over {family:,} bounds)"
    return f"each bound holds per input with probability at least 1 - {alpha:g}; --simultaneous makes all hold together"


def _warnings(view: View) -> list[str]:
    return [f"run {run.run.id}: {warning}" for run in view.runs for warning in run.run.warnings or ()]


def _shown(run: OodRun, difference: Difference) -> bool:
    """Returns whether a difference says more than another row: an average over one set is that set again."""
    if not difference.ood_set.startswith(AVERAGE):
        return True
    group = difference.ood_set.removeprefix(AVERAGE)
    return sum(run.group(name) == group for name in run.sets) > 1


def _group(view: View, ood_set: str) -> str:
    return next(run.group(ood_set) for run in view.runs if ood_set in run.sets)


def _value(estimate: Estimate | None) -> float | None:
    return None if estimate is None else estimate.value


def _with_interval(estimate: Estimate | None, *, sign: bool = False) -> str:
    if estimate is None:
        return "-"
    style = "+.1f" if sign else ".1f"
    shown = f"{100 * estimate.value:{style}}"
    if estimate.low is None or estimate.high is None:
        return shown
    return f"{shown} [{100 * estimate.low:{style}}, {100 * estimate.high:{style}}]"


def _percent_of(name: str) -> Callable[[Record], str]:
    return lambda record: percent_text(record[name])


def _distinct(names: Any) -> list[str]:
    return list(dict.fromkeys(names))
