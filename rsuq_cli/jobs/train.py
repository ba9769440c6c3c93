"""Train: a noise-robust model, its checkpoint file, and the row that lets other commands find it.

Invariant: the checkpoint is on the disk before its row is in the database, and the state of an interrupted training is
removed only after both. What has been trained already is shown, and not trained again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import platformdirs
import torch
from torch import nn

from rsuq_cli.datasets.catalogue import open_dataset
from rsuq_cli.datasets.contents import SeenImages
from rsuq_cli.datasets.dataset import Dataset
from rsuq_cli.datasets.names import kept_under
from rsuq_cli.errors import BadInput
from rsuq_cli.jobs.new_model import new_model
from rsuq_cli.jobs.origin import Origin, origin_of_weights
from rsuq_cli.jobs.trained import BEGUN_WITH, Trained, Training, trained_already
from rsuq_cli.models.checkpoints import CheckpointMetadata, save_checkpoint, write_atomically
from rsuq_cli.models.custom import CustomModel
from rsuq_cli.models.fingerprint import fingerprint_of
from rsuq_cli.results.database import Database, open_for_writing
from rsuq_cli.results.location import locate
from rsuq_cli.results.names import NO_LABELS, Labels
from rsuq_cli.results.rows import CheckpointRow, NewCheckpoint
from rsuq_cli.results.writer import record_checkpoint
from rsuq_cli.run.configuration import FINGERPRINT
from rsuq_cli.run.labels import give_labels
from rsuq_cli.run.network.own import NETWORK, network_of, origin_sha256
from rsuq_cli.run.request import ANY_MACHINE, Machine, Sources, check_sigma
from rsuq_cli.run.watcher import Watcher
from rsuq_cli.sampling.device import check_precision, resolve_device
from rsuq_cli.spelling import path_of
from rsuq_cli.training.evaluation import accuracy, evaluation_of
from rsuq_cli.training.loop import StepProgress, TrainResult, train
from rsuq_cli.training.objectives.base import Value
from rsuq_cli.training.objectives.registry import objective_named, parameters_of
from rsuq_cli.training.resume import EpochRecord
from rsuq_cli.training.settings import (
    FINE_TUNING,
    Precision,
    TrainSettings,
    default_batch_size,
    default_epochs,
    default_learning_rate,
)

# The share of the first step's weights in averaged ones above which it is said.
_MOST_KEPT = 0.01


@dataclass(frozen=True)
class TrainRequest:
    """One training; None stands for what suits the model, `parameters` are of the objective.

    `init` is the checkpoint, by number or name, or the file whose weights it begins with.
    """

    sources: Sources
    sigma: float
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    schedule: str = "one-cycle"
    objective: str = "gaussian"
    parameters: Mapping[str, Value] = field(default_factory=dict)
    init: str | None = None
    ema: float = 0.0
    seed: int = 0
    checkpoint_dir: Path | None = None
    fresh: bool = False
    labels: Labels = NO_LABELS
    machine: Machine = ANY_MACHINE

    def __post_init__(self) -> None:
        check_sigma(self.sigma)


@dataclass(frozen=True)
class TrainOutcome:
    """A recorded checkpoint; accuracies in [0, 1] on the calibration split, None where one that is shown has none."""

    checkpoint_id: int
    model: str
    dataset: str
    sigma: float
    objective: str
    epochs: int
    accuracy_clean: float | None
    accuracy_noisy: float | None
    seconds: float | None
    file: str
    sha256: str


class Prepared(NamedTuple):
    """All that a training needs before its first epoch; `resume_file` is where an interrupted one is kept, `origin` is
    whose weights it begins with, None where they are drawn."""

    device: torch.device
    training: Training
    model: nn.Module
    folder: Path
    resume_file: Path
    origin: Origin | None = None


def prepared(request: TrainRequest, database: str | Path | None, watcher: Watcher) -> Prepared:
    """Returns what `request` would train; nothing is written. Raises BadInput for what cannot be trained."""
    device = resolve_device(request.machine.device)
    precision = check_precision(request.machine.precision, device)
    dataset = open_dataset(
        request.sources.dataset, data_dir=request.sources.data_dir, image_size=request.sources.image_size
    )
    dataset.tell(watcher.say)
    name = kept_under(dataset.name, request.sources.image_size)
    origin = None if request.init is None else origin_of_weights(request.init, database)
    if origin is not None and request.sources.pretrained:
        raise BadInput("both --init and --pretrained are given", "a training begins with one of them")
    settings = _settings(request, dataset, precision, _begins_with(request, origin))
    if not len(dataset.indices("train")):
        raise BadInput(f"{dataset.name} has no training data", "give a data set with a train part")
    model, custom = new_model(request.sources.model, dataset, request.seed, request.sources.pretrained, watcher)
    if request.checkpoint_dir:
        _check_folder(request.checkpoint_dir)
    folder = request.checkpoint_dir or default_checkpoint_dir(database)
    resume_file = folder / f"{_slot(request, custom, name, settings)}.partial"
    # The code of a user's own network may change between two calls; that of the zoo does not.
    untrained = fingerprint_of(model.eval(), dataset.shape) if custom else None
    training = Training(request.sources.model, custom, untrained, dataset, name, settings)
    if origin is not None:
        origin.load_into(model, watcher)
    return Prepared(device, training, model.train(), folder, resume_file, origin)


def _begins_with(request: TrainRequest, origin: Origin | None) -> str:
    """Returns what is kept of the weights that a training begins with, "" where they are drawn."""
    if request.sources.pretrained:
        return f"pretrained:{request.sources.model}"
    return "" if origin is None else origin.sha256


def _settings(request: TrainRequest, dataset: Dataset, precision: Precision, init: str) -> TrainSettings:
    """Returns the settings, what suits the model where none is given: less of everything for weights that are there."""
    share = FINE_TUNING if init else 1.0
    epochs, rate = default_epochs(request.sources.model, dataset), default_learning_rate(request.sources.model)
    return TrainSettings(
        sigma=request.sigma,
        epochs=max(1, round(share * epochs)) if request.epochs is None else request.epochs,
        batch_size=default_batch_size(dataset) if request.batch_size is None else request.batch_size,
        learning_rate=share * rate if request.learning_rate is None else request.learning_rate,
        schedule=request.schedule,  # type: ignore[arg-type]
        objective=request.objective,
        seed=request.seed,
        precision=precision,
        parameters=request.parameters,
        init=init,
        ema=request.ema,
    )


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
    before = _accuracy_before(ready, watcher) if ready.training.settings.init else None
    result = _train(ready, watcher)
    if before is not None:
        watcher.say(f"right under noise: {before:.1%} before, {result.accuracy_noisy:.1%} now, on held-out images")
    model, custom, name = ready.model.to("cpu"), ready.training.custom, ready.training.name
    metadata = _metadata(request, ready.training, result)
    metadata = replace(metadata, fingerprint=fingerprint_of(model, metadata.shape).to_json())
    saved = save_checkpoint(ready.folder, model, metadata)
    with open_for_writing(database) as db:
        configuration = metadata.config | {"epochs_seconds": result.seconds, "device": str(ready.device)}
        configuration |= {FINGERPRINT: metadata.fingerprint} | ({NETWORK: network_of(custom)} if custom else {})
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


def default_checkpoint_dir(database: str | Path | None) -> Path:
    """Returns the folder for checkpoints: beside the database file, or in the user's data directory for a server."""
    path = locate(database).path
    return (path.parent if path else Path(platformdirs.user_data_dir("rsuq"))) / "checkpoints"


