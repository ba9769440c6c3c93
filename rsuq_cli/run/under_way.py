"""A run that is under way: begun or gone on with, announced, sampled, and ended, in the same way for certify and ood.

Invariant: evidence is stored as soon as the batch that finished an input is done, what should be known about the run as
soon as it is known, and however the run ends, its row says so.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsuq_cli.certificates.evidence import MeasureEdges
from rsuq_cli.certificates.method import Method
from rsuq_cli.results.database import Database, open_for_lookup
from rsuq_cli.results.rows import EvidenceRow, RunHandle
from rsuq_cli.results.writer import add_warnings, count_finished, find_runs, finish_run, start_run
from rsuq_cli.run.cautions import of_network
from rsuq_cli.run.durations import duration_text
from rsuq_cli.run.edges import Calibrated, bins_of, run_edges, serves, serving
from rsuq_cli.run.labels import give_labels
from rsuq_cli.run.network.recognition import other_classes, recognised
from rsuq_cli.run.ready import Inputs, Part, Ready
from rsuq_cli.run.record import configuration_hash, new_run
from rsuq_cli.run.request import CertifyRequest
from rsuq_cli.run.unanswered import unanswered_warnings, withdraw
from rsuq_cli.run.watcher import Watcher
from rsuq_cli.sampling.finished import Finished
from rsuq_cli.sampling.until import Decider
from rsuq_cli.sampling.watch import Refuted
from rsuq_cli.uncertainty.measures import check_known
from rsuq_cli.uncertainty.thresholds import Threshold, chosen_thresholds

# Stores finished inputs of a part: their rows, and themselves.
Keep = Callable[[Part, Sequence[EvidenceRow], Sequence[Finished]], None]


@dataclass
class UnderWay:
    """A run with its row in the database, its bins, and the thresholds that are asked for now.

    With `derives`, what is made of the evidence is part of the run: without it, the run is not complete.
    """

    db: Database
    handle: RunHandle
    request: CertifyRequest
    ready: Ready[Any]
    configuration: Mapping[str, Any]
    edges: Mapping[str, MeasureEdges]
    thresholds: Sequence[Threshold]
    warnings: Sequence[str]
    watcher: Watcher
    derives: bool = False
    told: int = 0

    @contextlib.contextmanager
    def recorded(self, todo: int) -> Iterator[None]:
        """Does its body, which samples the `todo` inputs that are missing; the run's row says how it ended."""
        started, complete = time.monotonic(), False
        changes = todo > 0 or self.handle.status != "complete"
        if changes:
            add_warnings(self.db, self.handle.id, self.warnings)
        notices = self.ready.sampler.notices
        try:
            yield
            if changes:
                silence = unanswered_warnings(self.db, self.handle.id)
                for line in silence:
                    self.watcher.say(f"warning: {line}")
                notices.extend(silence)
            complete = True
        except Refuted as refuted:
            notices.append(withdraw(self.db, self.handle.id, refuted))
            raise
        finally:
            if changes or (self.derives and not complete):
                status, seconds = ("complete" if complete else "interrupted"), time.monotonic() - started
                finish_run(
                    self.db, self.handle.id, status, seconds, [*self.warnings, *notices],  # type: ignore[arg-type]
                    planned=len(self.ready.inputs),
                )  # fmt: skip

    @property
    def is_whole(self) -> bool:
        """Whether every input of the run has evidence by now, those of other shards too."""
        with self.db.read() as connection:
            return count_finished(connection, self.handle.id) >= len(self.ready.inputs)

    def tell_shard(self) -> None:
        """Says how far the run is, once a shard of it is done."""
        if self.request.shard.is_whole:
            return
        with self.db.read() as connection:
            finished = count_finished(connection, self.handle.id)
        planned = len(self.ready.inputs)
        rest = "the run is whole" if finished >= planned else "the rest is for the other shards"
        self.watcher.say(
            f"run {self.handle.id}: shard {self.request.shard} is done, {finished:,} of {planned:,} inputs are; {rest}"
        )

    def cost(self, todo: int, method: Method) -> str:
        """Returns in words what so many inputs cost: their samples, time and place; and what radii it can give."""
        request, engine = self.request, self.ready.engine
        samples = request.n0 + request.n
        most = "about" if request.stopping is None else "at most"
        seconds = todo * samples / self.ready.rate(todo * samples)
        passes = "" if request.predictor.passes == 1 else f", {request.predictor.passes} passes for every sample"
        return (
            f"× {samples:,} samples, {most} {duration_text(seconds)} on {engine.device} "
            f"({engine.precision}, batches of {engine.batch_size}{passes}); "
            # Rounded down, as it will be where it is printed as a radius.
            f"no radius can exceed {math.floor(1000 * method.ceiling(request.n)) / 1000:.3f}"
        )

    def sample(
        self, parts: Sequence[Part], keep: Keep, note: Callable[[], str], decider: Decider | None = None
    ) -> None:
        """Samples all inputs of the parts and lets `keep` store them; `note` tells how things stand."""
        task, samples = self.configuration["kind"], self.request.n0 + self.request.n
        self.watcher.begin(task, sum(map(len, parts)) * samples)
        try:
            with self.ready.sampler:
                for part in parts:
                    if len(part):
                        self._sample(part, keep, note, decider)
        finally:
            self.watcher.end()

    def _sample(self, part: Part, keep: Keep, note: Callable[[], str], decider: Decider | None) -> None:
        request, sampler = self.request, self.ready.sampler
        before, last = sampler.meter.samples, time.monotonic()
        sampled = sampler.sample(
            part.split.images, part.noise, self.edges, n0=request.n0, n=request.n, decider=decider
        )  # fmt: skip
        for finished in sampled:
            now = time.monotonic()
            if finished:
                keep(part, self._rows(part, finished, (now - last) / len(finished)), finished)
                last = now
            spared = sum(request.n - one.draws for one in finished)
            self.watcher.advance(sampler.meter.samples - before + spared, note())
            before = sampler.meter.samples
            self._tell_notices()

    def _rows(self, part: Part, finished: Sequence[Finished], seconds: float) -> list[EvidenceRow]:
        return [
            EvidenceRow(
                int(part.stored[one.position]), int(part.split.labels[one.position]), self.request.n0, one.draws,
                one.counts, seconds, one.unanswered,
            )
            for one in finished
        ]  # fmt: skip

    def _tell_notices(self) -> None:
        """Says and stores what the sampler has noticed since it was last asked."""
        notices = self.ready.sampler.notices
        new, self.told = notices[self.told :], len(notices)
        add_warnings(self.db, self.handle.id, new)
        for notice in new:
            self.watcher.say(notice)


