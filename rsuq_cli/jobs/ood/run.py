"""Out-of-distribution detection: sample both sides once, keep the evidence, and derive scores and metrics from it.

Invariant: one pass over the noise serves every score; evidence is committed as soon as an input is finished, and scores
and metrics are functions of it and of one clean pass, so the same request goes on where an earlier one stopped.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from rsuq_cli.datasets.fitted import original
from rsuq_cli.errors import BadInput
from rsuq_cli.jobs.ood.evaluation import Evaluation, bounds_per_input, evaluate
from rsuq_cli.jobs.ood.evidence import Rejection, check_clean, read_sides
from rsuq_cli.jobs.ood.request import OodRequest
from rsuq_cli.jobs.ood.reuse import Reused, reused_evidence
from rsuq_cli.jobs.ood.sides import Side, overlaps, own_inputs, resolved_sources, sides
from rsuq_cli.results.database import open_for_reading, open_for_writing
from rsuq_cli.results.ood_writer import replace_metrics, store_scores
from rsuq_cli.results.rows import EvidenceRow, NewScoring
from rsuq_cli.results.writer import add_scoring, store_inputs
from rsuq_cli.run.network.recognition import check_same_network
from rsuq_cli.run.ready import Inputs, Part, Ready, open_request
from rsuq_cli.run.record import configuration_of
from rsuq_cli.run.sources import Opened
from rsuq_cli.run.under_way import UnderWay, begin
from rsuq_cli.run.watcher import Watcher
from rsuq_cli.sampling.clean import CleanPass, clean_pass
from rsuq_cli.sampling.engine import Meter
from rsuq_cli.sampling.finished import Finished
from rsuq_cli.sampling.forward import Forward


@dataclass(frozen=True)
class OodOutcome:
    """The run, the scores to show, and how many inputs this call had to sample."""

    run_id: int
    scores: tuple[str, ...]
    sampled: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Compared(Inputs):
    """Both sides, and the run whose evidence is the in-distribution side, if there is one."""

    sides: Sequence[Side]
    reused: Reused | None


class Prepared(NamedTuple):
    """All that a run needs before it is recorded: both sides with their clean passes, and how they are sampled."""

    ready: Ready[Compared]
    clean: list[CleanPass]
    configuration: dict[str, Any]


def prepared(request: OodRequest, database: str | Path | None, watcher: Watcher) -> Prepared:
    """Returns what `request` would compare; nothing is written. Raises BadInput for what cannot be compared."""
    later = _Later()

    def chosen(opened: Opened) -> Compared:
        reused = None
        if request.run is None:
            opened.check_calibration(request.certify.wanted_coverages)
        else:
            with open_for_reading(database) as db:
                reused = reused_evidence(db, request, opened)
        own = reused.split if reused else own_inputs(request, opened.dataset)
        data = original(opened.dataset)
        both = sides(request, data, opened.dataset_name, own, later.say)
        _evaluation(request, both, reused.edges if reused else request.certify.predictor.measures)
        seen = "" if request.certify.split == "train" else opened.seen(own)
        return Compared(
            parts=tuple(side.part for side in both),
            warnings=(*filter(None, [seen]), *overlaps(data, both)),
            before=reused.run if reused else None,
            edges=reused.edges if reused else None,
            sides=both,
            reused=reused,
        )

    certify = replace(request.certify, sources=resolved_sources(request, database))
    ready = open_request(certify, database, later, chosen)
    clean = _clean(ready)
    check_clean(ready.inputs.sides, clean)  # a model that gives no numbers is refused before anything is sampled
    for line in later.lines:
        watcher.say(line)
    wanted = _configuration(request, ready)
    if reused := ready.inputs.reused:
        reused.check(wanted)
        check_same_network(reused.run, ready.opened.fingerprint, watcher)
    return Prepared(ready, clean, wanted)


def _clean(ready: Ready[Compared]) -> list[CleanPass]:
    """Returns the clean pass over every side."""
    engine, sampling = ready.engine, ready.sampling
    forward = Forward(
        ready.opened.model.module, engine.shape, engine.device, engine.precision, compiled=False, sigma=sampling.sigma,
        allowed=engine.preparation, predictor=engine.predictor, rejecter=engine.rejecter,
    )  # fmt: skip
    return [clean_pass(forward, side.split.images, batch_size=engine.batch_size) for side in ready.inputs.sides]


def ood_run(request: OodRequest, database: str | Path | None, watcher: Watcher) -> OodOutcome:
    """Runs `request` to its end and returns the run; what was finished before is not sampled again.

    Raises BadInput for what cannot be compared, DatabaseError where the results cannot be kept, RunIncomplete where
    the device gives up. On any of them, and on KeyboardInterrupt, finished inputs are safe and the run can be resumed.
    """
    ready, clean, configuration = prepared(request, database, watcher)
    with open_for_writing(database) as db:
        run = begin(db, request.certify, ready, configuration, watcher, derives=True)
        evaluation = _evaluation(request, ready.inputs.sides, run.edges)
        done, reused = set(run.handle.finished), _reused_rows(run)
        settled = done | {row.input_index for row in reused}
        todo = [part.without(settled) for part in ready.inputs.of_shard(request.certify.shard)]
        count = sum(map(len, todo))
        with run.recorded(count):
            store_inputs(db, run.handle.id, reused)
            _announce(run, count, evaluation)
            if count:
                _sample(run, todo, clean)
            run.tell_shard()
            if run.is_whole:
                _evaluate(run, request, evaluation, clean)
        return OodOutcome(run.handle.id, tuple(request.chosen_scores(run.edges)), count)


class _Later:
    """Keeps what is said until it is known that there is a run to say it of: a refusal is one line."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def begin(self, task: str, total: int) -> None: ...

    def advance(self, units: int, note: str = "") -> None: ...

    def end(self) -> None: ...


