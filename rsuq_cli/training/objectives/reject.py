"""Training for a classifier that may say "I don't know": both certified radii, softly, beside another objective.

What a rejected sample is worth is the derivative of the radii in the certain masses, which is large where hardly any
mass is left to lose (docs/objectives.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from rsuq_cli.training.objectives.base import Batch, Data, UnderNoise, Value, check, draw, log_softmaxes, repeated

THRESHOLD = "threshold"
# How slowly the threshold follows the quantile of the uncertainty, and masses nearer to 0 or 1 than this weigh alike.
_MOMENTUM, _LEAST = 0.9, 1e-3


@dataclass(frozen=True)
class Reject(UnderNoise):
    """base - weight · mean a [ Φ⁻¹(1 - q_wrong) + price · Φ⁻¹(q_own) ] + coverage_weight · (coverage - mean s)₊².

    Of `noises` draws with softmax π_j: s_j = sigmoid((θ - u_j) / width) is how certain a sample is, u the margin
    1 - (p₁ - p₂) and θ the running quantile of u at the coverage; q_own = mean s π_y, q_wrong = mean s (1 - π_y), and a
    is 1 where the mean prediction is right. Gradients of the radii pass through s alone.
    """

    noises: int = 4
    base: str = "gaussian"
    weight: float = 0.1
    price: float = 1.0
    coverage: float = 0.9
    coverage_weight: float = 1.0
    width: float = 0.1

    published: ClassVar[Mapping[float, Mapping[str, Value]]] = {}

    def __post_init__(self) -> None:
        super().__post_init__()
        check("base", self.base, self.base != "reject", "another objective")
        self._base(0.25)  # an unknown one is refused before anything is trained
        check("coverage", self.coverage, 0 < self.coverage < 1, "a share, above 0 and below 1")
        check("width", self.width, self.width > 0, "above 0")
        for name in ("weight", "price", "coverage_weight"):
            check(name, getattr(self, name), getattr(self, name) >= 0, "at least 0")

    def passes(self, sigma: float) -> float:
        """Returns what it costs: its own noises, and what the other objective takes with its defaults at this sigma."""
        return self.noises + self._base(sigma).passes(sigma)

    def _base(self, sigma: float) -> UnderNoise:
        from rsuq_cli.training.objectives.registry import objective_named

        return objective_named(self.base, sigma=sigma)

    def order(self, model: nn.Module, data: Data) -> torch.Tensor:
        """Returns the positions of the images in the order that the other objective takes them in."""
        return self._base(data.sigma).order(model, data)

    def __call__(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Returns the loss."""
        loss = self._base(batch.sigma)(model, batch)
        noise = draw(batch.images, self.noises, batch.sigma, batch.generator)
        log_p = log_softmaxes(model(noise.add_(repeated(batch.images, self.noises))), self.noises)
        certain = self.certainty(log_p, batch.memory)
        radii = self.radii(log_p.detach().exp(), certain, batch.labels)
        short = (self.coverage - certain.mean()).clamp_min(0.0).square()
        return loss - self.weight * radii.mean() + self.coverage_weight * short

    def certainty(self, log_p: torch.Tensor, memory: dict[str, torch.Tensor]) -> torch.Tensor:
        """Returns how certain every sample is, `[N, m]`, of `log_p` `[N, m, K]`; the threshold moves on."""
        top = log_p.exp().topk(2, dim=2).values
        uncertainty = 1 - top[..., 0] + top[..., 1]
        here = uncertainty.detach().flatten().quantile(self.coverage)
        before = memory.get(THRESHOLD)
        memory[THRESHOLD] = here if before is None else _MOMENTUM * before + (1 - _MOMENTUM) * here
        return torch.sigmoid((memory[THRESHOLD] - uncertainty) / self.width)

    def radii(self, p: torch.Tensor, certain: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Returns Φ⁻¹(1 - q_wrong) + price · Φ⁻¹(q_own) of images `[N]`, in units of sigma; 0 where one is wrong."""
        own = p.gather(2, labels.view(-1, 1, 1).expand(-1, p.shape[1], 1))[..., 0]
        q_own, q_wrong = ((certain * part).mean(dim=1).clamp(_LEAST, 1 - _LEAST) for part in (own, 1 - own))
        right = p.mean(dim=1).argmax(dim=1) == labels
        return torch.where(right, -torch.special.ndtri(q_wrong) + self.price * torch.special.ndtri(q_own), 0.0)


OBJECTIVE = Reject
