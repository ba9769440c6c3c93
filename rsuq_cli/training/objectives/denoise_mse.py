"""What a denoiser leaves of the noise: the mean squared error (Salman et al. 2020, arXiv 2003.01908, "MSE")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from rsuq_cli.training.objectives.base import Batch, UnderNoise, denoiser_of, draw, repeated


@dataclass(frozen=True)
class DenoiseMSE(UnderNoise):
    """E‖d(x + ε) − x‖² / dim x: σ² for a denoiser that leaves everything as it is. Labels are not used."""

    of_denoiser: ClassVar[bool] = True

    def __call__(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Returns the loss; the network behind the denoiser is not asked."""
        images = repeated(batch.images, self.noises)
        noisy = draw(batch.images, self.noises, batch.sigma, batch.generator).add_(images)
        error: torch.Tensor = denoiser_of(model)(noisy).float() - images
        return error.square().mean()


OBJECTIVE = DenoiseMSE
