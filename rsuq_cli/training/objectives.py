"""Training objectives: what is minimised on a batch, by name.

Invariant: an objective sees clean pixels in [0, 1] and adds its own noise, fresh at every call, from the generator
that it is given and from nothing else.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import nn
from torch.nn import functional as F

from rsuq_cli.errors import BadInput, nearest


class Objective(Protocol):
    """Returns the mean loss over a batch, a scalar with gradient.

    `images` is `[N, C, H, W]` in [0, 1], `labels` `[N]`, `sigma` in pixel units; `generator` lives on their device.
    """

    def __call__(
        self, model: nn.Module, images: torch.Tensor, labels: torch.Tensor, *, sigma: float, generator: torch.Generator
    ) -> torch.Tensor: ...


def add_noise(images: torch.Tensor, sigma: float, generator: torch.Generator) -> torch.Tensor:
    """Returns `images + N(0, σ²)`, in pixel space and not clipped, as the certificate assumes."""
    return torch.randn(images.shape, device=images.device, generator=generator).mul_(sigma).add_(images)


def gaussian(
    model: nn.Module, images: torch.Tensor, labels: torch.Tensor, *, sigma: float, generator: torch.Generator
) -> torch.Tensor:
    """Cross entropy on inputs with Gaussian noise (Cohen et al. 2019, §3.3)."""
    return F.cross_entropy(model(add_noise(images, sigma, generator)), labels)


OBJECTIVES: dict[str, Objective] = {"gaussian": gaussian}


def objective_named(name: str) -> Objective:
    """Returns the objective; raises BadInput with the nearest names where there is none."""
    if name not in OBJECTIVES:
        raise BadInput(f"there is no objective {name!r}", nearest(name, OBJECTIVES))
    return OBJECTIVES[name]
