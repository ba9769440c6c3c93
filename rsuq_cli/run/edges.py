"""The bins of a run: those of an earlier run of the same configuration, or newly calibrated.

Invariant: bins are fixed before the first sample that is counted in them. They are the record of which measures a run
counts: one that goes on has those that it began with, whatever measures there are by now.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rsuq_cli.certificates.evidence import MeasureEdges
from rsuq_cli.datasets.dataset import Dataset
from rsuq_cli.errors import BadInput
from rsuq_cli.results.rows import RunHandle, StoredEdges
from rsuq_cli.run.cautions import calibration_warnings, is_of_chance, votes_elsewhere
from rsuq_cli.run.request import CertifyRequest
from rsuq_cli.run.unanswered import refuse_silent_calibration
from rsuq_cli.run.watcher import Watcher
from rsuq_cli.sampling.engine import Engine
from rsuq_cli.uncertainty.measures import check_known, lacking
from rsuq_cli.uncertainty.thresholds import SAMPLES, calibrated_edges, draws_for, out_of_reach

# An older run serves a new coverage where one of its thresholds was calibrated to within this of it.
COVERAGE_TOLERANCE = 0.0025


class Calibrated(NamedTuple):
    """The bin edges of a run's measures, and what noisy calibration inputs have shown of the network, by the line."""

    edges: dict[str, MeasureEdges]
    warnings: tuple[str, ...] = ()


def run_edges(
    request: CertifyRequest, dataset: Dataset, engine: Engine, known: Sequence[RunHandle], watcher: Watcher
) -> Calibrated:
    """Returns the bin edges of a known run that has the thresholds asked for, or edges calibrated now.

    Calibrating shows at no cost what should be known before hours of sampling; it is said, and belongs to the run.
    Raises BadInput for a network that is near chance under the noise, unless the request takes one.
    """
    if going_on := serving(known, request):
        check_known(going_on.id, going_on.edges)
        edges = bins_of(going_on.edges)
        return Calibrated(edges, _short(request, edges, watcher))
    for measure in request.measures:
        if known and not any(measure in handle.edges for handle in known):
            watcher.say(f"run {known[0].id} has no counts of {measure}: another run, which has them, is sampled")
    calibration = dataset.load("calibration")
    values: Mapping[str, npt.NDArray[np.float32]] = {}
    warnings: tuple[str, ...] = ()
    if len(calibration):
        inputs = np.arange(len(calibration))[:: max(1, len(calibration) // SAMPLES)]
        draws = draws_for(len(inputs))
        watcher.say(f"calibrating thresholds on {len(inputs):,} held-out inputs × {draws} noisy copies")
        answers = engine.answers(calibration.images[inputs], calibration.indices[inputs], draws=draws)
        values = answers.values
        refuse_silent_calibration(values[request.measures[0]])
        warnings = calibration_warnings(answers, calibration.labels[inputs].numpy(), request.sources, request.sigma)
        useless = next(filter(is_of_chance, warnings), None)
        if useless is not None and not request.at_chance:
            raise BadInput(useless, "nothing is sampled; --anyway goes on")
        warnings += votes_elsewhere(answers.classes, dataset)
        for warning in warnings:
            watcher.say(f"warning: {warning}")
    thresholds = dict.fromkeys(request.measures, (request.threshold,) if request.threshold is not None else ())
    found = calibrated_edges(
        values, measures=request.predictor.measures, thresholds=thresholds, coverages=request.wanted_coverages
    )
    return Calibrated(found, (*warnings, *_short(request, found, watcher)))


def _short(request: CertifyRequest, edges: Mapping[str, MeasureEdges], watcher: Watcher) -> tuple[str, ...]:
    """Returns, and says, which of the coverages asked for no threshold reaches."""
    lines = tuple(out_of_reach(edges, request.measures, request.wanted_coverages))
    for line in lines:
        watcher.say(f"warning: {line}")
    return lines


def bins_of(stored: Mapping[str, StoredEdges]) -> dict[str, MeasureEdges]:
    """Returns a run's stored bins by measure: those that its evidence has."""
    return {measure: MeasureEdges(*edges) for measure, edges in stored.items()}


def check_counted(run_id: int, counted: Collection[str], measures: Sequence[str]) -> None:
    """Raises BadInput where a run's evidence lacks one of the measures."""
    for measure in measures:
        if measure not in counted:
            raise lacking(run_id, measure, counted)


def serving(known: Sequence[RunHandle], request: CertifyRequest) -> RunHandle | None:
    """Returns the first of the runs whose bins have what is asked for, None where none has."""
    return next((handle for handle in known if serves(bins_of(handle.edges), request)), None)


def serves(edges: Mapping[str, MeasureEdges], request: CertifyRequest) -> bool:
    """Returns whether counts of every measure at the thresholds, or coverages, that are asked for are known."""
    return all(measure in edges and _has(edges[measure], request) for measure in request.measures)


def _has(edges: MeasureEdges, request: CertifyRequest) -> bool:
    if request.threshold is not None:
        return edges.has(request.threshold)
    reached = [edges.coverages[edges.position(edges.threshold_for(c))] - c for c in request.wanted_coverages]
    return all(abs(excess) < COVERAGE_TOLERANCE for excess in reached)
