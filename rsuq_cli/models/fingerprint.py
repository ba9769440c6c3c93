"""What a network does: its answers to a few fixed, noisy inputs.

Invariant: the probes depend on the shape alone, so two fingerprints of one shape can be compared wherever and whenever
they were taken.
"""

from __future__ import annotations

import math
from itertools import cycle, islice

import torch
from torch import nn

from rsuq_cli.fingerprint import Fingerprint

PROBES = 12
# Where smoothed classifiers live: from a little noise to more than the picture.
NOISE_LEVELS = (0.125, 0.25, 0.5, 1.0)
# Up to so many logits are kept one by one; of more classes the first few, the largest, and sums over all of them.
MOST_LOGITS, FIRST_LOGITS, SUMS = 12, 7, 2
# A class that is this far behind the first is as good as masked: it would hide all others in a sum.
_FAR_BEHIND = 50.0


def fingerprint_of(module: nn.Module, shape: tuple[int, int, int]) -> Fingerprint:
    """Returns the fingerprint of a network in eval mode on the CPU, for inputs of `shape` = (C, H, W).

    That of an ensemble has the numbers of every member.
    """
    with torch.inference_mode():
        # In pairs, as the network was checked when it was opened: that many fit into any memory.
        logits = torch.cat([module(pair).double() for pair in torch.split(probes(shape), 2)])
    members = [logits] if logits.ndim == 2 else logits.unbind(1)
    return Fingerprint.of_answers(torch.cat([_summary(one) for one in members], dim=1).tolist())


def probes(shape: tuple[int, int, int]) -> torch.Tensor:
    """Returns images `[PROBES, C, H, W]`: flat, smooth and random ones under Gaussian noise, not clipped to [0, 1]."""
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
    classes = logits.shape[1]
    if classes <= MOST_LOGITS:
        return logits
    angles = torch.arange(1, classes + 1, dtype=torch.float64)[:, None] * torch.arange(1, SUMS + 1) * math.sqrt(2)
    weights = torch.cos(angles) / math.sqrt(classes)
    top = logits.amax(dim=1, keepdim=True)
    near = (logits - top).clamp_min(-_FAR_BEHIND)
    return torch.cat([logits[:, :FIRST_LOGITS], top, logits @ weights, near @ weights], dim=1)
