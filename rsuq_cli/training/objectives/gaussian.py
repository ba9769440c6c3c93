"""Cross entropy under Gaussian noise (Cohen et al. 2019, §3.3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from rsuq_cli.training.objectives.base import add_noise


@dataclass(frozen=True)
class Gaussian:
    """Cross entropy on inputs with Gaussian noise; it has no parameters."""

    def __call__(
        self, model: nn.Module, images: torch.Tensor, labels: torch.Tensor, *, sigma: float, generator: torch.Generator
    ) -> torch.Tensor:
        return F.cross_entropy(model(add_noise(images, sigma, generator)), labels)


OBJECTIVE = Gaussian