def _check_folder(folder: Path) -> None:
    """Raises BadInput where a checkpoint could not be written; makes nothing."""
    stands = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not (stands.is_dir() and os.access(stands, os.W_OK)):
        raise BadInput(f"checkpoints cannot be written to {folder}", "name another folder with --checkpoint-dir")


def _train(ready: Prepared, watcher: Watcher) -> TrainResult:
    dataset, settings, device = ready.training.dataset, ready.training.settings, ready.device
    images = len(dataset.indices("train"))
    watcher.say(f"training on {images:,} inputs for {settings.epochs} epochs at sigma {settings.sigma:g} on {device}")
    objective = objective_named(settings.objective, settings.parameters, sigma=settings.sigma)
    cost = objective.passes(settings.sigma)
    if settings.parameters or cost != 1:
        told = ", ".join(f"{name} {_shown_value(value)}" for name, value in parameters_of(objective).items())
        watcher.say(f"{settings.objective} ({told}): a step costs about {cost:g} plain ones")
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
    if result.resumed_after:
        watcher.say(f"resumed after epoch {result.resumed_after}")
    return result


def _shown_value(value: Value) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _slot(request: TrainRequest, custom: CustomModel | None, dataset: str, settings: TrainSettings) -> str:
    """Returns a name for the state of a training in progress; equal requests share it."""
    model = origin_sha256(custom.origin, custom.spec) if custom else request.sources.model
    key = json.dumps([model, dataset, settings.recorded()], sort_keys=True, default=str)
    return f"training-{hashlib.sha256(key.encode()).hexdigest()[:16]}"


def _metadata(request: TrainRequest, training: Training, result: TrainResult) -> CheckpointMetadata:
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
        trained_on=SeenImages.of(dataset.load("train").images).packed(),
        network=origin_sha256(custom.origin, custom.spec) if custom else "",
    )
