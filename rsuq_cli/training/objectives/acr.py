"""Training for the average certified radius openly: easy images often, hard ones not at all (Liu et al. 2024,
arXiv 2410.06895).

The figure it is trained for rewards easy inputs; read its accuracy, and that of the hardest inputs, beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from rsuq_cli.certificates.bounds import clopper_pearson_lower
from rsuq_cli.training.objectives.attack import frozen
from rsuq_cli.training.objectives.base import Batch, Data, UnderNoise, Value, check, draw, repeated

WEIGHTS, MEASURED = "sampling_weights", "weights_measured_at"
# Noises that decide which images stay, and those that say how often one comes; the lower bound's alpha (published).
_FIRST, _LATER, _ALPHA = 100, 16, 0.1
_LEAST_SHARE = 0.75
_CHUNK = 1024


@dataclass(frozen=True)
class Acr(UnderNoise):
    """Cross entropy at noise that is moved on its own sphere until the network errs, `steps` steps of `step_size`.

    After the share `easy_from` of the epochs, images that the network is right about under less than `least_right` of
    the noise are dropped, and the others come in proportion to the quantile of a lower bound of that share, measured
    anew whenever the share `refresh` of the epochs has passed.
    """

    noises: int = 4
    steps: int = 6
    step_size: float = 0.25
    easy_from: float = 7 / 15
    least_right: float = 0.4
    refresh: float = 1 / 15

    published: ClassVar[Mapping[float, Mapping[str, Value]]] = {
        0.25: {"steps": 3, "easy_from": 0.4, "least_right": 0.5},
        0.5: {},
        1.0: {"steps": 4, "step_size": 0.5, "easy_from": 0.4},
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        check("steps", self.steps, self.steps >= 0, "at least 0")
        check("step_size", self.step_size, self.step_size > 0, "above 0, in pixel units")
        check("least_right", self.least_right, 0 <= self.least_right < 1, "a share of the noise, from 0 up to 1")
        for name in ("easy_from", "refresh"):
            check(name, getattr(self, name), 0 <= getattr(self, name) <= 1, "a share of the epochs, from 0 to 1")

    def passes(self, sigma: float) -> float:
        """Returns what it costs: every step of the attack, and the step of training, on every noise."""
        return float(self.noises * (self.steps + 1))

    def order(self, model: nn.Module, data: Data) -> torch.Tensor:
        """Returns the positions of the images in the order in which an epoch takes them; easy ones come often."""
        if data.before < self.easy_from:
            return super().order(model, data)
        weights = data.memory.get(WEIGHTS)
        if weights is None or data.before - float(data.memory[MEASURED]) >= self.refresh - 1e-9:
            weights = self._weights(model, data)
            data.memory[WEIGHTS], data.memory[MEASURED] = weights, torch.tensor(data.before, dtype=torch.float64)
        return torch.multinomial(weights, len(data.labels), replacement=True, generator=data.generator)

    def _weights(self, model: nn.Module, data: Data) -> torch.Tensor:
        """Returns how often every image is to come, 0 for those that are dropped, which stay so."""
        before = data.memory.get(WEIGHTS)
        if before is None:
            kept = _right(model, data, _FIRST) >= self.least_right * _FIRST
            kept = kept if bool(kept.any()) else torch.ones_like(kept)
        else:
            kept = before > 0
        lower = clopper_pearson_lower(np.arange(_LATER + 1), _LATER, _ALPHA)
        quantiles = torch.special.ndtri(torch.from_numpy(np.maximum(lower, _LEAST_SHARE))).float().to(kept.device)
        return torch.where(kept, quantiles[_right(model, data, _LATER)], 0.0)

    def __call__(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """Returns the loss."""
        noise = draw(batch.images, self.noises, batch.sigma, batch.generator)
        images, labels = repeated(batch.images, self.noises), repeated(batch.labels, self.noises)
        return F.cross_entropy(model(images + self.moved(model, images, noise, labels)), labels)

    def moved(
        self, model: nn.Module, images: torch.Tensor, noise: torch.Tensor, labels: torch.Tensor
    ) -> torch.Tensor:  # fmt: skip
        """Returns the noise `[M, C, H, W]` moved on its sphere; a draw stops where the network errs."""
        shape = (-1, *(1 for _ in noise.shape[1:]))
        size = noise.flatten(1).norm(dim=1).view(shape)
        for _ in range(self.steps):
            with frozen(model), torch.enable_grad():
                here = noise.detach().requires_grad_()
                logits = model(images + here).float()
                (gradient,) = torch.autograd.grad(F.cross_entropy(logits, labels, reduction="sum"), here)
            step = self.step_size * gradient / gradient.flatten(1).norm(dim=1).clamp_min(1e-8).view(shape)
            there = noise + step
            there = there * (size / there.flatten(1).norm(dim=1).clamp_min(1e-8).view(shape))
            noise = torch.where((logits.argmax(dim=1) == labels).view(shape), there, noise)
        return noise


def _right(model: nn.Module, data: Data, noises: int) -> torch.Tensor:
    """Returns under how many of so many noises the network is right about every image, `[N]`."""
    found = torch.zeros(len(data.labels), dtype=torch.int64, device=data.labels.device)
    with frozen(model), torch.no_grad():
        for begin in range(0, len(found), _CHUNK):
            part = slice(begin, begin + _CHUNK)
            for _ in range(noises):
                images = data.pixels(part)
                noisy = draw(images, 1, data.sigma, data.generator).add_(images)
                found[part] += model(noisy).argmax(dim=1) == data.labels[part]
    return found


OBJECTIVE = Acr
