"""MACER: the certified radius itself, softly, as part of the loss (Zhai et al. 2020)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from rsuq_cli.training.objectives.base import Batch, UnderNoise, Value, check, draw, log_mean, log_softmaxes, repeated

# A probability nearer to 0 or 1 has no quantile that float32 could tell.
_LEAST = 1e-6


@dataclass(frozen=True)
class Macer(UnderNoise):
    """-log π̄_y + weight · (σ / 2) · (margin - ξ)₊ where the soft majority is right, ξ = Φ⁻¹(p₁) - Φ⁻¹(p₂).

    p₁ and p₂ are the two largest of the mean of softmax(sharpness · logits). For the share `deferred` of the epochs
    the second part is left out.
    """

    noises: int = 16
    weight: float = 12.0
    sharpness: float = 16.0
    margin: float = 8.0
    deferred: float = 0.0

    published: ClassVar[Mapping[float, Mapping[str, Value]]] = {
        0.25: {}, 0.5: {"weight": 6.0}, 1.0: {"deferred": 1 / 3}
    }  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        check("weight", self.weight, self.weight >= 0, "at least 0")
        check("sharpness", self.sharpness, self.sharpness > 0, "above 0")
        check("margin", self.margin, self.margin > 0, "above 0")
        check("deferred", self.deferred, 0 <= self.deferred <= 1, "a share of the epochs, from 0 to 1")

    def __call__(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Returns the loss."""
        noise = draw(batch.images, self.noises, batch.sigma, batch.generator)
        logits = model(noise.add_(repeated(batch.images, self.noises))).float()
        own = log_mean(log_softmaxes(logits, self.noises)).gather(1, batch.labels[:, None])[:, 0]
        # As published: the logarithm of the mean, a floor below it.
        loss = -torch.log(own.exp() + 1e-10)
        if batch.progress > self.deferred:
            sharp = log_mean(log_softmaxes(self.sharpness * logits, self.noises))
            loss = loss + self.weight * batch.sigma / 2 * self.shortfall(sharp, batch.labels)
        return loss.mean()

    def shortfall(self, log_p: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Returns by how much ξ falls short of the margin `[N]`, 0 where the class is wrong or ξ is enough."""
        top = log_p.topk(2, dim=1)
        is_top = torch.zeros_like(log_p, dtype=torch.bool).scatter_(1, top.indices[:, :1], True)
        # 1 - p₁ without cancellation: what all other classes have.
        rest = log_p.masked_fill(is_top, -math.inf).logsumexp(dim=1).exp()
        second = top.values[:, 1].exp()
        active = (top.indices[:, 0] == labels) & (rest > _LEAST)
        # Masked before the quantile, whose gradient is infinite at the ends.
        rest, second = (torch.where(active, p, 0.25).clamp(_LEAST, 1 - _LEAST) for p in (rest, second))
        gap = -torch.special.ndtri(rest) - torch.special.ndtri(second)
        return torch.where(active & (gap <= self.margin), self.margin - gap, 0.0)


OBJECTIVE = Macer