def _reused_rows(run: UnderWay) -> list[EvidenceRow]:
    """Returns the in-distribution evidence of another run that is still to be copied: what sampling here would give."""
    reused = run.ready.inputs.reused
    return [row for row in reused.rows() if row.input_index not in run.handle.finished] if reused else []


def _announce(run: UnderWay, todo: int, evaluation: Evaluation) -> None:
    inputs: Compared = run.ready.inputs
    own, sets = inputs.sides[0], len(inputs.sides) - 1
    what = f"run {run.handle.id}: {len(inputs):,} inputs, {len(own):,} of them from {own.name}"
    if not todo:
        run.watcher.say(f"{what}; all are sampled already")
        return
    run.watcher.say(
        f"{what}, the others from {sets} {'set' if sets == 1 else 'sets'}; {todo:,} to sample "
        f"{run.cost(todo, evaluation.method)}"
    )


def _sample(run: UnderWay, todo: Sequence[Part], clean: Sequence[CleanPass]) -> None:
    sides = run.ready.inputs.sides
    mine = {part.name: len(part) for part in run.ready.inputs.of_shard(run.request.shard)}
    done = {part.name: mine[part.name] - len(part) for part in todo}

    def keep(part: Part, rows: Sequence[EvidenceRow], _: Sequence[Finished]) -> None:
        store_inputs(run.db, run.handle.id, rows)
        done[part.name] += len(rows)

    def shares() -> str:
        """Returns how much of each set is done, named without the folders of its path."""
        return ", ".join(f"{Path(name).name} {100 * done[name] // mine[name]} %" for name in mine if mine[name])

    before = replace(run.ready.sampler.meter)
    run.sample(todo, keep, shares)
    meter = run.ready.sampler.meter
    spent = Meter(meter.samples - before.samples, meter.seconds - before.seconds)
    single = sum(map(len, sides)) / sum(one.seconds for one in clean)
    run.watcher.say(
        f"{sum(map(len, todo)) / spent.seconds:,.1f} inputs/s with noise ({spent.rate:,.0f} samples/s), "
        f"{single:,.0f} inputs/s in the clean single pass"
    )


def _evaluate(
    run: UnderWay, request: OodRequest, evaluation: Evaluation, clean: Sequence[CleanPass]
) -> None:  # fmt: skip
    run.watcher.say("comparing scores")
    inputs: Compared = run.ready.inputs
    rejections = _rejections(run, request, evaluation)
    evidence = read_sides(run.db, run.handle.id, inputs.sides, clean, rejections, run.edges)
    for one in evidence:
        store_scores(run.db, run.handle.id, one.name, one.indices, one.scores)
    replace_metrics(run.db, run.handle.id, evaluate(evidence, rejections, evaluation))


def _evaluation(request: OodRequest, both: Sequence[Side], measures: Collection[str]) -> Evaluation:
    """Returns how a run with these measures is evaluated; raises BadInput where its bounds leave nothing of alpha."""
    certify = request.certify
    family = sum(map(len, both)) * bounds_per_input(measures, len(request.labels)) if request.simultaneous else 1
    evaluation = Evaluation(certify.sigma, certify.alpha, family, request.radii, certify.seed)
    if evaluation.method.ceiling(certify.n) == 0:
        raise BadInput(
            f"{certify.n} samples cannot certify anything for {family:,} bounds at once at alpha {certify.alpha:g}",
            "give a larger --n, or leave --simultaneous out",
        )
    return evaluation


def _rejections(run: UnderWay, request: OodRequest, evaluation: Evaluation) -> list[Rejection]:
    return [
        Rejection(
            label,
            one.measure,
            run.edges[one.measure].position(one.value),
            add_scoring(
                run.db,
                NewScoring(
                    run.handle.id, one.measure, one.value, one.coverage, "majority", "merged", evaluation.alpha,
                    evaluation.family_size,
                ),
            ),
        )
        for label, one in zip(request.labels, run.thresholds, strict=True)
    ]  # fmt: skip


def _configuration(request: OodRequest, ready: Ready[Compared]) -> dict[str, Any]:
    """Returns everything that the evidence depends on; radii and the chosen scores are not."""
    sets = [{"name": side.name, "inputs": len(side), "sha256": side.split.sha256()} for side in ready.inputs.sides]
    return configuration_of("ood", request.certify, ready.opened, ready.engine, sets=sets)
