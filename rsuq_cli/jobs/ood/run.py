"""Out-of-distribution detection: sample both sides once, keep the evidence, and derive scores and metrics from it.

Invariant: one pass over the noise serves every score; evidence is committed as soon as an input is finished, and scores
and metrics are functions of it and of one clean pass, so the same request goes on where an earlier one stopped.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rsuq_cli.certificates.certificate import Method
from rsuq_cli.certificates.evidence import MeasureEdges, encode
from rsuq_cli.datasets.fitted import original
from rsuq_cli.errors import BadInput
from rsuq_cli.jobs.ood.evaluation import Evaluation, bounds_per_input, evaluate
from rsuq_cli.jobs.ood.evidence import Rejection, check_clean, read_sides
from rsuq_cli.jobs.ood.request import OodRequest
from rsuq_cli.jobs.ood.reuse import Reused, reused_evidence
from rsuq_cli.jobs.ood.sides import Side, overlaps, own_inputs, resolved_sources, sides
from rsuq_cli.results.database import Database, open_for_reading, open_for_writing
from rsuq_cli.results.ood_writer import replace_metrics, store_scores
from rsuq_cli.results.rows import EvidenceRow, NewScoring, RunHandle, Status
from rsuq_cli.results.writer import add_scoring, add_warnings, find_runs, finish_run, start_run, store_inputs
from rsuq_cli.run.cautions import of_network
from rsuq_cli.run.edges import Calibrated, run_edges
from rsuq_cli.run.labels import give_labels
from rsuq_cli.run.network.recognition import check_same_network, recognised
from rsuq_cli.run.record import configuration_hash, configuration_of, new_run
from rsuq_cli.run.sampler import Sampling, open_engine, open_sampler, worth_compiling
from rsuq_cli.run.sources import Opened, open_sources
from rsuq_cli.run.stored import preparation_of
from rsuq_cli.run.unanswered import check_answers, unanswered_warnings, withdraw
from rsuq_cli.run.watcher import Watcher
from rsuq_cli.sampling.clean import CleanPass, clean_pass
from rsuq_cli.sampling.device import check_precision, resolve_devices
from rsuq_cli.sampling.engine import Counted, Engine
from rsuq_cli.sampling.forward import Forward
from rsuq_cli.sampling.watch import Refuted
from rsuq_cli.sampling.workers import Sampler
from rsuq_cli.uncertainty.thresholds import chosen_thresholds


@dataclass(frozen=True)
class OodOutcome:
    """The run, the scores to show, and how many inputs this call had to sample."""

    run_id: int
    scores: tuple[str, ...]
    sampled: int


class Prepared(NamedTuple):
    """All that a run needs before it is recorded: both sides with their clean passes, and how they are sampled."""

    opened: Opened
    reused: Reused | None
    sides: list[Side]
    evaluation: Evaluation
    engine: Engine
    sampler: Sampler
    clean: list[CleanPass]
    warnings: list[str]
    configuration: dict[str, Any]


def prepared(request: OodRequest, database: str | Path | None, watcher: Watcher) -> Prepared:
    """Returns what `request` would compare; nothing is written. Raises BadInput for what cannot be compared."""
    certify = request.certify
    devices = resolve_devices(certify.sources.device, certify.sources.workers)
    device = devices[0]
    precision = check_precision(certify.sources.precision, device)
    sources = resolved_sources(request, database)
    later = _Later()
    opened = open_sources(sources, certify.sigma, database, later)
    if request.run is None:
        opened.check_calibration(certify.wanted_coverages)
    reused = None
    if request.run is not None:
        with open_for_reading(database) as db:
            reused = reused_evidence(db, request, opened)
    own = reused.split if reused else own_inputs(request, opened.dataset)
    data = original(opened.dataset)
    both = sides(request, data, opened.dataset_name, own, later.say)
    evaluation = _evaluation(request, both)
    if reused:
        compiled = reused.compiled  # its evidence came from the compiled model, or from the plain one
    else:
        samples = sum(map(len, both)) * (certify.n0 + certify.n)
        compiled = worth_compiling(opened.model, opened.dataset.shape, samples, device, certify.sources.compile)
    sampling = Sampling(
        certify.sigma, certify.seed, certify.noise, device, precision, certify.sources.batch_size, compiled,
        preparation_of(reused.run.configuration) if reused else None,
    )  # fmt: skip
    engine = open_engine(opened.model, opened.dataset, sampling)
    for side in both:
        check_answers(engine, side.split.images, side.noise_numbers)
    sampler = open_sampler(engine, opened.recipe, sampling, devices)
    forward = Forward(
        opened.model.module, opened.dataset.shape, device, precision, compiled=False, sigma=certify.sigma,
        allowed=engine.preparation,
    )  # fmt: skip
    clean = [clean_pass(forward, side.split.images, batch_size=engine.batch_size) for side in both]
    check_clean(both, clean)  # a model that gives no numbers is refused before anything is sampled
    seen = "" if certify.split == "train" else opened.seen(own)
    warnings = [*filter(None, [seen]), *overlaps(data, both)]
    for line in (*later.lines, *(f"warning: {warning}" for warning in warnings)):
        watcher.say(line)
    wanted = _configuration(request, opened, both, engine)
    if reused:
        reused.check(wanted)
        check_same_network(reused.run, opened.fingerprint, watcher)
    return Prepared(opened, reused, both, evaluation, engine, sampler, clean, warnings, wanted)


def ood_run(request: OodRequest, database: str | Path | None, watcher: Watcher) -> OodOutcome:
    """Runs `request` to its end and returns the run; what was finished before is not sampled again.

    Raises BadInput for what cannot be compared, DatabaseError where the results cannot be kept, RunIncomplete where
    the device gives up. On any of them, and on KeyboardInterrupt, finished inputs are safe and the run can be resumed.
    """
    certify = request.certify
    opened, reused, both, evaluation, engine, sampler, clean, warnings, wanted = prepared(request, database, watcher)
    with open_for_writing(database) as db:
        configuration = recognised(db, wanted, watcher, fresh=certify.fresh)
        known = [] if certify.fresh else find_runs(db, configuration_hash(configuration))
        edges, cautions = (
            Calibrated(reused.edges, of_network(reused.run.warnings or ()))
            if reused
            else run_edges(certify, opened.dataset, engine, known, watcher)
        )
        new = new_run(
            certify, opened, engine, configuration, edges, inputs=sum(map(len, both)),
            subset_sha256=both[0].split.sha256(), checkpoint_id=reused.run.checkpoint_id if reused else None,
        )  # fmt: skip
        handle = start_run(db, new, fresh=certify.fresh)
        give_labels(db, "run", handle.id, certify.labels, watcher)
        run = _Run(db, handle, both, engine, sampler, edges, clean, watcher, request, reused)
        return run.finish(evaluation, [*opened.warnings, *cautions, *warnings])


class _Later:
    """Keeps what is said until it is known that there is a run to say it of: a refusal is one line."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def begin(self, task: str, total: int) -> None: ...

    def advance(self, units: int, note: str = "") -> None: ...

    def end(self) -> None: ...


