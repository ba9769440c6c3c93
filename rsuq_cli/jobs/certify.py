"""Certify: sample every input of a subset once, keep the evidence, and make certificates of it.

Invariant: evidence and the certificates made from it are committed together, for every input as soon as the batch that
finished it is done; the same request goes on where an earlier one stopped, with the same noise and the same bins.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rsuq_cli.certificates.method import Method
from rsuq_cli.datasets.dataset import Dataset
from rsuq_cli.datasets.subset import Subset, subset
from rsuq_cli.errors import BadInput
from rsuq_cli.readings.pages import LabelledEvidence
from rsuq_cli.readings.scoring import Decider, Scored, sample_rows, score_stored
from rsuq_cli.readings.standing import standing_of
from rsuq_cli.results.database import Database, open_for_writing
from rsuq_cli.results.reached import reached_coverage
from rsuq_cli.results.rows import EvidenceRow, NewScoring
from rsuq_cli.results.writer import add_scoring, store_inputs
from rsuq_cli.run.data import SPREAD
from rsuq_cli.run.ready import Inputs, Part, Ready, open_request
from rsuq_cli.run.record import configuration_of
from rsuq_cli.run.request import CertifyRequest
from rsuq_cli.run.sources import Opened
from rsuq_cli.run.under_way import UnderWay, begin
from rsuq_cli.run.watcher import Watcher
from rsuq_cli.sampling.finished import Finished
from rsuq_cli.sampling.grid_noise import sampling_error
from rsuq_cli.uncertainty.thresholds import Threshold


@dataclass(frozen=True)
class CertifyOutcome:
    """The run, the scorings asked for, and how many of its inputs this call had to sample."""

    run_id: int
    scoring_ids: tuple[int, ...]
    sampled: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Certified(Inputs):
    """The inputs to certify, and whether they are spread evenly over the split."""

    evenly: bool

    @property
    def part(self) -> Part:
        """All of them."""
        return self.parts[0]


class Prepared(NamedTuple):
    """All that a run needs before it is recorded: model and data, the inputs, how they are sampled, what is hashed."""

    ready: Ready[Certified]
    configuration: dict[str, Any]


def prepared(request: CertifyRequest, database: str | Path | None, watcher: Watcher) -> Prepared:
    """Returns what `request` would be certified with; nothing is written. Raises BadInput for what cannot be."""

    def chosen(opened: Opened) -> Certified:
        taken = _subset(opened.dataset, request, watcher)
        split = opened.dataset.load(request.split, taken.indices)  # type: ignore[arg-type]
        opened.check_calibration(request.wanted_coverages)
        seen = "" if request.split == "train" else opened.seen(split)
        part = Part(opened.dataset.name, split, split.indices, split.indices)
        return Certified(parts=(part,), warnings=(seen,) if seen else (), evenly=taken.evenly)

    ready = open_request(request, database, watcher, chosen)
    return Prepared(ready, _configuration(request, ready))


def certify_run(request: CertifyRequest, database: str | Path | None, watcher: Watcher) -> CertifyOutcome:
    """Runs `request` to its end and returns the run; what was finished before is not sampled again.

    Raises BadInput for what cannot be certified, DatabaseError where the results cannot be kept, RunIncomplete where
    the device gives up. On any of them, and on KeyboardInterrupt, finished inputs are safe and the run can be resumed.
    """
    ready, configuration = prepared(request, database, watcher)
    with open_for_writing(database) as db:
        run = begin(db, request, ready, configuration, watcher)
        scored = _scorings(db, run.handle.id, request.method.of_run(run.configuration), run.thresholds)
        (mine,) = ready.inputs.of_shard(request.shard)
        todo = mine.without(run.handle.finished)
        with run.recorded(len(todo)):
            for one in scored:
                # Certificates that are asked for now, of evidence that was stored before.
                score_stored(db, run.handle.id, one, run.edges)
            _announce(run, len(mine), todo, scored)
            if len(todo):
                _sample(run, todo, scored)
            run.tell_shard()
        _tell_reached(run, scored)
        return CertifyOutcome(run.handle.id, tuple(one.scoring_id for one in scored), len(todo))


def _announce(run: UnderWay, inputs: int, todo: Part, scored: Sequence[Scored]) -> None:
    """Says what is sampled of the inputs of this command, which are all of the run or those of its shard."""
    if not len(todo):
        whose = "" if run.request.shard.is_whole else f" of shard {run.request.shard}"
        run.watcher.say(f"run {run.handle.id}: all {inputs} inputs{whose} are sampled already; nothing to do")
        return
    resumed = f" ({inputs - len(todo)} were finished before)" if len(todo) < inputs else ""
    run.watcher.say(f"run {run.handle.id}: {len(todo):,} inputs{resumed} {run.cost(len(todo), scored[0].method)}")


def _sample(run: UnderWay, todo: Part, scored: Sequence[Scored]) -> None:
    standing = standing_of(run.db, scored[0])
    measures = {one.measure for one in scored}

    def keep(_: Part, rows: Sequence[EvidenceRow], finished: Sequence[Finished]) -> None:
        inputs = [
            LabelledEvidence(row.input_index, row.label, one.read(measures))
            for row, one in zip(rows, finished, strict=True)
        ]  # fmt: skip
        certificates = sample_rows(inputs, scored, run.edges)
        store_inputs(run.db, run.handle.id, rows, certificates)
        standing.add(certificates)

    stopping = run.request.stopping
    decider = None if stopping is None else Decider(stopping, tuple(scored), run.edges)
    run.sample([todo], keep, lambda: str(standing), decider)


def _tell_reached(run: UnderWay, scored: Sequence[Scored]) -> None:
    """Says which coverage the calibrated thresholds reach on the certified inputs, and how well that is known."""
    wanted = {(one.measure, one.value): one.coverage for one in run.thresholds if one.coverage is not None}
    for one in scored:
        coverage, reached = wanted.get((one.measure, one.threshold)), reached_coverage(run.db, one.scoring_id)
        if coverage is None or reached is None:
            continue
        error = "" if reached.error is None else f" ± {reached.error:.3f}"
        run.watcher.say(
            f"{one.measure}: the threshold for a coverage of {coverage:g} answers {reached.coverage:.3f}{error} of the "
            f"samples of these {reached.inputs:,} inputs"
        )


def _subset(dataset: Dataset, request: CertifyRequest, watcher: Watcher) -> Subset:
    chosen = subset(dataset, request.split, request.skip, request.limit)  # type: ignore[arg-type]
    if not len(chosen.indices):
        raise BadInput(f"{request.sources.dataset} has no {request.split} inputs", "choose another --split or data set")
    if chosen.evenly:
        watcher.say(
            f"the {request.split} inputs of {dataset.name} lie class by class: --limit {request.limit} takes some "
            "spread evenly over them"
        )
    return chosen


def _sampling_error(request: CertifyRequest, shape: tuple[int, int, int]) -> dict[str, float]:
    """Returns what grid noise takes off the alpha of a guarantee, recorded with the run; nothing for other noise."""
    if request.noise != "grid":
        return {}
    error = sampling_error(request.sigma, math.prod(shape), request.n0 + request.n)
    if error >= request.error_budget:
        raise BadInput(
            f"{request.n0 + request.n:,} samples of grid noise are known to within {error:g}, "
            f"more than alpha {request.error_budget:g}",
            "give fewer samples or a larger alpha",
        )
    return {"sampling_error": error}


def _stopping(request: CertifyRequest) -> dict[str, Any]:
    """Returns what the number of samples of an input depends on; nothing where all n are taken."""
    if request.stopping is None:
        return {}
    method = request.method
    reading = {
        "measures": list(request.measures), "threshold": request.threshold, "coverages": list(request.wanted_coverages),
        "rule": method.rule, "competitors": method.competitors, "alpha": method.alpha,
        "family_size": method.family_size, "bounds_version": method.bounds_version,
    }  # fmt: skip
    return {"stopping": request.stopping.configuration() | reading}


def _scorings(db: Database, run_id: int, method: Method, thresholds: Sequence[Threshold]) -> list[Scored]:
    scored = []
    for one in thresholds:
        new = NewScoring(
            run_id, one.measure, one.value, one.coverage, method.rule, method.competitors, method.alpha,
            method.family_size, method.bounds_version,
        )  # fmt: skip
        scored.append(Scored(add_scoring(db, new), one.measure, one.value, method))
    return list({one.scoring_id: one for one in scored}.values())


def _configuration(request: CertifyRequest, ready: Ready[Certified]) -> dict[str, Any]:
    """Returns everything that the evidence depends on."""
    opened, inputs = ready.opened, ready.inputs
    return configuration_of(
        "certify",
        request,
        opened,
        ready.engine,
        skip=request.skip,
        limit=request.limit,
        subset_sha256=inputs.part.split.sha256(),
        # Where it is not there the first ones were taken, as by every older release.
        **({SPREAD: True} if inputs.evenly else {}),
        **_sampling_error(request, opened.dataset.shape),
        **_stopping(request),
    )
