"""What a certify run would do, cost and go on with, without doing it.

Invariant: nothing is written, no database made or upgraded, and no sample counted: the warm-up that the estimates come
from has noise of its own. What `certify` would refuse before sampling is refused here, in the same words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rsuq_cli.certificates.evidence import Histogram, Sums, encode
from rsuq_cli.datasets.dataset import Split
from rsuq_cli.jobs.certify import Certified, prepared
from rsuq_cli.results.rows import RunHandle
from rsuq_cli.run.data import SPREAD
from rsuq_cli.run.edges import bins_of
from rsuq_cli.run.ready import Ready
from rsuq_cli.run.request import CertifyRequest
from rsuq_cli.run.under_way import going_on
from rsuq_cli.run.watcher import Watcher
from rsuq_cli.sampling.engine import Engine
from rsuq_cli.uncertainty.measures import check_known
from rsuq_cli.uncertainty.thresholds import SAMPLES, calibrated_edges, chosen_thresholds, draws_for

# Inputs that the size of the evidence is measured on.
_MEASURED = 3
# Of a certificate's row in the database with what points at it, measured on a large run.
_CERTIFICATE_BYTES = 130


@dataclass(frozen=True)
class CertifyPlan:
    """A run as it would be: what is certified and how, what there is of it, and what the rest costs.

    `thresholds` are θ by measure where a run has them already, else they would be calibrated to `coverages` with
    `calibration_samples` noisy copies of held-out inputs. `run_id` is the run that would go on, None for a new one, and
    `finished` of its inputs are done. `samples` are still to be drawn (at most, with a stopping rule), which takes
    about `seconds` at the `samples_per_second` of a short warm-up, and adds about `bytes` to the database. `ceiling` is
    the largest radius that n allows, `sigma` and it in pixel units.
    """

    model: str
    checkpoint_id: int | None
    weights: str
    dataset: str
    split: str
    skip: int
    limit: int | None
    spread: bool
    inputs: int
    subset_sha256: str
    sigma: float
    noise: str
    n0: int
    n: int
    seed: int
    stopping: Mapping[str, Any] | None
    measures: tuple[str, ...]
    threshold: float | None
    coverages: tuple[float, ...]
    thresholds: Mapping[str, list[float]]
    calibration_samples: int
    rule: str
    competitors: str
    alpha: float
    family_size: int
    ceiling: float
    device: str
    precision: str
    batch_size: int
    workers: int
    compiled: bool
    run_id: int | None
    finished: int
    samples: int
    samples_per_second: float
    seconds: float
    bytes: int
    warnings: tuple[str, ...] = field(default=())


def certify_plan(request: CertifyRequest, database: str | Path | None, watcher: Watcher) -> CertifyPlan:
    """Returns what `certify_run` would do with this request; raises what it would raise before its first sample."""
    ready, configuration = prepared(request, database, watcher)
    run = going_on(request, configuration, database, watcher)
    thresholds: dict[str, list[float]] = {}
    if run:
        check_known(run.id, run.edges)
        edges = bins_of(run.edges)
        for one in chosen_thresholds(
            edges, request.measures, threshold=request.threshold, coverages=request.wanted_coverages
        ):
            thresholds.setdefault(one.measure, []).append(one.value)
    elif request.threshold is not None:
        thresholds = {measure: [request.threshold] for measure in request.measures}
    return _plan(request, ready, configuration, run, thresholds)


def _plan(
    request: CertifyRequest, ready: Ready[Certified], configuration: Mapping[str, Any], run: RunHandle | None,
    thresholds: Mapping[str, list[float]],
) -> CertifyPlan:  # fmt: skip
    opened, split, engine = ready.opened, ready.inputs.part.split, ready.engine
    finished = len(run.finished) if run else 0
    (mine,) = ready.inputs.of_shard(request.shard)
    todo = len(mine.without(run.finished if run else ()))
    samples = todo * (request.n0 + request.n)
    calibration = 0 if run else _calibration_samples(len(opened.dataset.calibration_indices))
    rate = ready.rate(request.n0 + request.n)
    method = request.method.of_run(configuration)
    size = todo * added_bytes(request, engine, split) if todo else 0
    return CertifyPlan(
        model=opened.model.spec,
        checkpoint_id=opened.checkpoint.id if opened.checkpoint else None,
        weights=opened.model.source,
        dataset=opened.dataset_name,
        split=request.split,
        skip=request.skip,
        limit=request.limit,
        spread=bool(configuration.get(SPREAD)),
        inputs=len(split),
        subset_sha256=split.sha256(),
        sigma=request.sigma,
        noise=request.noise,
        n0=request.n0,
        n=request.n,
        seed=request.seed,
        stopping=configuration.get("stopping"),
        measures=request.measures,
        threshold=request.threshold,
        coverages=request.wanted_coverages,
        thresholds=thresholds,
        calibration_samples=calibration,
        rule=method.rule,
        competitors=method.competitors,
        alpha=method.alpha,
        family_size=method.family_size,
        ceiling=method.ceiling(request.n),
        device=str(engine.device),
        precision=engine.precision,
        batch_size=engine.batch_size,
        workers=request.machine.workers,
        compiled=engine.preparation.compiled,
        run_id=run.id if run else None,
        finished=finished,
        samples=samples,
        samples_per_second=rate,
        seconds=(samples + calibration) / rate,
        bytes=round(size),
        warnings=ready.warnings,
    )


def _calibration_samples(inputs: int) -> int:
    taken = len(range(0, inputs, max(1, inputs // SAMPLES)))
    return taken * draws_for(taken)


def added_bytes(request: CertifyRequest, engine: Engine, split: Split) -> float:
    """Returns what an input adds to the database, from a batch of warm-up noise on each of a few inputs."""
    chosen = np.unique(np.linspace(0, len(split) - 1, _MEASURED).round().astype(np.int64))
    draws = min(request.n0 + request.n, engine.batch_size)
    answers = engine.answers(split.images[chosen], split.indices[chosen], draws=draws)
    edges = calibrated_edges(
        answers.values, measures=engine.predictor.measures, thresholds={}, coverages=request.wanted_coverages
    )  # about as many bins as the run's own
    sizes = []
    for at in range(len(chosen)):
        own = slice(at * draws, (at + 1) * draws)
        classes = np.maximum(answers.classes[own], 0)
        histograms = {
            name: _histogram(classes, np.searchsorted(e.edges, answers.values[name][own]), len(e.edges) + 1,
                             engine.num_classes, request.n0, request.n)
            for name, e in edges.items()
        }  # fmt: skip
        sizes.append(len(encode(histograms, _sums(engine.num_classes, engine.predictor.measures))))
    scorings = len(request.measures) * max(1, len(request.wanted_coverages))
    return float(np.mean(sizes)) + scorings * _CERTIFICATE_BYTES


def _sums(num_classes: int, measures: Sequence[str]) -> Sums:
    """Returns sums that take as much room as real ones."""
    random = np.random.default_rng(0).integers(10**11, 10**12, size=(2, num_classes + len(measures)))
    return Sums(
        {name: (int(random[0, at]), int(random[1, at])) for at, name in enumerate(measures)}, random[:, len(measures) :]
    )


def _histogram(classes: Any, bins: Any, width: int, num_classes: int, n0: int, n: int) -> Histogram:
    """Returns counts of so many samples that are spread over classes and bins as a few are."""
    cells = np.bincount(classes * width + bins, minlength=num_classes * width).reshape(num_classes, width)
    share = cells / max(1, len(classes))
    return Histogram(np.ceil(share * n0).astype(np.int64), np.ceil(share * n).astype(np.int64))
