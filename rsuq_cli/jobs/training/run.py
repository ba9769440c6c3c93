"""Train: a noise-robust model, its checkpoint file, and the row that lets other commands find it.

Invariant: the checkpoint is on the disk before its row is in the database, and the state of an interrupted training is
removed only after both. What has been trained already is shown, and not trained again.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

from rsuq_cli.datasets.contents import SeenImages
from rsuq_cli.jobs.training.already import BEGUN_WITH, Trained, trained_already
from rsuq_cli.jobs.training.ready import Prepared, prepared
from rsuq_cli.jobs.training.request import TrainOutcome, TrainRequest
from rsuq_cli.models.checkpoints import CheckpointMetadata, save_checkpoint, write_atomically
from rsuq_cli.models.fingerprint import fingerprint_of
from rsuq_cli.results.database import Database, open_for_writing
from rsuq_cli.results.rows import CheckpointRow, NewCheckpoint
from rsuq_cli.results.writer import record_checkpoint
from rsuq_cli.run.configuration import FINGERPRINT
from rsuq_cli.run.labels import give_labels
from rsuq_cli.run.network.own import NETWORK, network_of, origin_sha256
from rsuq_cli.run.watcher import Watcher
from rsuq_cli.spelling import path_of
from rsuq_cli.training.evaluation import accuracy, evaluation_of
from rsuq_cli.training.loop import StepProgress, TrainResult, train
from rsuq_cli.training.objectives.base import Value
from rsuq_cli.training.objectives.registry import objective_named, parameters_of
from rsuq_cli.training.resume import EpochRecord

# The share of the first step's weights in averaged ones above which it is said.
_MOST_KEPT = 0.01


def train_run(request: TrainRequest, database: str | Path | None, watcher: Watcher) -> TrainOutcome:
    """Trains, saves and records a checkpoint, going on after the last finished epoch of an interrupted call.

    A checkpoint of the same training is returned as it is, unless `request.fresh` asks for another.
    Raises BadInput for what cannot be trained, DatabaseError where the row cannot be kept.
    """
    ready = prepared(request, database, watcher)
    # Opened before the first epoch: a database that cannot be written should not cost a training.
    with open_for_writing(database) as db:
        known = Trained(None) if request.fresh else trained_already(db, ready.training)
        if known.checkpoint:
            return _shown(db, known.checkpoint, request, watcher)
    if known.reason:
        watcher.say(f"training anew: {known.reason}")
    if request.fresh:
        ready.resume_file.unlink(missing_ok=True)
    begun = ready.training.settings.init or ready.training.settings.classifier
    before = _accuracy_before(ready, watcher) if begun else None
    result = _train(ready, watcher)
    if before is not None:
        watcher.say(f"right under noise: {before:.1%} before, {result.accuracy_noisy:.1%} now, on held-out images")
    ready.model.to("cpu")
    custom, name, metadata = ready.training.custom, ready.training.name, _metadata(request, ready, result)
    if request.classifier is None:  # what a denoiser gives are no answers
        metadata = replace(metadata, fingerprint=fingerprint_of(ready.kept, metadata.shape).to_json())
    saved = save_checkpoint(ready.folder, ready.kept, metadata)
    with open_for_writing(database) as db:
        configuration = metadata.config | {"epochs_seconds": result.seconds, "device": str(ready.device)}
        configuration |= {FINGERPRINT: metadata.fingerprint} if metadata.fingerprint else {}
        configuration |= {NETWORK: network_of(custom)} if custom else {}
        configuration |= ready.training.begun_with() | (ready.origin.recorded() if ready.origin else {})
        new = NewCheckpoint(
            model=request.sources.model,
            dataset=name,
            sigma=request.sigma,
            objective=request.objective,
            file=str(saved.path.resolve()),
            sha256=saved.sha256,
            accuracy_clean=result.accuracy_clean,
            accuracy_noisy=result.accuracy_noisy,
            configuration=configuration,
            history=[asdict(record) for record in result.history],
        )
        checkpoint_id = record_checkpoint(db, new, renewed=BEGUN_WITH)
        give_labels(db, "checkpoint", checkpoint_id, request.labels, watcher)
    ready.resume_file.unlink(missing_ok=True)
    return TrainOutcome(
        checkpoint_id, request.sources.model, name, request.sigma, request.objective, result.epochs_done,
        result.accuracy_clean, result.accuracy_noisy, result.seconds, str(saved.path), saved.sha256,
    )  # fmt: skip


def _accuracy_before(ready: Prepared, watcher: Watcher) -> float | None:
    """Returns the accuracy under noise that fine-tuning begins with; None where it goes on after some epochs."""
    if ready.resume_file.exists():
        return None
    settings, held_out = ready.training.settings, evaluation_of(ready.training.dataset)
    found = accuracy(
        ready.model.to(ready.device), held_out, sigma=settings.sigma, seed=settings.seed, device=ready.device
    ).noisy  # fmt: skip
    watcher.say(f"begins with {found:.1%} right under noise at sigma {settings.sigma:g}")
    return found


def _shown(db: Database, row: CheckpointRow, request: TrainRequest, watcher: Watcher) -> TrainOutcome:
    """Returns a checkpoint that is there, copied where a folder of its own is asked for, and gives it its labels."""
    watcher.say(f"trained already: checkpoint {row.id} (--fresh trains anew)")
    give_labels(db, "checkpoint", row.id, request.labels, watcher)
    file = path_of(row.file)
    if request.checkpoint_dir and request.checkpoint_dir.resolve() != file.parent.resolve():
        file, before = request.checkpoint_dir / file.name, file
        write_atomically(file, before.read_bytes())
    known = row.configuration
    return TrainOutcome(
        row.id, row.model, row.dataset, row.sigma, row.objective, known["epochs"], row.accuracy_clean,
        row.accuracy_noisy, known.get("epochs_seconds"), str(file), row.sha256,
    )  # fmt: skip


def _train(ready: Prepared, watcher: Watcher) -> TrainResult:
    dataset, settings, device = ready.training.dataset, ready.training.settings, ready.device
    images = len(dataset.indices("train"))
    watcher.say(f"training on {images:,} inputs for {settings.epochs} epochs at sigma {settings.sigma:g} on {device}")
    objective = objective_named(settings.objective, settings.parameters, sigma=settings.sigma)
    cost = objective.passes(settings.sigma)
    if settings.parameters or cost != 1:
        told = ", ".join(f"{name} {_shown_value(value)}" for name, value in parameters_of(objective).items())
        watcher.say(f"{settings.objective}{f' ({told})' if told else ''}: a step costs about {cost:.3g} plain ones")
    steps = settings.epochs * max(1, images // settings.batch_size)
    kept = settings.ema ** (steps - 1) if settings.ema and steps > 1 else 0.0
    if kept > _MOST_KEPT:
        less = f"--ema {1 - 5 / max(steps, 6):.3g} forgets them"
        watcher.say(f"averaged weights will be {kept:.0%} those after the first of {steps:,} steps: {less}")
    steps_done, note = 0, ""

    def on_step(progress: StepProgress) -> None:
        nonlocal steps_done
        if steps_done == 0:
            watcher.begin("train", progress.steps * progress.epochs)
        now = (progress.epoch - 1) * progress.steps + progress.step
        watcher.advance(now - steps_done, note)
        steps_done = now

    def on_epoch(record: EpochRecord) -> None:
        nonlocal note
        note = (
            f"epoch {record.epoch}: loss {record.loss:.3f}, {record.accuracy_noisy:.1%} right under noise, "
            f"{record.accuracy_clean:.1%} clean, soft ACR {record.soft_acr or 0:.3f}"
        )

    try:
        result = train(
            ready.model, dataset, settings, device=device, on_epoch=on_epoch, on_step=on_step,
            resume_file=ready.resume_file, network=ready.training.untrained,
        )  # fmt: skip
    finally:
        watcher.end()
    if result.restarted:
        watcher.say(f"started anew: {result.restarted}")
    if result.uncompiled:
        watcher.say(f"warning: torch.compile failed, trained without it ({result.uncompiled})")
    if result.resumed_after:
        watcher.say(f"resumed after epoch {result.resumed_after}")
    return result


def _shown_value(value: Value) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _metadata(request: TrainRequest, ready: Prepared, result: TrainResult) -> CheckpointMetadata:
    training = ready.training
    custom, dataset = training.custom, training.dataset
    return CheckpointMetadata(
        model=request.sources.model,
        dataset=training.name,
        shape=dataset.shape,
        class_names=dataset.class_names,
        sigma=request.sigma,
        objective=request.objective,
        epochs=result.epochs_done,
        seed=request.seed,
        accuracy_clean=result.accuracy_clean,
        accuracy_noisy=result.accuracy_noisy,
        calibration_indices=tuple(int(index) for index in dataset.calibration_indices),
        config=training.settings.recorded(),
        trained_on=SeenImages.of(dataset.load("train").images).with_others(ready.seen_before).packed(),
        network=origin_sha256(custom.origin, custom.spec) if custom else "",
    )
