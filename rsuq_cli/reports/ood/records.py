"""Out-of-distribution runs for machines: one record for each (run, set, score) with everything about it.

Invariant: every figure is one that was stored; names, once published, stay.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rsuq_cli.console import Column, Table, percent_text
from rsuq_cli.formats import Record
from rsuq_cli.ood.selective import COVERAGES
from rsuq_cli.reports.ood.view import View, value_of
from rsuq_cli.results.ood_queries import AVERAGE, OodRun

SHOWN_COVERAGES = (0.95, 0.9, 0.8, 0.7)
METRICS = ("auroc", "aupr_in", "aupr_out", "fpr95", "detection_accuracy")
GUARANTEED = ("auroc", "fpr95", "auroc_two_sided", "fpr95_two_sided")


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


def guaranteed_points(view: View, run: OodRun, ood_set: str, score: str) -> list[dict[str, Any]]:
    """Returns what is guaranteed at every radius, by the names of the metrics."""
    points = []
    for radius in run.radii(score):
        point: dict[str, Any] = {"radius": radius}
        for name in GUARANTEED:
            base, suffix = (name.removesuffix("_two_sided"), "_two_sided" if name.endswith("_two_sided") else "")
            point[name] = value_of(run.figure(f"{view.metric(f'guaranteed_{base}')}{suffix}", ood_set, score, radius))
        for name, about in (("certified_uncertain", ood_set), ("certified_cc", None), ("certified_risk", None)):
            share = run.figure(name, about, score, radius)
            if share is not None:
                point[name] = share.value
        points.append(point)
    return points


def selective_figures(run: OodRun, score: str) -> dict[str, Any]:
    figures = {name: value_of(run.figure(name, None, score)) for name in ("aurc", "e_aurc", "augrc")}
    risks = {coverage: value_of(run.figure(f"risk@{coverage:g}", None, score)) for coverage in COVERAGES}
    return {
        **figures,
        **{f"accuracy@{c:g}": None if (risk := risks[c]) is None else 1 - risk for c in SHOWN_COVERAGES},
        "risk_coverage": [{"coverage": coverage, "risk": risk} for coverage, risk in risks.items()],
    }


def _record(view: View, run: OodRun, ood_set: str, score: str) -> dict[str, Any]:
    found = {name: run.figure(view.metric(name), ood_set, score) for name in METRICS}
    settings = run.settings.get(score)
    gain = run.figure("gain_over_clean", ood_set, score)
    difference = next((one for one in run.differences if one.ood_set == ood_set), None)
    return {
        "run_id": run.run.id,
        "name": run.run.name,
        "tags": list(run.run.tags),
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
        **{name: value_of(one) for name, one in found.items()},
        "threshold": value_of(run.figure("threshold", ood_set, score)),
        "intervals": {name: one._asdict() for name, one in found.items() if one},
        "alpha": settings.alpha if settings else None,
        "guarantee": None if settings is None else "simultaneous" if settings.family_size > 1 else "per input",
        "family_size": settings.family_size if settings else None,
        "certified": guaranteed_points(view, run, ood_set, score),
        "gain_over_clean": None if gain is None else gain._asdict(),
        "group_average": _average(view, run, run.group(ood_set), score),
        "selective": selective_figures(run, score),
        "comparison": None if difference is None else {
            "best_clean": difference.clean, "best_smoothed": difference.smoothed,
            "difference": difference.estimate.value, "low": difference.estimate.low, "high": difference.estimate.high,
        },
    }  # fmt: skip


def _average(view: View, run: OodRun, group: str, score: str) -> dict[str, Any]:
    found = {name: run.figure(view.metric(name), AVERAGE + group, score) for name in METRICS}
    return {name: one._asdict() for name, one in found.items() if one}


def _percent_of(name: str) -> Callable[[Record], str]:
    return lambda record: percent_text(record[name])
