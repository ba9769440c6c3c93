"""Cross entropy under Gaussian noise (Cohen et al. 2019, §3.3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from rsuq_cli.training.objectives.base import Batch, UnderNoise, draw, repeated


@dataclass(frozen=True)
class Gaussian(UnderNoise):
    """Cross entropy on inputs with Gaussian noise, the mean over the noises."""

    def __call__(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Returns the loss."""
        noise = draw(batch.images, self.noises, batch.sigma, batch.generator)
        noisy = noise.add_(repeated(batch.images, self.noises))
        return F.cross_entropy(model(noisy), repeated(batch.labels, self.noises))


OBJECTIVE = Gaussian
