"""A denoiser to be trained: drawn, in front of a network that stays as it is.

Invariant: the network is the one that certify would open, normalisation and classes included, and is known by the bytes
of its weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from rsuq_cli.errors import BadInput
from rsuq_cli.jobs.training.origin import origin_of_weights
from rsuq_cli.jobs.training.request import TrainRequest
from rsuq_cli.models.checkpoints import metadata_of
from rsuq_cli.models.custom import is_custom
from rsuq_cli.models.denoiser import DENOISERS
from rsuq_cli.models.denoising import build_denoiser
from rsuq_cli.models.spec import is_library
from rsuq_cli.models.zoo import NAMES, Shape
from rsuq_cli.run.network.own import NETWORK
from rsuq_cli.run.request import Sources
from rsuq_cli.run.sources import Opened, open_sources
from rsuq_cli.run.watcher import Watcher
from rsuq_cli.spelling import path_of
from rsuq_cli.training.objectives.base import Value
from rsuq_cli.training.objectives.registry import objective_named


def check_objective(name: str, parameters: Mapping[str, Value], sigma: float) -> None:
    """Raises BadInput for an objective of denoisers where none is trained."""
    if objective_named(name, parameters, sigma=sigma).of_denoiser:
        raise BadInput(
            f"the objective {name} trains a denoiser", f"give --denoiser {DENOISERS[0]} and --for CHECKPOINT with it"
        )


def new_denoiser(name: str, shape: Shape, seed: int) -> nn.Module:
    """Returns a denoiser with weights drawn from a seed; raises BadInput for an unknown name."""
    torch.manual_seed(seed)
    return build_denoiser(name, shape[0])


def classifier_behind(
    request: TrainRequest, device: torch.device, database: str | Path | None, watcher: Watcher
) -> Opened:  # fmt: skip
    """Returns the network that a denoiser is trained for, and the data with its classes.

    Raises BadInput where there is no such network, and for a denoiser in its place.
    """
    sources = _sources(request, database)
    if sources.model in DENOISERS:
        raise BadInput(f"--for {request.classifier} is a denoiser", "name the network that it is to stand before")
    return open_sources(sources, request.sigma, device, database, watcher, denoised=True)


def _sources(request: TrainRequest, database: str | Path | None) -> Sources:
    named, data = request.classifier or "", replace(request.sources, model=request.classifier or "")
    if is_library(named):
        return replace(data, pretrained=True)
    if named in NAMES or (is_custom(named) and not path_of(named).is_file()):
        return data
    origin = origin_of_weights(named, database)
    if origin.checkpoint is not None:
        network = origin.checkpoint.configuration.get(NETWORK)
        place = path_of(network["file"]) if network else None
        return replace(data, model=origin.checkpoint.model, checkpoint=str(origin.checkpoint.id), factory_file=place)
    known = metadata_of(origin.file)
    if known is None:
        raise BadInput(
            f"{origin.file.name} does not say of which network it is",
            f"rsuq models import {origin.file} --model MODEL, and give --for its number",
        )
    return replace(data, model=known.model, weights=origin.file)