def begin(
    db: Database, request: CertifyRequest, ready: Ready[Any], configuration: dict[str, Any], watcher: Watcher,
    *, derives: bool = False,
) -> UnderWay:  # fmt: skip
    """Returns the run of this request, made now unless the database has it.

    Raises BadInput where no threshold can be found for a coverage; nothing is recorded then.
    """
    inputs: Inputs = ready.inputs
    opened = ready.opened
    configuration = recognised(db, configuration, watcher, fresh=request.fresh)
    moved = "" if opened.knows_classes else other_classes(db, configuration, opened.dataset.class_names)
    if moved:
        watcher.say(f"warning: {moved}")
    if inputs.before and inputs.edges:
        calibrated = Calibrated(dict(inputs.edges), of_network(inputs.before.warnings or ()))
    else:
        known = [] if request.fresh else find_runs(db, configuration_hash(configuration))
        calibrated = run_edges(request, opened.dataset, ready.engine, known, watcher)
    new = new_run(
        request, opened, ready.engine, configuration, calibrated.edges, inputs=len(inputs),
        subset_sha256=inputs.parts[0].split.sha256(),
        checkpoint_id=inputs.before.checkpoint_id if inputs.before else None,
    )  # fmt: skip
    serving_bins = None if inputs.before else (lambda stored: serves(bins_of(stored), request))
    handle = start_run(db, new, fresh=request.fresh, serves=serving_bins)
    check_known(handle.id, handle.edges)
    edges = bins_of(handle.edges)
    thresholds = chosen_thresholds(
        edges, request.measures, threshold=request.threshold, coverages=request.wanted_coverages
    )
    give_labels(db, "run", handle.id, request.labels, watcher)
    warnings = (*ready.warnings, *filter(None, [moved]), *calibrated.warnings)
    return UnderWay(
        db, handle, request, ready, configuration, edges, thresholds, warnings, watcher, derives
    )  # fmt: skip


def going_on(
    request: CertifyRequest, configuration: dict[str, Any], database: str | Path | None, watcher: Watcher
) -> RunHandle | None:  # fmt: skip
    """Returns the run that `begin` would go on with, its bins with the thresholds asked for; None for a new one."""
    if request.fresh:
        return None
    with open_for_lookup(database) as db:
        if db is None:
            return None
        known = find_runs(db, configuration_hash(recognised(db, configuration, watcher)))
    return serving(known, request)
