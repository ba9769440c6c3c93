"""What an objective is, and the noise that all of them train under.

Invariant: an objective sees clean pixels in [0, 1] and adds its own noise, fresh at every call, from the generator
that it is given and from nothing else.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import nn


class Objective(Protocol):
    """The mean loss over a batch, a scalar with gradient.

    An objective is a frozen dataclass: its fields are its parameters, numbers or words, each with a default. It raises
    BadInput in `__post_init__` for a value out of its range. `images` is `[N, C, H, W]` in [0, 1], `labels` `[N]`,
    `sigma` in pixel units; `generator` lives on their device.
    """

    def __call__(
        self, model: nn.Module, images: torch.Tensor, labels: torch.Tensor, *, sigma: float, generator: torch.Generator
    ) -> torch.Tensor: ...


def add_noise(images: torch.Tensor, sigma: float, generator: torch.Generator) -> torch.Tensor:
    """Returns `images + N(0, σ²)`, in pixel space and not clipped, as the certificate assumes."""
    return torch.randn(images.shape, device=images.device, generator=generator).mul_(sigma).add_(images)
