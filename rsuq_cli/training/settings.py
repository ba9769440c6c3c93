"""What a training run is: its settings, their defaults, and the learning rate of every step.

Invariant: the learning rate is a function of the settings and the step alone, so a resumed run needs no schedule state.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from rsuq_cli.datasets.dataset import Dataset
from rsuq_cli.errors import BadInput, nearest
from rsuq_cli.models.denoiser import DENOISERS
from rsuq_cli.training.objectives.base import Value
from rsuq_cli.training.objectives.registry import objective_named, parameters_of

Schedule = Literal["one-cycle", "cosine"]
Precision = Literal["fp32", "tf32", "bf16"]
SCHEDULES: tuple[Schedule, ...] = ("one-cycle", "cosine")
PRECISIONS: tuple[Precision, ...] = ("fp32", "tf32", "bf16")

# More is no number in single precision.
LARGEST_RATE = 1e38

# Of all steps, the share in which one-cycle rises, and cosine warms up (large first steps upset batch norm).
RISING_SHARE = {"one-cycle": 0.3, "cosine": 0.02}


# Settings that trainings from before there were any do not record: what they are where they are not in use.
LATER: Mapping[str, Value] = {"init": "", "ema": 0.0, "classifier": "", "frozen_body": False, "compiled": False}


@dataclass(frozen=True)
class TrainSettings:
    """Settings of one training run; equal settings, data and initial weights give equal results on one device.

    `sigma` is the noise in pixel units, `learning_rate` the highest of the schedule. `precision` is that of
    multiplications on CUDA: `fp32`, `tf32`, or `bf16` (autocast); `amp` stands for `bf16` too. Elsewhere all is fp32.
    `parameters` are those of the objective, all of them once it is made. `init` is the sha256 of the weights that it
    begins with, "" where they are drawn. `ema` is the decay of averaged weights, 0 where they are not averaged.
    `classifier` is the sha256 of the weights behind a denoiser that is trained, `frozen_body` trains the last layer
    alone. `compiled` asks for torch's compiler, which rounds otherwise, so that it makes another network.
    Raises BadInput for a value out of its range or an unknown name.
    """

    sigma: float
    epochs: int
    batch_size: int = 128
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: Schedule = "one-cycle"
    objective: str = "gaussian"
    seed: int = 0
    amp: bool = False
    precision: Precision = "fp32"
    parameters: Mapping[str, Value] = field(default_factory=dict)
    init: str = ""
    ema: float = 0.0
    classifier: str = ""
    frozen_body: bool = False
    compiled: bool = False

    def __post_init__(self) -> None:
        ranges = (
            ("sigma", self.sigma > 0, "above 0, in pixel units: 0.25 is a common value"),
            ("epochs", self.epochs >= 1, "at least 1"),
            ("batch size", self.batch_size >= 2, "at least 2, as batch norm needs"),
            ("learning rate", 0 < self.learning_rate <= LARGEST_RATE, f"above 0, and at most {LARGEST_RATE:g}"),
            ("momentum", 0 <= self.momentum < 1, "from 0 up to 1"),
            ("ema", 0 <= self.ema < 1, "from 0 up to 1, such as 0.999"),
            ("weight decay", self.weight_decay >= 0, "at least 0"),
            ("seed", self.seed >= 0, "at least 0"),
        )
        for name, holds, must in ranges:
            value = getattr(self, name.replace(" ", "_"))
            if not (holds and math.isfinite(value)):
                raise BadInput(f"{name} is {value}", f"it must be {must}")
        choices = (("schedule", SCHEDULES), ("precision", PRECISIONS))
        for name, known in choices:
            if getattr(self, name) not in known:
                raise BadInput(f"there is no {name} {getattr(self, name)!r}", nearest(str(getattr(self, name)), known))
        parameters = parameters_of(objective_named(self.objective, self.parameters, sigma=self.sigma))
        object.__setattr__(self, "parameters", parameters)

    def recorded(self) -> dict[str, Any]:
        """Returns every setting by name, as it is kept; what came later only where it is in use."""
        absent = {name for name in ("parameters", *LATER) if not getattr(self, name)}
        return {name: value for name, value in asdict(self).items() if name not in absent}

    @property
    def autocast(self) -> bool:
        """Whether a CUDA device multiplies in bfloat16."""
        return self.amp or self.precision == "bf16"


def learning_rate(settings: TrainSettings, step: int, steps: int) -> float:
    """Returns the learning rate of `step` in 0..steps−1: a straight rise, then half a cosine down to nearly 0.

    `one-cycle` rises over the first 30 % (Smith & Topin 2019), `cosine` over the first 2 % (Loshchilov & Hutter 2017).
    """
    rising = max(1, round(RISING_SHARE[settings.schedule] * steps))
    if step < rising:
        return settings.learning_rate * (step + 1) / rising
    done = (step - rising + 1) / (steps - rising + 1)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


# Of a training that begins with weights: the share of the usual epochs, and of the usual learning rate.
FINE_TUNING = 0.1


def default_epochs(model: str, dataset: Dataset) -> int:
    """Returns how many epochs suit a model on a data set: those of Cohen et al. 2019 (90), fewer for small networks.

    The small networks see 100,000 images, and no fewer than eight epochs: about ten seconds on the digits. Denoisers
    see 50,000, which takes longer: they are convolutions at full size.
    """
    seen = {"mlp": 100_000, "cnn": 100_000} | dict.fromkeys(DENOISERS, 50_000)
    if model not in seen:
        return 90
    images = len(dataset.indices("train"))
    return max(8, math.ceil(seen[model] / max(1, images)))


def default_batch_size(dataset: Dataset) -> int:
    """Returns 128, or 64 below 10,000 training images, where larger batches leave too few steps."""
    return 64 if len(dataset.indices("train")) < 10_000 else 128


def default_learning_rate(model: str) -> float:
    """Returns the highest learning rate that trains a model safely; without batch norm it must be lower."""
    return {"mlp": 0.05, "vit_b_16": 0.01, "dncnn": 0.02, "unet": 0.05}.get(model, 0.1)
