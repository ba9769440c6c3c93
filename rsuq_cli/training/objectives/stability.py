"""Stability training: a clean image's label, and its own clean prediction under noise (Li et al. 2019, as in Jeong and
Shin 2020).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from rsuq_cli.training.objectives.base import Batch, UnderNoise, Value, check, draw, log_softmaxes, repeated


@dataclass(frozen=True)
class Stability(UnderNoise):
    """CE(f(x), y) + weight · ( -Σ_c π_c(x) log π_c(x + ε) ): gradients pass through both predictions."""

    weight: float = 2.0

    published: ClassVar[Mapping[float, Mapping[str, Value]]] = {0.25: {}, 0.5: {}, 1.0: {"weight": 1.0}}

    def __post_init__(self) -> None:
        super().__post_init__()
        check("weight", self.weight, self.weight >= 0, "at least 0")

    def passes(self, sigma: float) -> float:
        """Returns what it costs: the clean pass, and one for each noise."""
        return 1.0 + self.noises

    def __call__(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Returns the loss; one forward pass has both, so that batch statistics see them once."""
        images, count = batch.images, len(batch.images)
        noisy = draw(images, self.noises, batch.sigma, batch.generator).add_(repeated(images, self.noises))
        logits = model(torch.cat([images, noisy]))
        clean = logits[:count].float().log_softmax(dim=1)
        under_noise = log_softmaxes(logits[count:], self.noises)
        agreement = -(clean.exp()[:, None] * under_noise).sum(dim=2).mean()
        loss: torch.Tensor = F.cross_entropy(logits[:count], batch.labels) + self.weight * agreement
        return loss


OBJECTIVE = Stability
