"""Out-of-distribution runs on one screen: for each set what smoothing gains, and what is certified; and in words.

Invariant: every figure is one that was stored. A score that is the best on the inputs it is judged on is called so, and
beside it stands a comparison in which nothing was chosen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rsuq_cli.console import Column, Table, number_text, percent_text
from rsuq_cli.formats import Record
from rsuq_cli.ood.scores import CLEAN, MEAN, UNCERTAIN_MASS, is_clean
from rsuq_cli.reports.ood.tables import detailed_tables, detection_table
from rsuq_cli.reports.ood.view import (
    View,
    confidence,
    distinct,
    floor_percent,
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

MORE = "--details: every score, measure, radius and figure · --intervals: of each AUROC and share"

INTERVALS = (
    "[…] of an AUROC: 95 %, DeLong's (of an average by bootstrap); of a certified share: Wilson's, over the inputs"
)


def people_tables(view: View, *, details: bool = False, intervals: bool = False, by_score: bool = False) -> list[Table]:
    """Returns what people read: one table that fits a screen, with `details` every table.

    `by_score` is for who asked for scores, or for a convention of FPR95: a row for each score.
    """
    if details:
        return detailed_tables(view)
    return [detection_table(view) if by_score else summary_table(view, intervals=intervals)]


def summary_table(view: View, *, intervals: bool = False) -> Table:
    """Returns a row for each run and set: the best clean and smoothed score, their difference, and what is certified.

    With `intervals` every AUROC and share has its own beside it.
    """
    records: list[dict[str, Any]] = [
        {"run": run, "difference": one, "own": _own_score(run)}
        for run in view.runs
        for one in run.differences
        if is_row(run, one)
    ]
    radii = distinct(number_text(_radius(run, own)) for run in view.runs if (own := _own_score(run)))
    at = f"\nr = {radii[0]}" if len(radii) == 1 else ""
    uncertain = _certified("certified_uncertain", named=not at, intervals=intervals)
    columns = [
        *run_columns(view),
        Column("set", _set, "left"),
        Column("best clean\nAUROC %", _best("clean", intervals=intervals), "left"),
        Column("best smoothed\nAUROC %", _best("smoothed", intervals=intervals), "left"),
        Column("difference\n[95 %]", lambda r: _stacked(r["difference"].estimate), "left"),
        Column("own measure\nmean - clean", lambda r: _stacked(_gain(r)), "left"),
        Column(f"certified\nuncertain %{at}", uncertain, "left"),
        Column(f"guaranteed\nAUROC %{at}", _certified("guaranteed_auroc", named=not at), "left"),
    ]
    keys = len(run_columns(view)) + 1
    notes = (*([INTERVALS] if intervals else []), *_legend(view), *run_warnings(view))
    return Table(title_of("out-of-distribution detection", view), records, columns, notes, keys=keys)


def _own_score(run: OodRun) -> str | None:
    """Returns the score whose guarantees are shown: the mass above the first threshold, which nobody chose."""
    return next((score for score in run.settings if score.startswith(f"{UNCERTAIN_MASS}:")), None)


def _radius(run: OodRun, score: str | None) -> float | None:
    """Returns the smallest radius above 0 at which something is guaranteed of a score."""
    return next((radius for radius in run.radii(score) if radius > 0), None) if score else None


def _set(record: Record) -> str:
    run, ood_set = record["run"], record["difference"].ood_set
    return short(ood_set) if ood_set.startswith(AVERAGE) else f"{short(ood_set)}\n{run.group(ood_set)}"


def _best(which: str, *, intervals: bool) -> Callable[[Record], str]:
    def cell(record: Record) -> str:
        one: Difference = record["difference"]
        score: str = getattr(one, which)
        found: Estimate | None = record["run"].figure("auroc", one.ood_set, score)
        shown = percent_with_interval(found) if intervals else percent_text(value_of(found))
        # The column says which scores are clean; what a threshold belongs to needs a line of its own.
        return f"{shown}\n" + score.removeprefix(f"{CLEAN}:").replace(":", ":\n" if "@" in score else ":")

    return cell


def _stacked(estimate: Estimate | None) -> str:
    return percent_with_interval(estimate, sign=True).replace(" [", "\n[")


def _gain(record: Record) -> Estimate | None:
    measure = _measure(record["run"], record["own"])
    found: Estimate | None = record["run"].figure("gain_over_clean", record["difference"].ood_set, f"{MEAN}:{measure}")
    return found


def _measure(run: OodRun, own: str | None) -> str | None:
    return run.settings[own].measure if own else None


def _certified(name: str, *, named: bool, intervals: bool = False) -> Callable[[Record], str]:
    def cell(record: Record) -> str:
        run, own = record["run"], record["own"]
        radius = _radius(run, own)
        found: Estimate | None = run.figure(name, record["difference"].ood_set, own, radius)
        if found is None:
            return "-"
        shown = percent_with_interval(found) if intervals else floor_percent(found.value)
        return f"{shown}\nr = {number_text(radius)}" if named else shown

    return cell


def _legend(view: View) -> list[str]:
    counts = distinct(
        f"{sum(map(is_clean, run.scores))} clean and {sum(not is_clean(one) for one in run.scores)} smoothed"
        for run in view.runs
    )
    owned = [(run, own) for run in view.runs if (own := _own_score(run))]
    measures = " or ".join(distinct(run.settings[own].measure for run, own in owned))
    scores = " or ".join(distinct(own for _, own in owned))
    return [
        f"best: the largest AUROC of its kind on these very inputs, of {' or '.join(counts)} scores; difference: of "
        "these two, paired bootstrap over the inputs. The choice is not in the interval, and favours the smoothed",
        *([f"own measure: {measures}, which rejects; its mean under noise minus its clean pass, paired likewise, and "
           "nothing chosen",
           "certified uncertain: inputs that stay uncertain in the whole l2 ball of radius r",
           f"guaranteed AUROC: of {scores}, wherever in their balls the inputs of the set are moved",
           *distinct(confidence(run, own) for run, own in owned)] if owned else []),
        MORE,
    ]  # fmt: skip


def reading(run: OodRun) -> str:
    """Returns a paragraph that reads a run aloud: each set's best scores, and what an attacker cannot take away."""
    sentences = []
    for one in run.differences:
        if one.ood_set.startswith(AVERAGE):
            continue
        clean, smoothed = (value_of(run.figure("auroc", one.ood_set, score)) for score in (one.clean, one.smoothed))
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
            f"AUROC by {score} below {floor_percent(value)} %."
        )
    return "Inputs from elsewhere, best score of each kind: " + " ".join(sentences)


_WORDS = {"helps": "helps", "hurts": "hurts", "undecided": "makes no difference that these inputs could show"}