@dataclass
class _Run:
    """A run that is under way."""

    db: Database
    handle: RunHandle
    sides: Sequence[Side]
    engine: Engine
    sampler: Sampler
    edges: Mapping[str, MeasureEdges]
    clean: Sequence[CleanPass]
    watcher: Watcher
    request: OodRequest
    reused: Reused | None
    told: int = 0

    def finish(self, evaluation: Evaluation, warnings: Sequence[str]) -> OodOutcome:
        """Samples what is missing, evaluates all of it and returns the outcome; the run's row says how it ended."""
        started = time.monotonic()
        complete = False
        if self.handle.status != "complete":
            add_warnings(self.db, self.handle.id, warnings)
        try:
            done = set(self.handle.finished) | (self._copy_reused() if self.reused else set())
            todo = [[p for p in range(len(side)) if side.start + p not in done] for side in self.sides]
            count = sum(map(len, todo))
            self._announce(count)
            if count:
                self._sample(todo)
                self._compare_speeds(count)
            self._evaluate(evaluation)
            silence = unanswered_warnings(self.db, self.handle.id)
            for line in silence:
                self.watcher.say(f"warning: {line}")
            warnings = [*warnings, *silence]
            complete = True
        except Refuted as refuted:
            self.sampler.notices.append(withdraw(self.db, self.handle.id, refuted))
            raise
        finally:
            status: Status = "complete" if complete else "interrupted"
            if self.handle.status != "complete" or not complete:
                notices = [*warnings, *self.sampler.notices]
                finish_run(self.db, self.handle.id, status, time.monotonic() - started, notices)
        return OodOutcome(self.handle.id, tuple(self.request.chosen_scores(self.request.labels)), count)

    def _copy_reused(self) -> set[int]:
        """Takes the in-distribution evidence of another run over; it is what sampling here would give."""
        assert self.reused is not None
        missing = [row for row in self.reused.rows() if row.input_index not in self.handle.finished]
        store_inputs(self.db, self.handle.id, missing)
        return {row.input_index for row in missing}

    def _announce(self, todo: int) -> None:
        inputs, sets = sum(map(len, self.sides)), len(self.sides) - 1
        what = f"run {self.handle.id}: {inputs:,} inputs, {len(self.sides[0]):,} of them from {self.sides[0].name}"
        if not todo:
            self.watcher.say(f"{what}; all are sampled already")
            return
        certify = self.request.certify
        self.watcher.say(
            f"{what}, the others from {sets} {'set' if sets == 1 else 'sets'}; {todo:,} to sample × "
            f"{certify.n0 + certify.n:,} samples on {self.engine.device} ({self.engine.precision})"
        )

    def _sample(self, todo: Sequence[Sequence[int]]) -> None:
        certify = self.request.certify
        done = {side.name: len(side) - len(positions) for side, positions in zip(self.sides, todo, strict=True)}
        self.watcher.begin("ood", sum(map(len, todo)) * (certify.n0 + certify.n))
        try:
            with self.sampler:
                for side, positions in zip(self.sides, todo, strict=True):
                    self._sample_side(side, list(positions), done)
        finally:
            self.watcher.end()

    def _sample_side(self, side: Side, positions: list[int], done: dict[str, int]) -> None:
        certify, meter = self.request.certify, self.sampler.meter
        images, numbers = side.split.images[positions], np.asarray(side.noise_numbers)[positions]
        before, last = meter.samples, time.monotonic()
        for finished in self.sampler.sample(images, numbers, self.edges, n0=certify.n0, n=certify.n):
            now = time.monotonic()
            if finished:
                whole = [one._replace(position=positions[one.position]) for one in finished]
                self._store(side, whole, (now - last) / len(whole))
                last = now
                done[side.name] += len(whole)
            self.watcher.advance(meter.samples - before, self._shares(done))
            before = meter.samples
            self._tell_notices()

    def _tell_notices(self) -> None:
        """Says and stores what the sampler has noticed since it was last asked."""
        new, self.told = self.sampler.notices[self.told :], len(self.sampler.notices)
        add_warnings(self.db, self.handle.id, new)
        for notice in new:
            self.watcher.say(notice)

    def _shares(self, done: Mapping[str, int]) -> str:
        """Returns how much of each set is done, named without the folders of its path."""
        return ", ".join(f"{Path(side.name).name} {100 * done[side.name] // len(side)} %" for side in self.sides)

    def _store(self, side: Side, finished: Sequence[Counted], seconds: float) -> None:
        certify = self.request.certify
        rows = [
            EvidenceRow(
                side.start + one.position, int(side.split.labels[one.position]), certify.n0, certify.n,
                encode(one.histograms, one.sums), seconds, one.unanswered,
            )
            for one in finished
        ]  # fmt: skip
        store_inputs(self.db, self.handle.id, rows)

    def _compare_speeds(self, inputs: int) -> None:
        seconds = self.sampler.meter.seconds
        clean = sum(map(len, self.sides)) / sum(one.seconds for one in self.clean)
        self.watcher.say(
            f"{inputs / seconds:,.1f} inputs/s with noise ({self.sampler.meter.rate:,.0f} samples/s), "
            f"{clean:,.0f} inputs/s in the clean single pass"
        )

    def _evaluate(self, evaluation: Evaluation) -> None:
        self.watcher.say("comparing scores")
        rejections = _rejections(self.db, self.handle.id, self.request, self.edges, evaluation)
        evidence = read_sides(self.db, self.handle.id, self.sides, self.clean, rejections, self.edges)
        for one in evidence:
            store_scores(self.db, self.handle.id, one.name, one.indices, one.scores)
        replace_metrics(self.db, self.handle.id, evaluate(evidence, rejections, evaluation))


