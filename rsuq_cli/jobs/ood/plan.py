"""What an out-of-distribution run would do, cost and go on with, without doing it.

Invariant: nothing is written and no sample counted. What `ood` would refuse before sampling is refused here, in the
same words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rsuq_cli.jobs.ood.request import OodRequest
from rsuq_cli.jobs.ood.run import prepared
from rsuq_cli.run.under_way import going_on
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
    ready, _, configuration = prepared(request, database, watcher)
    certify, sides, reused = request.certify, ready.inputs.sides, ready.inputs.reused
    run = going_on(certify, configuration, database, watcher)
    done = set(run.finished) if run else set()
    done |= set(range(len(sides[0]))) if reused else set()
    finished = {side.name: len(done & set(range(side.start, side.start + len(side)))) for side in sides}
    todo = len(ready.inputs) - sum(finished.values())
    samples = todo * (certify.n0 + certify.n)
    rate = ready.rate(certify.n0 + certify.n)
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
        reused=reused.run.id if reused else None,
        run_id=run.id if run else None,
        inputs={side.name: len(side) for side in sides},
        finished=finished,
        samples=samples,
        samples_per_second=rate,
        seconds=samples / rate,
        warnings=ready.warnings,
    )
