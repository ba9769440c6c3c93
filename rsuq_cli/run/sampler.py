"""The engine of a run: certify, audit and predict sample through it, so that all speak of the same function.

Invariant: model, noise, precision and preparation are those of the settings; grid noise is only ever added to 8-bit
inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from rsuq_cli.certificates.evidence import MeasureEdges
from rsuq_cli.datasets.dataset import Dataset
from rsuq_cli.errors import BadInput
from rsuq_cli.fingerprint import Fingerprint
from rsuq_cli.models.denoised import behind, open_denoiser
from rsuq_cli.models.denoiser import Denoiser
from rsuq_cli.models.fingerprint import fingerprint_of
from rsuq_cli.models.loading import LoadedModel, open_model
from rsuq_cli.models.member import Member
from rsuq_cli.models.members import joined, opened_members, under_dropout
from rsuq_cli.models.monte_carlo import MonteCarlo
from rsuq_cli.models.statistics import Statistics
from rsuq_cli.sampling.counter_noise import gaussian_noise
from rsuq_cli.sampling.device import Precision
from rsuq_cli.sampling.engine import Engine
from rsuq_cli.sampling.forward import Preparation
from rsuq_cli.sampling.grid_noise import GridNoise
from rsuq_cli.sampling.noise import Perturbation
from rsuq_cli.sampling.workers import Crew, Sampler, Solo
from rsuq_cli.uncertainty.predictor import PLAIN, Predictor
from rsuq_cli.uncertainty.rejecter import Rejecter

# Floating-point operations that a job must have for compiling to pay back, about ten minutes of two CPU cores or a
# minute of a GPU. They are counted, not timed: the same job is always decided alike, so that it can be resumed.
_WORTH_COMPILING = {"cpu": 1e14, "cuda": 1e15}


class Sampling(NamedTuple):
    """How a model is sampled; `sigma` in pixel units, `noise` "gaussian" or "grid".

    `allowed` is what may be done to the model for speed: of a run that is gone on with, what was done then.
    `generator` is what made the noise of such a run, where it says so. `rejecter` is the one that the predictor names.
    """

    sigma: float
    seed: int
    noise: str
    device: torch.device
    precision: Precision
    batch_size: int | None = None
    compiled: bool = False
    allowed: Preparation | None = None
    predictor: Predictor = PLAIN
    generator: str | None = None
    rejecter: Rejecter | None = None


class Recipe(NamedTuple):
    """How a worker opens the same model again."""

    spec: str
    shape: tuple[int, int, int]
    num_classes: int
    weights: Path | None
    mean: Sequence[float] | None
    std: Sequence[float] | None
    weights_sha256: str
    fingerprint: Fingerprint
    factory_file: Path | None = None
    members: tuple[Member, ...] = ()
    monte_carlo: MonteCarlo | None = None
    denoiser: Denoiser | None = None


def open_sampler(engine: Engine, recipe: Recipe, sampling: Sampling, devices: Sequence[torch.device]) -> Sampler:
    """Returns the engine itself for one device, else one worker for each, sampling as the engine would."""
    if len(devices) == 1:
        return Solo(engine)
    same = sampling._replace(compiled=engine.preparation.compiled, allowed=engine.preparation)
    make = partial(_engine_of_worker, recipe, same, engine.batch_size)
    return Crew(make, [str(device) for device in devices], engine.batch_size)


def _engine_of_worker(recipe: Recipe, sampling: Sampling, batch_size: int, device: str) -> Engine:
    model = open_model(
        recipe.spec, shape=recipe.shape, num_classes=recipe.num_classes, weights=recipe.weights, mean=recipe.mean,
        std=recipe.std, file=recipe.factory_file,
    )  # fmt: skip
    if model.weights_sha256 != recipe.weights_sha256:
        raise BadInput(f"{recipe.spec} makes other weights in every process", "save them and give --weights")
    normalisation = Statistics(tuple(recipe.mean), tuple(recipe.std)) if recipe.mean and recipe.std else None
    others = opened_members(
        recipe.members, shape=recipe.shape, num_classes=recipe.num_classes, normalisation=normalisation
    )
    denoiser = open_denoiser(recipe.denoiser, recipe.shape) if recipe.denoiser else None
    model = behind(joined(model, others), denoiser)
    if not fingerprint_of(model.module, recipe.shape).agrees(recipe.fingerprint):
        raise BadInput(
            f"{recipe.spec} computes something else in every process", "keep what it computes in its weights"
        )
    model = under_dropout(model, recipe.monte_carlo, recipe.shape)
    there = sampling._replace(device=torch.device(device), batch_size=batch_size)
    return _engine(model, recipe.shape, recipe.num_classes, there)


def worth_compiling(
    model: LoadedModel, shape: tuple[int, int, int], samples: int, device: torch.device, wanted: bool | None = None
) -> bool:
    """Returns what is wanted, or whether a job of so many samples is long enough for torch.compile to pay back."""
    if wanted is not None:
        return wanted
    if device.type not in _WORTH_COMPILING:
        return False
    # A weight is used at most once for every pixel. Most jobs are small by this bound already, and counting imports
    # the compiler, which takes longer than a small job.
    weights = sum(parameter.numel() for parameter in model.module.parameters())
    if 2.0 * weights * shape[1] * shape[2] * samples < _WORTH_COMPILING[device.type]:
        return False
    from torch.utils.flop_counter import FlopCounterMode

    # The network may have been moved to its device already.
    place = next((parameter.device for parameter in model.module.parameters()), torch.device("cpu"))
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model.module(torch.zeros(2, *shape, device=place))
    return float(counter.get_total_flops()) / 2 * samples >= _WORTH_COMPILING[device.type]


def open_engine(model: LoadedModel, dataset: Dataset, sampling: Sampling) -> Engine:
    """Returns an engine for inputs of the data set's shape and classes."""
    return _engine(model, dataset.shape, dataset.num_classes, sampling)


def _engine(model: LoadedModel, shape: tuple[int, int, int], num_classes: int, sampling: Sampling) -> Engine:
    noise: Perturbation
    if sampling.noise == "grid":
        noise = GridNoise(sampling.sigma, sampling.seed, shape, sampling.device, sampling.generator)
    else:
        noise = gaussian_noise(
            seed=sampling.seed, sigma=sampling.sigma, shape=shape, device=sampling.device, generator=sampling.generator
        )
    return Engine(
        model.module, shape=shape, num_classes=num_classes, sigma=sampling.sigma, seed=sampling.seed,
        device=sampling.device, precision=sampling.precision, batch_size=sampling.batch_size,
        compiled=sampling.compiled, noise=noise, allowed=sampling.allowed, predictor=sampling.predictor,
        rejecter=sampling.rejecter,
    )  # fmt: skip


def edges_at(measure: str, threshold: float) -> dict[str, MeasureEdges]:
    """Returns bins that count at one threshold (a float32 value or infinity) of one measure, and nothing else."""
    return {measure: MeasureEdges(np.array([threshold]), np.array([1.0]))}


def check_eight_bit(images: torch.Tensor, name: str) -> None:
    """Raises BadInput unless images are 8-bit: what grid noise is exact for."""
    if images.dtype != torch.uint8:
        raise BadInput(
            f"grid noise is for 8-bit inputs, and {name} holds floats",
            "store pixels as uint8, or use --noise gaussian",
        )
