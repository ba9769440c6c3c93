"""Out-of-distribution runs as they are shown: which of them, which scores, and how a figure is named and printed.

Invariant: every figure is one that was stored; here it is only named and printed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple

from rsuq_cli.console import Column, number_text, radius_text
from rsuq_cli.ood.metrics import Convention
from rsuq_cli.ood.scores import chosen
from rsuq_cli.results.ood_queries import AVERAGE, Difference, Estimate, OodRun

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


def floor_percent(share: float | None) -> str:
    """Returns a guaranteed share in percent, rounded down."""
    # The shortest decimal of the float, so that 0.57 stays 57.0 and is not cut to 56.9.
    return "-" if share is None else radius_text(float(Decimal(repr(share)) * 100), 1)


def run_columns(view: View) -> list[Column]:
    """Returns the settings that the runs differ in."""
    every = [
        Column("run", lambda r: str(r["run"].run.id), name="run_id"),
        Column("model", lambda r: r["run"].run.model, "left", name="model"),
        Column("data set", lambda r: short(r["run"].run.dataset), "left", name="dataset"),
        Column("σ", lambda r: number_text(r["run"].run.sigma), name="sigma"),
    ]
    return [column for column in every if len({column.cell({"run": run}) for run in view.runs}) > 1]


def title_of(what: str, view: View) -> str:
    if len(view.runs) != 1:
        return what
    run = view.runs[0].run
    return (
        f"{what} · run {run.id} · {run.model} · {short(run.dataset)} ({view.runs[0].inputs[run.dataset]:,} inputs) · "
        f"σ = {number_text(run.sigma)} · n0 = {run.n0:,}, n = {run.n:,}"
    )


def confidence(run: OodRun, score: str) -> str:
    settings = run.settings[score]
    alpha, family = settings.alpha, settings.family_size
    if family > 1:
        return f"all bounds hold simultaneously with probability at least 1 - {alpha:g} (alpha over {family:,} bounds)"
    return f"each bound holds per input with probability at least 1 - {alpha:g}; --simultaneous makes all hold together"


def run_warnings(view: View) -> list[str]:
    return [f"run {run.run.id}: {warning}" for run in view.runs for warning in run.run.warnings or ()]


def is_row(run: OodRun, difference: Difference) -> bool:
    """Returns whether a difference says more than another row: an average over one set is that set again."""
    if not difference.ood_set.startswith(AVERAGE):
        return True
    group = difference.ood_set.removeprefix(AVERAGE)
    return sum(run.group(name) == group for name in run.sets) > 1


def group_of(view: View, ood_set: str) -> str:
    return next(run.group(ood_set) for run in view.runs if ood_set in run.sets)


def value_of(estimate: Estimate | None) -> float | None:
    return None if estimate is None else estimate.value


def percent_with_interval(estimate: Estimate | None, *, sign: bool = False) -> str:
    if estimate is None:
        return "-"
    style = "+.1f" if sign else ".1f"
    shown = f"{100 * estimate.value:{style}}"
    if estimate.low is None or estimate.high is None:
        return shown
    return f"{shown} [{100 * estimate.low:{style}}, {100 * estimate.high:{style}}]"


def distinct(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