def _evaluation(request: OodRequest, both: Sequence[Side]) -> Evaluation:
    """Returns the settings of the evaluation; raises BadInput where so many bounds leave nothing of alpha."""
    certify = request.certify
    family = sum(map(len, both)) * bounds_per_input(len(request.labels)) if request.simultaneous else 1
    if Method(certify.sigma, certify.alpha, family_size=family).ceiling(certify.n) == 0:
        raise BadInput(
            f"{certify.n} samples cannot certify anything for {family:,} bounds at once at alpha {certify.alpha:g}",
            "give a larger --n, or leave --simultaneous out",
        )
    return Evaluation(certify.sigma, certify.alpha, family, request.radii, certify.seed)


def _rejections(
    db: Database, run_id: int, request: OodRequest, edges: Mapping[str, MeasureEdges], evaluation: Evaluation
) -> list[Rejection]:
    certify = request.certify
    thresholds = chosen_thresholds(
        edges, certify.measures, threshold=certify.threshold, coverages=certify.wanted_coverages
    )
    return [
        Rejection(
            label,
            one.measure,
            edges[one.measure].position(one.value),
            add_scoring(
                db,
                NewScoring(
                    run_id, one.measure, one.value, one.coverage, "majority", "merged", evaluation.alpha,
                    evaluation.family_size,
                ),
            ),
        )
        for label, one in zip(request.labels, thresholds, strict=True)
    ]  # fmt: skip


def _configuration(request: OodRequest, opened: Opened, both: Sequence[Side], engine: Engine) -> dict[str, Any]:
    """Returns everything that the evidence depends on; radii and the chosen scores are not."""
    sets = [{"name": side.name, "inputs": len(side), "sha256": side.split.sha256()} for side in both]
    return configuration_of("ood", request.certify, opened, engine, sets=sets)
