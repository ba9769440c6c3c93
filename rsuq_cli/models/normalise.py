"""Normalisation as the first layer of a model, so that noise and radii stay in pixel units.

Invariant: everything outside a model sees pixels in [0, 1]; mean and standard deviation travel with the weights.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from rsuq_cli.models.statistics import Statistics


class Normalise(nn.Module):
    """Returns `(x − mean) / std` per channel for `x` of `[N, C, H, W]`, with one channel repeated to `out_channels`.

    `mean` and `std` are buffers of shape `[C, 1, 1]`: saved and loaded with the weights, never trained.
    Raises ValueError where the lengths differ, a deviation is not above 0, or C channels cannot become `out_channels`.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float], *, out_channels: int | None = None) -> None:
        super().__init__()
        if len(mean) != len(std) or not mean:
            raise ValueError(f"{len(mean)} means and {len(std)} standard deviations")
        if any(value <= 0 for value in std):
            raise ValueError(f"a standard deviation must be above 0: {tuple(std)}")
        self.out_channels = len(mean) if out_channels is None else out_channels
        if len(mean) not in (1, self.out_channels):
            raise ValueError(f"{len(mean)} channels cannot become {self.out_channels}")
        self.register_buffer("mean", torch.tensor(tuple(mean), dtype=torch.float32).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(tuple(std), dtype=torch.float32).view(-1, 1, 1))

    @property
    def statistics(self) -> Statistics:
        """The mean and the standard deviation of each channel."""
        return Statistics(tuple(self.mean.flatten().tolist()), tuple(self.std.flatten().tolist()))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        normalised = (images - self.mean) / self.std
        return normalised.expand(-1, self.out_channels, -1, -1)

    def extra_repr(self) -> str:
        return f"channels={self.mean.numel()}, out_channels={self.out_channels}"
