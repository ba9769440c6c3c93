"""What a network does: its answers to a few fixed, noisy inputs.

Invariant: the probes depend on the shape alone, so two fingerprints of one shape can be compared wherever and whenever
they were taken. They are compared with a tolerance, since other machines add in another order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import TYPE_CHECKING

# Fingerprints are compared without a network: so that reports do not wait for PyTorch, it is imported to take one.
if TYPE_CHECKING:
    import torch
    from torch import nn

PROBES = 12
# Where smoothed classifiers live: from a little noise to more than the picture.
NOISE_LEVELS = (0.125, 0.25, 0.5, 1.0)
# Up to so many logits are kept one by one; of more classes the first few, and sums over all of them.
MOST_LOGITS, FIRST_LOGITS, SUMS = 12, 8, 4
# Of the largest answer to a probe: far above what the order of additions changes, far below what a user would.
TOLERANCE = 2e-4
# A probe whose answers nearly cancel is compared on the scale of the others.
_SMALLEST_SCALE = 0.01
_DIGITS = 6

Row = tuple[float | None, ...]


@dataclass(frozen=True)
class Fingerprint:
    """One row of numbers for each probe; None stands for an answer that is not finite."""

    rows: tuple[Row, ...]

    @classmethod
    def of_json(cls, stored: Sequence[Sequence[float | None]]) -> Fingerprint:
        """Returns the fingerprint that `to_json` wrote."""
        return cls(tuple(tuple(row) for row in stored))

    def to_json(self) -> list[list[float | None]]:
        """Returns the rows as lists."""
        return [list(row) for row in self.rows]

    def agrees(self, other: Fingerprint) -> bool:
        """Returns whether both are of one function, as far as the probes can tell."""
        if [len(row) for row in self.rows] != [len(row) for row in other.rows]:
            return False
        overall = max((_size(row) for row in (*self.rows, *other.rows)), default=0.0)
        return all(_near(a, b, overall) for a, b in zip(self.rows, other.rows, strict=True))


def fingerprint_of(module: nn.Module, shape: tuple[int, int, int]) -> Fingerprint:
    """Returns the fingerprint of a network in eval mode on the CPU, for inputs of `shape` = (C, H, W)."""
    import torch

    with torch.inference_mode():
        # In pairs, as the network was checked when it was opened: that many fit into any memory.
        logits = torch.cat([module(pair).double() for pair in torch.split(probes(shape), 2)])
    return Fingerprint(tuple(tuple(_rounded(value) for value in row) for row in _summary(logits).tolist()))


def probes(shape: tuple[int, int, int]) -> torch.Tensor:
    """Returns images `[PROBES, C, H, W]`: flat, smooth and random ones under Gaussian noise, not clipped to [0, 1]."""
    import torch

    generator = torch.Generator().manual_seed(20_250_131)
    _, height, width = shape
    across = torch.linspace(0, 1, width).expand(shape)
    down = torch.linspace(0, 1, height)[:, None].expand(shape)
    waves = 0.5 + 0.5 * torch.sin(6 * across + 1) * torch.cos(4 * down)
    flat = [torch.full(shape, value) for value in (0.0, 0.5, 1.0)]
    pictures = [*flat, (across + down) / 2, waves, torch.rand(shape, generator=generator)]
    return torch.stack([
        picture + level * torch.randn(shape, generator=generator)
        for picture, level in islice(zip(cycle(pictures), cycle(NOISE_LEVELS), strict=False), PROBES)
    ])  # fmt: skip


def _summary(logits: torch.Tensor) -> torch.Tensor:
    """Returns few numbers of the logits `[N, K]` that hardly any change of them leaves as they were."""
    import torch

    classes = logits.shape[1]
    if classes <= MOST_LOGITS:
        return logits
    angles = torch.arange(1, classes + 1, dtype=torch.float64)[:, None] * torch.arange(1, SUMS + 1) * math.sqrt(2)
    return torch.cat([logits[:, :FIRST_LOGITS], logits @ (torch.cos(angles) / math.sqrt(classes))], dim=1)


def _rounded(value: float) -> float | None:
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None


def _size(row: Row) -> float:
    return max((abs(value) for value in row if value is not None), default=0.0)


def _near(a: Row, b: Row, overall: float) -> bool:
    allowed = TOLERANCE * max(_size(a), _size(b), _SMALLEST_SCALE * overall)
    return all(
        (x is None) == (y is None) and (x is None or y is None or abs(x - y) <= allowed)
        for x, y in zip(a, b, strict=True)
    )
