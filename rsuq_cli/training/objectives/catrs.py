"""CAT-RS: as much as an image can bear (Jeong et al. 2023): its easiest noises, and robustness where all are right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from rsuq_cli.training.objectives.attack import frozen
from rsuq_cli.training.objectives.base import (
    IMAGES,
    Batch,
    UnderNoise,
    Value,
    check,
    divergence,
    draw,
    log_softmaxes,
    repeated,
)

TARGETS = "soft_targets"


@dataclass(frozen=True)
class CatRs(UnderNoise):
    """(1/m) Σ of the K smallest CE + weight · 1[K = m] · max_j KL(ŷ‖π(x + ε*_j)), K ~ Bin(m, p̂).

    p̂ is the share of the noises that the network is right about, ε* the noise moved up to `epsilon` (pixel units) away
    from the soft label ŷ in `steps` steps. The published ŷ are votes of another, Gaussian network; here they are each
    image's own predictions under noise, averaged over the epochs with `momentum`.
    """

    noises: int = 4
    weight: float = 1.0
    epsilon: float = 1.0
    steps: int = 4
    momentum: float = 0.9

    published: ClassVar[Mapping[float, Mapping[str, Value]]] = {0.25: {"weight": 0.5}, 0.5: {}, 1.0: {"weight": 2.0}}

    def __post_init__(self) -> None:
        super().__post_init__()
        check("weight", self.weight, self.weight >= 0, "at least 0")
        check("epsilon", self.epsilon, self.epsilon >= 0, "at least 0, in pixel units")
        check("steps", self.steps, self.steps >= 1, "at least 1")
        check("momentum", self.momentum, 0 <= self.momentum < 1, "from 0 up to 1")

    def passes(self, sigma: float) -> float:
        """Returns what it costs: every step of the attack, the noises and the moved noises."""
        return float(self.noises * (self.steps + 2))

    def __call__(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Returns the loss."""
        noise = draw(batch.images, self.noises, batch.sigma, batch.generator)
        images, labels = repeated(batch.images, self.noises), repeated(batch.labels, self.noises)
        logits = model(images + noise)
        losses = F.cross_entropy(logits.float(), labels, reduction="none").view(-1, self.noises)
        right = (logits.argmax(dim=1) == labels).view(-1, self.noises).float().mean(dim=1)
        target = self._target(batch, log_softmaxes(logits, self.noises).detach().exp().mean(dim=1))
        taken = self.taken(right, batch.generator)
        loss = self.easiest(losses, taken)
        borne = taken == self.noises
        if self.weight > 0 and bool(borne.any()):
            moved = self._moved(model, batch.images, noise, target)
            apart = divergence(target.log()[:, None], log_softmaxes(model(images + moved), self.noises)).amax(dim=1)
            loss = loss + self.weight * torch.where(borne, apart, 0.0).mean()
        return loss

    def taken(self, right: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Returns how many noises of every image are learned `[N]`: binomial with its share of right ones, and some."""
        drawn = torch.rand((len(right), self.noises), device=right.device, generator=generator) < right[:, None]
        return drawn.sum(dim=1).clamp_min(1)

    def easiest(self, losses: torch.Tensor, taken: torch.Tensor) -> torch.Tensor:
        """Returns the mean over the images of the smallest losses `[N, m]`, so many of each, divided by m."""
        ordered = losses.sort(dim=1).values
        place = torch.arange(self.noises, device=losses.device)
        return torch.where(place < taken[:, None], ordered, 0.0).sum(dim=1).mean() / self.noises

    def _target(self, batch: Batch, predicted: torch.Tensor) -> torch.Tensor:
        """Returns the soft label of every image `[N, K]`, and keeps it with the new prediction in it."""
        kept = batch.memory.get(TARGETS)
        if kept is None or kept.shape[1] != predicted.shape[1]:
            size = (int(batch.memory[IMAGES]), predicted.shape[1])
            kept = batch.memory[TARGETS] = torch.zeros(size, device=predicted.device)
        before = kept[batch.rows]
        fresh = before.sum(dim=1, keepdim=True) == 0
        kept[batch.rows] = torch.where(fresh, predicted, self.momentum * before + (1 - self.momentum) * predicted)
        return kept[batch.rows].clamp_min(1e-12)

    def _moved(
        self, model: nn.Module, images: torch.Tensor, noise: torch.Tensor, target: torch.Tensor
    ) -> torch.Tensor:  # fmt: skip
        """Returns the noise moved away from the soft label, each draw by itself, with its own mean and deviation."""
        many, moved = repeated(images, self.noises), noise
        shape = (-1, *(1 for _ in images.shape[1:]))
        mean, deviation = noise.flatten(1).mean(dim=1).view(shape), noise.flatten(1).std(dim=1).view(shape)
        for _ in range(self.steps if self.epsilon > 0 else 0):
            with frozen(model), torch.enable_grad():
                here = moved.detach().requires_grad_()
                apart = divergence(target.log()[:, None], log_softmaxes(model(many + here), self.noises))
                (gradient,) = torch.autograd.grad(apart.sum(), here)
            size = gradient.flatten(1).norm(dim=1).clamp_min(1e-8).view(shape)
            shift = moved + 2 * self.epsilon / self.steps * gradient / size - noise
            reach = shift.flatten(1).norm(dim=1).clamp_min(1e-8).view(shape)
            moved = noise + shift * (self.epsilon / reach).clamp_max(1.0)
            own = moved.flatten(1).mean(dim=1).view(shape)
            spread = moved.flatten(1).std(dim=1).clamp_min(1e-8).view(shape)
            moved = (moved - own) * (deviation / spread) + mean
        return moved.detach()


OBJECTIVE = CatRs
