"""SmoothMix: images mixed with their own adversarial points, which are told to be uncertain (Jeong et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from rsuq_cli.training.objectives.attack import attacked, mean_loss
from rsuq_cli.training.objectives.base import (
    Batch,
    UnderNoise,
    Value,
    check,
    divergence,
    draw,
    log_mean,
    log_softmaxes,
    repeated,
    warmed,
)


@dataclass(frozen=True)
class SmoothMix(UnderNoise):
    """mean CE at x̂ + weight · mean KL(y_t‖π(x_t + ε_j)) over the images that are right.

    x_t = (1 - t) x̂ + t x*, y_t = (1 - t) π̄(x̂) + t / K, t uniform in [0, ½]; x* is `steps` steps of `step_size` (pixel
    units) up -log π̄_y, with no bound but the box. x̂ is x, or with `one_step` the point after the first step. Both the
    weight and that step grow over the share `warm_up` of the epochs.
    """

    noises: int = 2
    weight: float = 5.0
    steps: int = 4
    step_size: float = 1.0
    one_step: bool = True
    warm_up: float = 1 / 15

    published: ClassVar[Mapping[float, Mapping[str, Value]]] = {
        0.25: {"step_size": 0.5, "one_step": False}, 0.5: {}, 1.0: {"step_size": 2.0}
    }  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        check("weight", self.weight, self.weight >= 0, "at least 0")
        check("steps", self.steps, self.steps >= 0, "at least 0")
        check("step_size", self.step_size, self.step_size > 0, "above 0, in pixel units")
        check("warm_up", self.warm_up, 0 <= self.warm_up <= 1, "a share of the epochs, from 0 to 1")

    def passes(self, sigma: float) -> float:
        """Returns what it costs: every step of the attack, the images and the mixed ones, on every noise."""
        return float(self.noises * (self.steps + 2))

    def __call__(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Returns the loss; the noise is the same in attack, clean and mixed pass."""
        noise, warm = (
            draw(batch.images, self.noises, batch.sigma, batch.generator),
            warmed(batch.progress, self.warm_up),
        )
        points = [batch.images, *attacked(
            model, batch.images, noise, mean_loss(batch.labels, self.noises), steps=self.steps, length=self.step_size,
            epsilon=None,
        )]  # fmt: skip
        start = self._first(points, warm) if self.one_step and self.steps else batch.images
        share = torch.rand(len(start), device=start.device, generator=batch.generator) / 2
        wide = share.view(-1, *(1 for _ in start.shape[1:]))
        mixed = (1 - wide) * start + wide * points[-1]
        logits = model(torch.cat([repeated(start, self.noises) + noise, repeated(mixed, self.noises) + noise]))
        clean, of_mixed = logits.chunk(2)
        loss = F.cross_entropy(clean, repeated(batch.labels, self.noises))
        return loss + self.weight * warm * self.disagreement(clean, of_mixed, share, batch.labels)

    def disagreement(
        self, clean: torch.Tensor, mixed: torch.Tensor, share: torch.Tensor, labels: torch.Tensor
    ) -> torch.Tensor:  # fmt: skip
        """Returns the mean KL of the softened mean prediction to that of the mixed images; a wrong image counts 0."""
        mean = log_mean(log_softmaxes(clean, self.noises))
        classes = mean.shape[1]
        spread = (share[:, None] / classes).clamp_min(1e-20).log().expand_as(mean)
        target = torch.logaddexp(mean + torch.log1p(-share)[:, None], spread)
        apart = divergence(target[:, None].expand(-1, self.noises, -1), log_softmaxes(mixed, self.noises)).mean(dim=1)
        return torch.where(mean.argmax(dim=1) == labels, apart, 0.0).mean()

    def _first(self, points: list[torch.Tensor], warm: float) -> torch.Tensor:
        """Returns the point after the first step, no farther away than the warm-up lets it be."""
        shift: torch.Tensor = points[1] - points[0]
        size = shift.flatten(1).norm(dim=1).view(-1, *(1 for _ in shift.shape[1:]))
        first: torch.Tensor = points[0] + shift * (self.step_size * warm / size.clamp_min(1e-8)).clamp_max(1.0)
        return first


OBJECTIVE = SmoothMix
