"""Figures over thresholds: every bin edge for machines, those at usual coverages for people; and the best threshold.

Invariant: the records have the names of `rsuq report`'s, so that a script reads both alike. What was chosen says on
which inputs, and that its figures are of others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from rsuq_cli.certificates.definitions import shown
from rsuq_cli.console import Column, Table, percent_text
from rsuq_cli.formats import Record
from rsuq_cli.readings.sweep import SweepPoint
from rsuq_cli.reports.comparison import LEGEND, THRESHOLD
from rsuq_cli.reports.figures import acr_text, figure_column

# The coverages at which people see a sweep: where measures and models are compared.
USUAL_COVERAGES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.5)
_ANSWERED = f"{THRESHOLD} · answered: share of noisy samples that are certain"


def point_record(point: SweepPoint) -> dict[str, Any]:
    """Returns the figures at one threshold by their names, unrounded."""
    run, method = point.run, point.method
    record: dict[str, Any] = {
        "run_id": run.id, "kind": run.kind, "status": run.status, "model": run.model, "dataset": run.dataset,
        "split": run.split, "skip": run.skip, "sigma": run.sigma, "n0": run.n0, "n": run.n, "seed": run.seed,
        "device": run.device, "precision": run.precision, "measure": point.measure, "threshold": point.threshold,
        "threshold_coverage": point.threshold_coverage, "rule": method.rule, "competitors": method.competitors,
        "alpha": method.alpha, "family_size": method.family_size, "planned": run.inputs, "inputs": point.inputs,
        **point.values,
    }  # fmt: skip
    record |= {name: [one._asdict() for one in curve] for name, curve in point.curves.items()}
    record["intervals"] = {name: share._asdict() for name, share in point.shares.items()}
    return record | (asdict(point.choice) if point.choice else {})


def sweep_table(points: Sequence[SweepPoint]) -> Table:
    """Returns the figures at every threshold; people see, of each reading, those nearest to the usual coverages."""
    records = [point_record(point) for point in points]
    readings: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        readings.setdefault((record["run_id"], record["measure"], record["rule"]), []).append(record)
    shown = [record for reading in readings.values() for record in _usual(reading)]
    title, columns = _named("thresholds", shown)
    note = f"{len(shown)} of {len(records):,} thresholds, those nearest to usual coverages: --format csv has all"
    notes = (note, _ANSWERED, *LEGEND, *_incomplete(points))
    return Table(title, records, columns, notes, shown=shown)


def best_table(points: Sequence[SweepPoint]) -> Table:
    """Returns the figures at the chosen thresholds, and says on which inputs they were chosen."""
    records = [point_record(point) for point in points]
    choice = points[0].choice if points else None
    tried = "candidates: thresholds that were tried · on the half that chose: the same figure there"
    notes: tuple[str, ...] = (tried, _ANSWERED, *LEGEND, *_incomplete(points))
    if choice:
        what = {"gain": "the gain", "acr_ncl": "ACR NCL", "acr_cc": "ACR CC"}[choice.best]
        how = f"chosen to make {what} largest on one half of the inputs, answering at least {choice.at_coverage:g}"
        if choice.measures > 1:
            how += f", the best of {choice.measures} measures; --uncertainty names one"
        notes = (f"{how}; the figures are of the other half, which had no part in the choice",
                 "the halves depend on the inputs' numbers alone; nothing is stored: --threshold stores a scoring",
                 *notes)  # fmt: skip
    extra = [Column("candidates", lambda r: f"{r['candidates']:,}"), Column("on the half\nthat chose", _value_there)]
    title, columns = _named("best thresholds, figures of the other half", records)
    return Table(title, records, [*columns, *extra], notes)


def _named(title: str, records: Sequence[Record]) -> tuple[str, list[Column]]:
    """Returns the title with the settings that all records share, and the columns: the other settings and figures."""
    settings: dict[str, tuple[Column, Callable[[Record], str]]] = {
        "run": (Column("run", lambda r: str(r["run_id"])), lambda r: f"run {r['run_id']}"),
        "measure": (Column("uncertainty", lambda r: r["measure"], "left"), lambda r: r["measure"]),
        "rule": (Column("rule", lambda r: r["rule"], "left"), lambda r: f"{r['rule']} rule"),
        "inputs": (Column("inputs", lambda r: f"{r['inputs']:,}"), lambda r: f"{r['inputs']:,} inputs"),
    }
    shared = [name for name, (column, _) in settings.items() if len({column.cell(record) for record in records}) == 1]
    named = [title, *(settings[name][1](records[0]) for name in shared)]
    own = [column for name, (column, _) in settings.items() if name not in shared]
    explicit = any(record["acr_explicit"] is not None for record in records)
    return " · ".join(named), [
        *own,
        Column("θ", lambda r: f"{r['threshold']:.4g}"),
        *map(figure_column, (one for one in shown("rescore") if one.said != "class-wise" or explicit)),
    ]


def _usual(reading: Sequence[Record]) -> list[Record]:
    nearest = {
        min(range(len(reading)), key=lambda i: (abs(reading[i]["sample_coverage"] - coverage), i))
        for coverage in USUAL_COVERAGES
    }
    return [reading[i] for i in sorted(nearest, reverse=True)]


def _value_there(record: Record) -> str:
    value = record["value_there"]
    return percent_text(value, 2) + " %" if record["best"] == "gain" else acr_text(value)


def _incomplete(points: Sequence[SweepPoint]) -> list[str]:
    runs = sorted({point.run.id for point in points if point.run.finished < point.run.inputs})
    return [f"not complete: run {', '.join(map(str, runs))}; the same rsuq certify command goes on"] if runs else []
