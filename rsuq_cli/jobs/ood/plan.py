"""What an out-of-distribution run would do, cost and go on with, without doing it.

Invariant: nothing is written and no sample counted. What `ood` would refuse before sampling is refused here, in the
same words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rsuq_cli.certificates.evidence import MeasureEdges
from rsuq_cli.jobs.certify import warm_rate
from rsuq_cli.jobs.ood.request import OodRequest
from rsuq_cli.jobs.ood.run import Prepared, prepared
from rsuq_cli.results.database import open_for_lookup
from rsuq_cli.results.rows import RunHandle
from rsuq_cli.results.writer import find_runs
from rsuq_cli.run.edges import serves
from rsuq_cli.run.network.recognition import recognised
from rsuq_cli.run.record import configuration_hash
from rsuq_cli.run.watcher import Watcher


@dataclass(frozen=True)
class OodPlan:
    """A run as it would be: `inputs` of every set, how many of them are `finished` in the run that would go on (None:
    a new one), and what the rest costs by a short warm-up. `reused` is the run whose evidence is taken over."""

    model: str
    checkpoint_id: int | None
    weights: str
    dataset: str
    sigma: float
    n0: int
    n: int
    seed: int
    alpha: float
    measures: tuple[str, ...]
    threshold: float | None
    coverages: tuple[float, ...]
    device: str
    precision: str
    reused: int | None
    run_id: int | None
    inputs: Mapping[str, int]
    finished: Mapping[str, int]
    samples: int
    samples_per_second: float
    seconds: float
    warnings: tuple[str, ...]


def ood_plan(request: OodRequest, database: str | Path | None, watcher: Watcher) -> OodPlan:
    """Returns what `ood_run` would do with this request; raises what it would raise before its first sample."""
    ready, certify = prepared(request, database, watcher), request.certify
    going_on = None if certify.fresh else _going_on(request, ready, database, watcher)
    own = ready.sides[0]
    done = set(going_on.finished) if going_on else set()
    done |= set(range(len(own))) if ready.reused else set()
    finished = {side.name: len(done & set(range(side.start, side.start + len(side)))) for side in ready.sides}
    todo = sum(map(len, ready.sides)) - sum(finished.values())
    samples = todo * (certify.n0 + certify.n)
    rate = warm_rate(ready.engine, own.split, certify.n0 + certify.n) * max(1, certify.sources.workers)
    opened = ready.opened
    return OodPlan(
        model=opened.model.spec,
        checkpoint_id=opened.checkpoint.id if opened.checkpoint else None,
        weights=opened.model.source,
        dataset=opened.dataset_name,
        sigma=certify.sigma,
        n0=certify.n0,
        n=certify.n,
        seed=certify.seed,
        alpha=certify.alpha,
        measures=certify.measures,
        threshold=certify.threshold,
        coverages=certify.wanted_coverages,
        device=str(ready.engine.device),
        precision=ready.engine.precision,
        reused=ready.reused.run.id if ready.reused else None,
        run_id=going_on.id if going_on else None,
        inputs={side.name: len(side) for side in ready.sides},
        finished=finished,
        samples=samples,
        samples_per_second=rate,
        seconds=samples / rate,
        warnings=(*opened.warnings, *ready.warnings),
    )


def _going_on(
    request: OodRequest, ready: Prepared, database: str | Path | None, watcher: Watcher
) -> RunHandle | None:  # fmt: skip
    """Returns the run that would go on: one whose bins have the thresholds asked for."""
    with open_for_lookup(database) as db:
        if db is None:
            return None
        known = find_runs(db, configuration_hash(recognised(db, ready.configuration, watcher)))
    for run in known:
        edges = {measure: MeasureEdges(*stored) for measure, stored in run.edges.items()}
        if all(serves(edges[measure], request.certify) for measure in request.certify.measures):
            return run
    return None
