"""Consistency regularisation: predictions under noise are drawn to their mean (Jeong and Shin 2020)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from rsuq_cli.training.objectives.base import (
    Batch,
    UnderNoise,
    Value,
    check,
    divergence,
    draw,
    entropy,
    log_mean,
    log_softmaxes,
    repeated,
)


@dataclass(frozen=True)
class Consistency(UnderNoise):
    """mean CE + weight · mean KL(π̄‖π_j) + entropy_weight · H(π̄), gradients through the mean π̄, too."""

    noises: int = 2
    weight: float = 10.0
    entropy_weight: float = 0.5

    published: ClassVar[Mapping[float, Mapping[str, Value]]] = {0.25: {"weight": 20.0}, 0.5: {}, 1.0: {}}

    def __post_init__(self) -> None:
        super().__post_init__()
        check("weight", self.weight, self.weight >= 0, "at least 0")
        check("entropy_weight", self.entropy_weight, self.entropy_weight >= 0, "at least 0")

    def __call__(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Returns the loss."""
        noise = draw(batch.images, self.noises, batch.sigma, batch.generator)
        logits = model(noise.add_(repeated(batch.images, self.noises)))
        return F.cross_entropy(logits, repeated(batch.labels, self.noises)) + self.regularisation(logits)

    def regularisation(self, logits: torch.Tensor) -> torch.Tensor:
        """Returns what is added to the cross entropy of logits `[N · noises, K]`."""
        log_p = log_softmaxes(logits, self.noises)
        mean = log_mean(log_p)
        spread = divergence(mean[:, None].expand_as(log_p), log_p).mean()
        return self.weight * spread + self.entropy_weight * entropy(mean).mean()


OBJECTIVE = Consistency
