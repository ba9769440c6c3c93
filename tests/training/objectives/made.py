"""A small network and batches for objectives: nothing trained, everything seeded."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from rsuq_cli.training.objectives.base import IMAGES, Batch, UnderNoise


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def network(classes: int = 3, *, norm: bool = False, scale: float = 1.0) -> nn.Sequential:
    torch.manual_seed(0)
    parts: list[nn.Module] = [nn.Conv2d(1, 4, 3, padding=1), *([nn.BatchNorm2d(4)] if norm else []), nn.ReLU()]
    made = nn.Sequential(*parts, nn.Flatten(), nn.Linear(4 * 16, classes))
    with torch.no_grad():
        made[-1].weight.mul_(scale)  # type: ignore[operator]
    return made


def batch(images: int = 6, *, sigma: float = 0.5, seed: int = 0, progress: float = 1.0, classes: int = 3) -> Batch:
    source = generator(100)
    pixels = torch.rand(images, 1, 4, 4, generator=source)
    labels = torch.randint(0, classes, (images,), generator=source)
    memory = {IMAGES: torch.tensor(images)}
    return Batch(pixels, labels, sigma, generator(seed), progress, torch.arange(images), memory)


def loss_of(objective: UnderNoise, model: nn.Module, **of: Any) -> torch.Tensor:
    return objective(model, batch(**of))


class Fixed(nn.Module):
    """A network whose logits are what it is told, whatever it is shown; gradients reach them."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits + 0.0 * images.flatten(1).sum(dim=1, keepdim=True)
