"""Inputs from elsewhere on the page: how well the scores of the network that is shown tell them from its own.

Invariant: every figure is one that was stored when the run was evaluated; a guaranteed one is rounded down. The run
that a figure is from is named, since the certificates on the page are of other runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from rsuq_cli.console import number_text, percent_text, radius_text
from rsuq_cli.readings.dossier import Dossier
from rsuq_cli.reports.markup import (
    Cell,
    Html,
    element,
    folded,
    joined,
    listing,
    measured,
    paragraph,
    report_table,
    rows_table,
)
from rsuq_cli.reports.names import short_name
from rsuq_cli.reports.ood.tables import ball_table, guarantee_table
from rsuq_cli.reports.ood.view import FPR_MEANING, View, verdict
from rsuq_cli.results.ood_queries import Difference, Estimate, OodRun
from rsuq_cli.run.network.equality import is_known_by_files

MOST_DETECTIONS = 6
# Sets that the first screen tells of; all of them are in the tables.
_TOLD = 4
_NONE = "None were tried: no out-of-distribution run of this network is recorded (rsuq ood makes one)."
_TITLES = ("set", "inputs", "AUROC %, best clean score", "its FPR95 %", "AUROC %, best smoothed score", "its FPR95 %",
           "difference", "smoothing", "guaranteed AUROC %")  # fmt: skip
_NOTES = (
    "AUROC: how often an input from elsewhere has the larger score than one of the network's own; 50 is chance. "
    "Intervals are 95 %",
    FPR_MEANING["ood-positive"],
    "the best score of each kind is picked on these very inputs, and there are more smoothed ones to pick from",
    "guaranteed AUROC: what remains, at least, whatever an attacker does who moves every input from elsewhere by up "
    "to r in ℓ₂; the best of the scores that have such a guarantee, picked likewise",
)


class Promise(NamedTuple):
    """A guaranteed AUROC: the score that has it, and the radius of the attacker."""

    value: float
    score: str
    radius: float


def detections(dossiers: Iterable[Dossier]) -> list[OodRun]:
    """Returns the out-of-distribution runs of these networks, each once, the oldest first."""
    found = {one.run.id: one for dossier in dossiers for one in dossier.detections}
    return [found[run_id] for run_id in sorted(found)]


def detections_html(dossiers: Sequence[Dossier]) -> Html:
    """Returns a table for each out-of-distribution run of the networks shown; of many runs the newest."""
    found = detections(dossiers)
    if not found:
        return paragraph(_NONE)
    shown = found[-MOST_DETECTIONS:]
    left = len(found) - len(shown)
    more = f"{left} older runs are left out: {', '.join(str(one.run.id) for one in found[:left])}"
    return joined([*map(_run_html, shown), listing([*_NOTES, *_known_by_files(shown), *([more] if left else [])])])


def _known_by_files(runs: Sequence[OodRun]) -> list[str]:
    numbers = ", ".join(str(one.run.id) for one in runs if is_known_by_files(one.run))
    told = "its weights and source file alone; what it computed was not recorded then"
    return [f"that it is the same network is known of run {numbers} by {told}"] if numbers else []


def detection_sentences(dossier: Dossier) -> list[str]:
    """Returns what was tried with inputs from elsewhere, one sentence for each set, from the newest runs first."""
    told = [_sentence(run, name) for run in reversed(dossier.detections) for name in run.sets]
    more = [f"{len(told) - _TOLD} more are in the tables below."] if len(told) > _TOLD else []
    return [*told[:_TOLD], *more] or [_NONE]


def promises_data(dossiers: Sequence[Dossier]) -> list[dict[str, Any]]:
    """Returns the guaranteed AUROC of every run, score and set by radius, against one moved side and against both."""
    return [
        {
            "name": f"run {run.run.id}, {score}",
            "sets": [
                {"name": short_name(name), "points": points}
                for name in run.sets
                if (points := _points(run, name, score))
            ],
        }
        for run in detections(dossiers)[-MOST_DETECTIONS:]
        for score in _most_promising(run)
    ]  # fmt: skip


def _most_promising(run: OodRun) -> list[str]:
    """Returns the scores that something is guaranteed of, the one with the most of it over all sets and radii first."""

    def promised(score: str) -> float:
        found = (run.figure("guaranteed_auroc", name, score, r) for name in run.sets for r in run.radii(score))
        return sum(one.value for one in found if one)

    return sorted((score for score in run.settings if run.radii(score)), key=promised, reverse=True)


def _points(run: OodRun, ood_set: str, score: str) -> list[dict[str, Any]]:
    return [
        {"radius": radius, "one": one.value, "both": None if both is None else both.value,
         "text": f"{_floored(one.value)} %" + (f", both sides moved {_floored(both.value)} %" if both else "")}
        for radius in run.radii(score)
        if (one := run.figure("guaranteed_auroc", ood_set, score, radius))
        for both in [run.figure("guaranteed_auroc_two_sided", ood_set, score, radius)]
    ]  # fmt: skip


def _run_html(run: OodRun) -> Html:
    one = run.run
    own = f"{one.name}: " if one.name else ""
    title = (
        f"{own}run {one.id}, {one.model} on {short_name(one.dataset)} ({run.inputs.get(one.dataset, 0):,} inputs), "
        f"σ = {number_text(one.sigma)}, n = {one.n:,}"
    )
    view = View([run])
    promised = [report_table(table) for table in (guarantee_table(view), ball_table(view)) if table.records]
    return joined([
        element("h3", title),
        paragraph(one.note, class_="settings") if one.note else Html(""),
        rows_table(_TITLES, [_row(run, name) for name in run.sets], caption=f"Detection, run {one.id}"),
        listing([f"Warning: {warning}" for warning in one.warnings or ()], "flags"),
        folded("What is guaranteed at every radius", *promised) if promised else Html(""),
    ])  # fmt: skip


def _row(run: OodRun, name: str) -> list[Cell]:
    best, promise = _best(run, name), _promise(run, name)
    cells = [Cell(f"{short_name(name)} ({run.group(name)})", words=True), Cell(f"{run.inputs[name]:,}")]
    for score in (best and best.clean, best and best.smoothed):
        auroc, fpr95 = (run.figure(metric, name, score) for metric in ("auroc", "fpr95"))
        cells += [Cell(_figure(auroc, score or "")), Cell(_figure(fpr95))]
    difference = None if best is None else best.estimate
    guaranteed = "-" if promise is None else measured(
        _floored(promise.value), f"at r = {number_text(promise.radius)}", promise.score
    )  # fmt: skip
    verdict_ = "-" if difference is None else verdict(difference)
    return [*cells, Cell(_figure(difference, style="+.1f")), Cell(verdict_, words=True), Cell(guaranteed)]


def _best(run: OodRun, ood_set: str) -> Difference | None:
    return next((one for one in run.differences if one.ood_set == ood_set), None)


def _promise(run: OodRun, ood_set: str) -> Promise | None:
    """Returns the largest guaranteed AUROC on a set at the smallest radius above 0 that there is any at."""
    found = [
        Promise(figure.value, score, radius)
        for score in run.settings
        for radius in [radius for radius in run.radii(score) if radius > 0][:1]
        if (figure := run.figure("guaranteed_auroc", ood_set, score, radius))
    ]
    return max(found, default=None)


def _sentence(run: OodRun, ood_set: str) -> str:
    told = f"{short_name(ood_set)} ({run.group(ood_set)}, {run.inputs[ood_set]:,} inputs, run {run.run.id})"
    best = _best(run, ood_set)
    if best is None:
        return f"{told}: no figure is recorded."
    clean, smoothed = (run.figure("auroc", ood_set, score) for score in (best.clean, best.smoothed))
    told += f": AUROC {_interval(clean)} % by the best clean score, {_interval(smoothed)} % by the best smoothed one"
    promise = _promise(run, ood_set)
    if promise is None:
        return f"{told}."
    return (
        f"{told}; at least {_floored(promise.value)} % by {promise.score}, whoever moves every one of them by up to "
        f"{number_text(promise.radius)}."
    )


def _figure(estimate: Estimate | None, *under: str, style: str = ".1f") -> Html:
    """Returns a figure in percent, its interval under it."""
    if estimate is None:
        return joined(["-"])
    value, low, high = (None if part is None else format(100 * part, style) for part in estimate)
    interval = "" if low is None or high is None else f"{low} to {high}"
    return measured(str(value), interval, *under)


def _interval(estimate: Estimate | None) -> str:
    if estimate is None:
        return "-"
    shown = percent_text(estimate.value)
    if estimate.low is None or estimate.high is None:
        return shown
    return f"{shown} [{percent_text(estimate.low)}, {percent_text(estimate.high)}]"


def _floored(share: float) -> str:
    """Returns a guaranteed share in percent, rounded down."""
    # By the share's own decimals, so that 0.57 stays 57.0 and is not cut to 56.9.
    return radius_text(float(Decimal(repr(share)) * 100), 1)
