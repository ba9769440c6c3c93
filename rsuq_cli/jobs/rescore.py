"""Rescore: new readings of evidence that is stored already, without the model and without sampling.

Invariant: a reading of stored evidence is the one that certifying with these settings would have stored. A run's
evidence is never changed; scorings that it has already stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rsuq_cli.certificates.evidence import MeasureEdges, UnknownThreshold
from rsuq_cli.certificates.method import Method
from rsuq_cli.errors import BadInput, RunIncomplete
from rsuq_cli.readings.pages import Plan
from rsuq_cli.readings.request import RescoreRequest
from rsuq_cli.readings.scoring import Scored, score_stored
from rsuq_cli.readings.sweep import SweepPoint, best_measures, best_thresholds, sweep
from rsuq_cli.results.database import Database
from rsuq_cli.results.rows import NewScoring, RunRow
from rsuq_cli.results.runs import run_row
from rsuq_cli.results.writer import add_scoring, load_edges
from rsuq_cli.uncertainty.measures import MEASURES, lacking
from rsuq_cli.uncertainty.thresholds import Threshold, chosen_thresholds, out_of_reach


@dataclass(frozen=True)
class _Source:
    """A run with evidence, its bin edges, and the thresholds asked of it, by measure."""

    run: RunRow
    edges: dict[str, MeasureEdges]
    thresholds: dict[str, list[Threshold]]


def store_scorings(db: Database, run_ids: Sequence[int], request: RescoreRequest) -> list[int]:
    """Returns the ids of the scorings asked for, made and stored now where the database lacks them.

    Raises:
        BadInput: a run is unknown or has no evidence, no such measure or threshold, or too few samples for alpha.
    """
    asked = [(source, _methods(source, request)) for source in _sources(db, run_ids, request)]
    scoring_ids = []
    for source, methods in asked:
        for method in methods:
            for threshold in (one for several in source.thresholds.values() for one in several):
                new = NewScoring(
                    source.run.id, threshold.measure, threshold.value, threshold.coverage, method.rule,
                    method.competitors, method.alpha, method.family_size, method.bounds_version,
                )  # fmt: skip
                scored = Scored(add_scoring(db, new), threshold.measure, threshold.value, method)
                score_stored(db, source.run.id, scored, source.edges)
                scoring_ids.append(scored.scoring_id)
    return scoring_ids


def sweep_points(
    db: Database, run_ids: Sequence[int], request: RescoreRequest, radii: Sequence[float]
) -> list[SweepPoint]:
    """Returns figures at every threshold asked for, or at the best of them; nothing is stored.

    Raises BadInput as `store_scorings` does, and where there is nothing to choose from.
    """
    asked = [(source, _plans(source, request)) for source in _sources(db, run_ids, request)]
    points = []
    for source, plans in asked:
        if request.best:
            weigh = best_thresholds if request.measures else best_measures
            points += weigh(db, source.run, plans, request.best, radii)
        else:
            points += sweep(db, source.run, plans, radii)
    return points


def check_complete(db: Database, run_ids: Sequence[int]) -> None:
    """Raises RunIncomplete where a run was scored only as far as it goes."""
    runs = [run_row(db, run_id) for run_id in run_ids]
    short = [f"run {run.id} has {run.finished} of {run.inputs} inputs" for run in runs if run.finished < run.inputs]
    if short:
        raise RunIncomplete(
            f"scored as far as it goes: {', '.join(short)}",
            "the same rsuq certify command goes on; then rescore again",
        )


def _sources(db: Database, run_ids: Sequence[int], request: RescoreRequest) -> list[_Source]:
    return [_source(db, run_row(db, run_id), request) for run_id in dict.fromkeys(run_ids)]


def _source(db: Database, run: RunRow, request: RescoreRequest) -> _Source:
    if run.kind == "ood":
        raise BadInput(
            f"run {run.id} has inputs from elsewhere, which no answer is right for: it cannot be rescored",
            "rescore a run of rsuq certify; rsuq ood takes --uncertainty and --coverage itself",
        )
    edges = {measure: MeasureEdges(*stored) for measure, stored in load_edges(db, run.id).items()}
    if run.kind == "import" or not edges or not run.finished:
        why = "it was imported" if run.kind == "import" else "nothing of it is finished"
        raise BadInput(f"run {run.id} has no evidence to rescore: {why}", "rsuq certify makes evidence")
    for measure in request.measures:
        if measure not in edges:
            raise lacking(run.id, measure, edges)
    measures = request.measures or [measure for measure in MEASURES if measure in edges]
    return _Source(run, edges, {measure: _thresholds(run, edges, measure, request) for measure in measures})


def _thresholds(run: RunRow, edges: dict[str, MeasureEdges], measure: str, request: RescoreRequest) -> list[Threshold]:
    bins = edges[measure]
    for value in request.thresholds:
        try:
            bins.position(value)
        except UnknownThreshold as error:
            raise BadInput(
                f"threshold {value:g} of {measure} is no bin edge of run {run.id}, so its counts are not known",
                f"the nearest are {' and '.join(repr(edge) for edge in error.nearest)}",
            ) from error
    named = [Threshold(measure, value, None) for value in request.thresholds]
    if request.wanted_coverages:
        if lines := out_of_reach(edges, [measure], request.wanted_coverages):
            raise BadInput(lines[0], "give a smaller --coverage, or --threshold")
        named += chosen_thresholds(edges, [measure], threshold=None, coverages=request.wanted_coverages)
    return list({one.value: one for one in named}.values())


def _methods(source: _Source, request: RescoreRequest) -> list[Method]:
    """Returns one method for each rule, alpha split over all that is printed where the family is asked for."""
    certificates = len(request.rules) * sum(
        len(one) or len(source.edges[name].edges) for name, one in source.thresholds.items()
    )
    if request.best:
        certificates = len(request.rules) * max(1, len(request.measures))
    methods = [request.method(rule, source.run.sigma, certificates) for rule in request.rules]
    found = [method.of_run(source.run.configuration) for method in methods]
    for method in found:
        if method.ceiling(source.run.n) == 0.0:
            raise BadInput(
                f"{source.run.n:,} samples at alpha {method.error_budget:g} cannot certify anything",
                f"give a larger --alpha, or certify with more samples than run {source.run.id}",
            )
    return found


def _plans(source: _Source, request: RescoreRequest) -> list[Plan]:
    plans = []
    methods = _methods(source, request)
    for measure, thresholds in source.thresholds.items():
        edges = source.edges[measure]
        positions = np.array(sorted({edges.position(one.value) for one in thresholds}), dtype=np.int64)
        if not thresholds:
            positions = np.arange(len(edges.edges))
        plans += [Plan(measure, edges, positions, method) for method in methods]
    return plans
