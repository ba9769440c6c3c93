"""Certify: sample every input of a subset once, keep the evidence, and make certificates of it.

Invariant: evidence and the certificates made from it are committed together, for every input as soon as the batch that
finished it is done; the same request goes on where an earlier one stopped, with the same noise and the same bins.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from rsuq_cli.certificates.certificate import Method
from rsuq_cli.certificates.evidence import MeasureEdges, encode
from rsuq_cli.datasets.dataset import Dataset, Split
from rsuq_cli.datasets.subset import Subset, subset
from rsuq_cli.errors import BadInput
from rsuq_cli.readings.scoring import Decider, LabelledEvidence, Scored, sample_rows, score_stored
from rsuq_cli.readings.standing import Standing, standing_of
from rsuq_cli.results.database import Database, open_for_writing
from rsuq_cli.results.rows import EvidenceRow, NewScoring, RunHandle, Status
from rsuq_cli.results.writer import (
    add_scoring,
    add_warnings,
    find_runs,
    finish_run,
    start_run,
    store_inputs,
)
from rsuq_cli.run.data import SPREAD
from rsuq_cli.run.durations import duration_text
from rsuq_cli.run.edges import run_edges
from rsuq_cli.run.labels import give_labels
from rsuq_cli.run.network.recognition import other_classes, recognised
from rsuq_cli.run.record import configuration_hash, configuration_of, new_run
from rsuq_cli.run.request import CertifyRequest
from rsuq_cli.run.sampler import Sampling, check_eight_bit, open_engine, open_sampler, worth_compiling
from rsuq_cli.run.sources import Opened, open_sources
from rsuq_cli.run.unanswered import check_answers, unanswered_warnings, withdraw
from rsuq_cli.run.watcher import Watcher
from rsuq_cli.sampling.device import check_precision, resolve_devices
from rsuq_cli.sampling.engine import Counted, Engine, Indices
from rsuq_cli.sampling.grid_noise import sampling_error
from rsuq_cli.sampling.watch import Refuted
from rsuq_cli.sampling.workers import Sampler
from rsuq_cli.uncertainty.thresholds import Threshold, chosen_thresholds


@dataclass(frozen=True)
class CertifyOutcome:
    """The run, the scorings asked for, and how many of its inputs this call had to sample."""

    run_id: int
    scoring_ids: tuple[int, ...]
    sampled: int


class Prepared(NamedTuple):
    """All that a run needs before it is recorded: model and data, the inputs, how they are sampled, what is hashed."""

    opened: Opened
    split: Split
    engine: Engine
    sampler: Sampler
    configuration: dict[str, Any]


def prepared(request: CertifyRequest, database: str | Path | None, watcher: Watcher) -> Prepared:
    """Returns what `request` would be certified with; nothing is written. Raises BadInput for what cannot be."""
    devices = resolve_devices(request.sources.device, request.sources.workers)
    device = devices[0]
    precision = check_precision(request.sources.precision, device)
    opened = open_sources(request.sources, request.sigma, database, watcher)
    chosen = _subset(opened.dataset, request, watcher)
    split = opened.dataset.load(request.split, chosen.indices)  # type: ignore[arg-type]
    opened.check_calibration(request.wanted_coverages)
    if request.split != "train" and (seen := opened.seen(split)):
        watcher.say(f"warning: {seen}")
        opened = replace(opened, warnings=(*opened.warnings, seen))
    if request.noise == "grid":
        check_eight_bit(split.images, opened.dataset.name)
        check_eight_bit(opened.dataset.load("calibration").images, opened.dataset.name)
    samples = len(split) * (request.n0 + request.n)
    compiled = worth_compiling(opened.model, opened.dataset.shape, samples, device, request.sources.compile)
    sampling = Sampling(
        request.sigma, request.seed, request.noise, device, precision, request.sources.batch_size, compiled
    )
    engine = open_engine(opened.model, opened.dataset, sampling)
    check_answers(engine, split.images, split.indices)
    sampler = open_sampler(engine, opened.recipe, sampling, devices)
    return Prepared(
        opened, split, engine, sampler, _configuration(request, opened, split, engine, evenly=chosen.evenly)
    )


def certify_run(request: CertifyRequest, database: str | Path | None, watcher: Watcher) -> CertifyOutcome:
    """Runs `request` to its end and returns the run; what was finished before is not sampled again.

    Raises BadInput for what cannot be certified, DatabaseError where the results cannot be kept, RunIncomplete where
    the device gives up. On any of them, and on KeyboardInterrupt, finished inputs are safe and the run can be resumed.
    """
    opened, split, engine, sampler, wanted = prepared(request, database, watcher)
    with open_for_writing(database) as db:
        configuration = recognised(db, wanted, watcher, fresh=request.fresh)
        moved = "" if opened.knows_classes else other_classes(db, configuration, opened.dataset.class_names)
        if moved:
            watcher.say(f"warning: {moved}")
        known = [] if request.fresh else find_runs(db, configuration_hash(configuration))
        edges, cautions = run_edges(request, opened.dataset, engine, known, watcher)
        thresholds = chosen_thresholds(
            edges, request.measures, threshold=request.threshold, coverages=request.wanted_coverages
        )
        new = new_run(
            request, opened, engine, configuration, edges, inputs=len(split), subset_sha256=split.sha256()
        )  # fmt: skip
        handle = start_run(db, new, fresh=request.fresh)
        give_labels(db, "run", handle.id, request.labels, watcher)
        scored = _scorings(db, handle.id, request.method.of_run(configuration), thresholds)
        warnings = (*opened.warnings, *filter(None, [moved]), *cautions)
        return _Run(db, handle, split, engine, sampler, edges, scored, watcher, request, warnings).finish()


@dataclass
class _Run:
    """A run that is under way."""

    db: Database
    handle: RunHandle
    split: Split
    engine: Engine
    sampler: Sampler
    edges: Mapping[str, MeasureEdges]
    scored: Sequence[Scored]
    watcher: Watcher
    request: CertifyRequest
    warnings: Sequence[str] = ()

    def finish(self) -> CertifyOutcome:
        """Samples what is missing and returns the outcome; however it ends, the run's row says so."""
        started = time.monotonic()
        todo = [p for p, index in enumerate(self.split.indices) if int(index) not in self.handle.finished]
        complete = False
        if todo or self.handle.status != "complete":
            add_warnings(self.db, self.handle.id, self.warnings)
        try:
            self._score_finished()
            self._announce(len(todo))
            if todo:
                self._sample(todo)
                silence = unanswered_warnings(self.db, self.handle.id)
                for line in silence:
                    self.watcher.say(f"warning: {line}")
                self.sampler.notices.extend(silence)
            complete = True
        except Refuted as refuted:
            self.sampler.notices.append(withdraw(self.db, self.handle.id, refuted))
            raise
        finally:
            if todo or self.handle.status != "complete":
                status: Status = "complete" if complete else "interrupted"
                notices = [*self.warnings, *self.sampler.notices]
                finish_run(self.db, self.handle.id, status, time.monotonic() - started, notices)
        return CertifyOutcome(self.handle.id, tuple(one.scoring_id for one in self.scored), len(todo))

    def _announce(self, todo: int) -> None:
        request, run = self.request, f"run {self.handle.id}"
        if not todo:
            self.watcher.say(f"{run}: all {len(self.split)} inputs are sampled already; nothing to do")
            return
        samples = request.n0 + request.n
        rate = warm_rate(self.engine, self.split, todo * samples)
        resumed = f" ({len(self.split) - todo} were finished before)" if todo < len(self.split) else ""
        most = "about" if request.stopping is None else "at most"
        self.watcher.say(
            f"{run}: {todo:,} inputs{resumed} × {samples:,} samples, {most} "
            f"{duration_text(todo * samples / rate)} on {self.engine.device} "
            f"({self.engine.precision}, batches of {self.engine.batch_size}); "
            # Rounded down, as it will be where it is printed as a radius.
            f"no radius can exceed {math.floor(1000 * self.scored[0].method.ceiling(request.n)) / 1000:.3f}"
        )

    def _sample(self, todo: Sequence[int]) -> None:
        images, indices = self.split.images[list(todo)], self.split.indices[list(todo)]
        before, last, said = self.sampler.meter.samples, time.monotonic(), 0
        standing = standing_of(self.db, self.scored[0])
        self.watcher.begin("certify", len(todo) * (self.request.n0 + self.request.n))
        try:
            with self.sampler:
                for finished in self._finished(images, indices):
                    now = time.monotonic()
                    if finished:
                        whole = [(todo[one.position], one) for one in finished]
                        self._store(whole, (now - last) / len(whole), standing)
                        last = now
                    spared = sum(self.request.n - one.draws for one in finished)
                    self.watcher.advance(self.sampler.meter.samples - before + spared, str(standing))
                    before = self.sampler.meter.samples
                    new, said = self.sampler.notices[said:], len(self.sampler.notices)
                    add_warnings(self.db, self.handle.id, new)
                    for notice in new:
                        self.watcher.say(notice)
        finally:
            self.watcher.end()

    def _finished(self, images: torch.Tensor, indices: Indices) -> Iterator[list[Counted]]:
        stopping, n0 = self.request.stopping, self.request.n0
        if stopping is None:
            return self.sampler.sample(images, indices, self.edges, n0=n0, n=self.request.n)
        decider = Decider(stopping, tuple(self.scored), self.edges)
        return self.sampler.sample(images, indices, self.edges, n0=n0, n=stopping.n, decider=decider)

    def _store(self, finished: Sequence[tuple[int, Counted]], seconds: float, standing: Standing) -> None:
        inputs = [
            LabelledEvidence(int(self.split.indices[p]), int(self.split.labels[p]), one.histograms)
            for p, one in finished
        ]
        rows = [
            EvidenceRow(one.input_index, one.label, self.request.n0, counted.draws,
                        encode(counted.histograms, counted.sums), seconds, counted.unanswered)
            for one, (_, counted) in zip(inputs, finished, strict=True)
        ]  # fmt: skip
        certificates = sample_rows(inputs, self.scored, self.edges)
        store_inputs(self.db, self.handle.id, rows, certificates)
        standing.add(certificates)

    def _score_finished(self) -> None:
        """Makes the certificates that are asked for now of evidence that was stored before."""
        for one in self.scored:
            score_stored(self.db, self.handle.id, one, self.edges)


