"""Whether two passes over the same inputs gave the same answers, but for rounding.

Invariant: what counts is what decides votes and measures, the distances between the logits of one input, and not the
size of the logits: a network whose logits are large by a common amount gets no more slack for it.
"""

from __future__ import annotations

import torch

from rsuq_cli.sampling.device import Precision

# Of the distance to the leading class: far above what the order of additions changes, far below what tells classes
# apart. A coarser number format rounds more coarsely.
ROUNDING: dict[Precision, float] = {"fp32": 1e-3, "tf32": 1e-2, "bf16": 1e-1}


def differing(before: torch.Tensor, after: torch.Tensor, precision: Precision = "fp32") -> torch.Tensor:
    """Returns which rows `[N]` of two logits `[N, K]` of the same inputs are not the same answer; `[N, M, K]` are rows,
    too.

    Every class's distance to the leading one may move by a small part of itself, or of the margin that is usual in
    these rows; so may the leading logit, on which two measures rest. Logits that are not all finite are the same as
    others that are not.
    """
    # Of several networks, each answer by itself.
    first, second = (logits.float().flatten(0, -2) for logits in (before, after))
    answered, answered_too = (logits.isfinite().all(dim=1) for logits in (first, second))
    both = answered & answered_too
    if not both.any():
        return answered != answered_too
    first, second = (logits.where(both[:, None], 0.0) for logits in (first, second))
    leader = first.argmax(dim=1, keepdim=True)
    top, top_too = first.gather(1, leader), second.gather(1, leader)
    gaps, gaps_too = top - first, top_too - second
    margins = gaps.topk(min(2, gaps.shape[1]), largest=False).values[:, -1][both]
    usual = margins.median()
    slack = ROUNDING[precision]
    moved = (gaps_too - gaps).abs() > slack * gaps.clamp_min(usual)
    spread = (top[both].amax() - top[both].amin()).clamp_min(usual)
    shifted = (top_too - top).abs() > slack * spread
    return torch.where(both, (moved | shifted).any(dim=1), answered != answered_too)


def made_up_inputs(shape: tuple[int, ...], sigma: float, rows: int) -> torch.Tensor:
    """Returns pictures `[rows, C, H, W]` under noise of sigma, the same ones every time: flat, smooth and random."""
    generator = torch.Generator().manual_seed(0)
    flat = torch.rand(rows, *(1 for _ in shape), generator=generator)
    rough = torch.rand(rows, *shape, generator=generator)
    mixed = torch.arange(rows).remainder(4).div(3).view(-1, *(1 for _ in shape))
    pictures = flat + mixed * (rough - flat)
    return pictures + sigma * torch.randn(rows, *shape, generator=generator)
