"""The bins of a run: those of an earlier run of the same configuration, or newly calibrated.

Invariant: bins are fixed before the first sample that is counted in them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rsuq_cli.certificates.evidence import MeasureEdges
from rsuq_cli.datasets.dataset import Dataset
from rsuq_cli.results.rows import RunHandle
from rsuq_cli.run.cautions import calibration_warnings
from rsuq_cli.run.request import CertifyRequest
from rsuq_cli.run.unanswered import refuse_silent_calibration
from rsuq_cli.run.watcher import Watcher
from rsuq_cli.sampling.engine import Engine
from rsuq_cli.uncertainty.thresholds import SAMPLES, calibrated_edges, draws_for, out_of_reach

# An older run serves a new coverage where one of its thresholds was calibrated to within this of it.
COVERAGE_TOLERANCE = 0.0025


class Calibrated(NamedTuple):
    """The bin edges of every measure, and what the noisy calibration inputs have shown of the network, by the line."""

    edges: dict[str, MeasureEdges]
    warnings: tuple[str, ...] = ()


def run_edges(
    request: CertifyRequest, dataset: Dataset, engine: Engine, known: Sequence[RunHandle], watcher: Watcher
) -> Calibrated:
    """Returns the bin edges of a known run that has the thresholds asked for, or edges calibrated now.

    Calibrating shows at no cost what should be known before hours of sampling; it is said, and belongs to the run.
    """
    for handle in known:
        edges = {measure: MeasureEdges(*stored) for measure, stored in handle.edges.items()}
        if all(serves(edges[measure], request) for measure in request.measures):
            return Calibrated(edges, _short(request, edges, watcher))
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
        for warning in warnings:
            watcher.say(f"warning: {warning}")
    thresholds = dict.fromkeys(request.measures, (request.threshold,) if request.threshold is not None else ())
    found = calibrated_edges(values, thresholds=thresholds, coverages=request.wanted_coverages)
    return Calibrated(found, (*warnings, *_short(request, found, watcher)))


def _short(request: CertifyRequest, edges: Mapping[str, MeasureEdges], watcher: Watcher) -> tuple[str, ...]:
    """Returns, and says, which of the coverages asked for no threshold reaches."""
    lines = tuple(out_of_reach(edges, request.measures, request.wanted_coverages))
    for line in lines:
        watcher.say(f"warning: {line}")
    return lines


def serves(edges: MeasureEdges, request: CertifyRequest) -> bool:
    """Returns whether counts at the threshold, or at thresholds for the coverages, that are asked for are known."""
    if request.threshold is not None:
        return edges.has(request.threshold)
    reached = [edges.coverages[edges.position(edges.threshold_for(c))] - c for c in request.wanted_coverages]
    return all(abs(excess) < COVERAGE_TOLERANCE for excess in reached)