def warm_rate(engine: Engine, split: Split, samples: int) -> float:
    """Returns the engine's samples per second in one more batch: the first ones pay for everything's start."""
    meter, draws = engine.meter, min(engine.batch_size, samples)
    for _ in range(1 if meter.samples else 2):
        before = replace(meter)
        engine.uncertainties(split.images[:1], split.indices[:1], draws=draws)
    return (meter.samples - before.samples) / (meter.seconds - before.seconds)


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
        "family_size": method.family_size,
    }  # fmt: skip
    return {"stopping": request.stopping.configuration() | reading}


def _scorings(db: Database, run_id: int, method: Method, thresholds: Sequence[Threshold]) -> list[Scored]:
    scored = []
    for one in thresholds:
        new = NewScoring(
            run_id, one.measure, one.value, one.coverage, method.rule, method.competitors, method.alpha,
            method.family_size,
        )  # fmt: skip
        scored.append(Scored(add_scoring(db, new), one.measure, one.value, method))
    return list({one.scoring_id: one for one in scored}.values())


def _configuration(
    request: CertifyRequest, opened: Opened, split: Split, engine: Engine, *, evenly: bool
) -> dict[str, Any]:
    """Returns everything that the evidence depends on."""
    return configuration_of(
        "certify",
        request,
        opened,
        engine,
        skip=request.skip,
        limit=request.limit,
        subset_sha256=split.sha256(),
        # Where it is not there the first ones were taken, as by every older release.
        **({SPREAD: True} if evenly else {}),
        **_sampling_error(request, opened.dataset.shape),
        **_stopping(request),
    )
