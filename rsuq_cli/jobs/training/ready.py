"""All that a training needs before its first epoch: data, network, settings, and where its state is kept.

Invariant: nothing is written; what cannot be trained is refused here.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
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
from rsuq_cli.jobs.training.already import Training
from rsuq_cli.jobs.training.denoiser import check_objective, classifier_behind, new_denoiser
from rsuq_cli.jobs.training.new_model import new_model
from rsuq_cli.jobs.training.origin import Origin, origin_of_weights
from rsuq_cli.jobs.training.request import TrainRequest
from rsuq_cli.models.custom import CustomModel
from rsuq_cli.models.denoised import Denoised
from rsuq_cli.models.fingerprint import fingerprint_of
from rsuq_cli.models.partly_trained import FrozenBody, PartlyTrained
from rsuq_cli.results.location import locate
from rsuq_cli.run.network.own import origin_sha256
from rsuq_cli.run.unseen import seen_images
from rsuq_cli.run.watcher import Watcher
from rsuq_cli.sampling.device import check_precision, resolve_device
from rsuq_cli.training.settings import (
    FINE_TUNING,
    Precision,
    TrainSettings,
    default_batch_size,
    default_epochs,
    default_learning_rate,
)


class Prepared(NamedTuple):
    """All that a training needs before its first epoch; `resume_file` is where an interrupted one is kept, `origin` is
    whose weights it begins with, None where they are drawn. `seen_before` are images that these, or the network that a
    denoiser is for, were trained on: what comes of the training knows them too.
    """

    device: torch.device
    training: Training
    model: nn.Module
    folder: Path
    resume_file: Path
    origin: Origin | None = None
    seen_before: tuple[SeenImages, ...] = ()

    @property
    def kept(self) -> nn.Module:
        """What the checkpoint holds of the model."""
        return self.model.kept if isinstance(self.model, PartlyTrained) else self.model


def prepared(request: TrainRequest, database: str | Path | None, watcher: Watcher) -> Prepared:
    """Returns what `request` would train; nothing is written. Raises BadInput for what cannot be trained."""
    device = resolve_device(request.machine.device)
    precision = check_precision(request.machine.precision, device)
    dataset = open_dataset(
        request.sources.dataset, data_dir=request.sources.data_dir, image_size=request.sources.image_size
    )
    name = kept_under(dataset.name, request.sources.image_size)
    behind = None
    if request.classifier is None:
        dataset.tell(watcher.say)
    else:
        behind = classifier_behind(request, device, database, watcher)
        dataset = behind.dataset
    origin = None if request.init is None else origin_of_weights(request.init, database)
    if origin is not None and request.sources.pretrained:
        raise BadInput("both --init and --pretrained are given", "a training begins with one of them")
    if request.frozen_body and not (origin or request.sources.pretrained):
        raise BadInput("--frozen-body without --init or --pretrained", "drawn layers are of no use as they are")
    settings = _settings(request, dataset, precision, _begins_with(request, origin))
    if behind is None:
        check_objective(request.objective, request.parameters, request.sigma)
    else:
        settings = replace(settings, classifier=behind.model.weights_sha256)
    if not len(dataset.indices("train")):
        raise BadInput(f"{dataset.name} has no training data", "give a data set with a train part")
    model, custom = (
        new_model(request.sources.model, dataset, request.seed, request.sources.pretrained, watcher)
        if behind is None
        else (new_denoiser(request.sources.model, dataset.shape, request.seed), None)
    )
    if request.checkpoint_dir:
        _check_folder(request.checkpoint_dir)
    folder = request.checkpoint_dir or default_checkpoint_dir(database)
    resume_file = folder / f"{_slot(request, custom, name, settings)}.partial"
    # The code of a user's own network may change between two calls; that of the zoo does not.
    untrained = fingerprint_of(model.eval(), dataset.shape) if custom else None
    training = Training(request.sources.model, custom, untrained, dataset, name, settings)
    if origin is not None:
        origin.load_into(model, watcher)
    if behind is not None:
        model = Denoised(model, behind.model.module)
    elif request.frozen_body:
        model = FrozenBody(model.eval(), dataset.shape, request.sources.model)
    before = (seen_images(behind.model.metadata) if behind else None, origin.seen() if origin else None)
    return Prepared(device, training, model.train(), folder, resume_file, origin, tuple(filter(None, before)))


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
        frozen_body=request.frozen_body,
        compiled=bool(request.machine.compile),
    )


def default_checkpoint_dir(database: str | Path | None) -> Path:
    """Returns the folder for checkpoints: beside the database file, or in the user's data directory for a server."""
    path = locate(database).path
    return (path.parent if path else Path(platformdirs.user_data_dir("rsuq"))) / "checkpoints"


def _check_folder(folder: Path) -> None:
    """Raises BadInput where a checkpoint could not be written; makes nothing."""
    stands = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not (stands.is_dir() and os.access(stands, os.W_OK)):
        raise BadInput(f"checkpoints cannot be written to {folder}", "name another folder with --checkpoint-dir")


def _slot(request: TrainRequest, custom: CustomModel | None, dataset: str, settings: TrainSettings) -> str:
    """Returns a name for the state of a training in progress; equal requests share it."""
    model = origin_sha256(custom.origin, custom.spec) if custom else request.sources.model
    key = json.dumps([model, dataset, settings.recorded()], sort_keys=True, default=str)
    return f"training-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
