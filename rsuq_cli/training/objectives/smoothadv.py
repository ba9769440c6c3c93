"""SmoothAdv: adversarial training of the smoothed classifier (Salman et al. 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from rsuq_cli.training.objectives.attack import attacked, mean_loss
from rsuq_cli.training.objectives.base import Batch, UnderNoise, Value, check, draw, repeated, warmed


@dataclass(frozen=True)
class SmoothAdv(UnderNoise):
    """Cross entropy under the same noise at the worst point within `epsilon` (pixel units, l2) that `steps` steps find.

    Epsilon grows over the share `warm_up` of the epochs.
    """

    noises: int = 4
    epsilon: float = 1.0
    steps: int = 10
    warm_up: float = 1 / 15

    published: ClassVar[Mapping[float, Mapping[str, Value]]] = {
        0.25: {}, 0.5: {"noises": 8}, 1.0: {"noises": 2, "epsilon": 2.0}
    }  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        check("epsilon", self.epsilon, self.epsilon >= 0, "at least 0, in pixel units")
        check("steps", self.steps, self.steps >= 1, "at least 1")
        check("warm_up", self.warm_up, 0 <= self.warm_up <= 1, "a share of the epochs, from 0 to 1")

    def passes(self, sigma: float) -> float:
        """Returns what it costs: every step of the attack, and the step of training, on every noise."""
        return float(self.noises * (self.steps + 1))

    def __call__(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Returns the loss."""
        noise = draw(batch.images, self.noises, batch.sigma, batch.generator)
        images, epsilon = batch.images, self.epsilon * warmed(batch.progress, self.warm_up)
        if epsilon > 0:
            *_, images = attacked(
                model, images, noise, mean_loss(batch.labels, self.noises), steps=self.steps,
                length=2 * epsilon / self.steps, epsilon=epsilon,
            )  # fmt: skip
        return F.cross_entropy(model(noise.add_(repeated(images, self.noises))), repeated(batch.labels, self.noises))


OBJECTIVE = SmoothAdv
