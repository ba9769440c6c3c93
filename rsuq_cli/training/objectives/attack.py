"""An l2 attack on a network under noise: images moved to where the mean prediction loses the label.

Invariant: the attack leaves the network as it was: in eval mode while it runs, no batch statistics taken up, no
gradient of a parameter computed; and always in float32, in which a step of unit length means something.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from rsuq_cli.training.objectives.base import log_mean, log_softmaxes, repeated

_SMALLEST = 1e-8


def mean_loss(labels: torch.Tensor, noises: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """Returns -log π̄_y as a function of logits `[N · noises, K]`, `[N]`: what SmoothAdv climbs (Salman et al. 2019)."""

    def loss(logits: torch.Tensor) -> torch.Tensor:
        return -log_mean(log_softmaxes(logits, noises)).gather(1, labels[:, None])[:, 0]

    return loss


def attacked(
    model: nn.Module, images: torch.Tensor, noise: torch.Tensor, loss: Callable[[torch.Tensor], torch.Tensor], *,
    steps: int, length: float, epsilon: float | None,
) -> Iterator[torch.Tensor]:  # fmt: skip
    """Yields the images `[N, C, H, W]` after every step of the given length (pixel units) up the loss, in [0, 1].

    `noise` `[N · m, C, H, W]` stays the same; points are kept within `epsilon` of the images, None lets them go.
    """
    noises, moved = len(noise) // max(1, len(images)), images
    for _ in range(steps):
        with frozen(model), torch.enable_grad():
            here = moved.detach().requires_grad_()
            total = loss(model(repeated(here, noises) + noise)).sum()
            (gradient,) = torch.autograd.grad(total, here)
        size = gradient.flatten(1).norm(dim=1).clamp_min(_SMALLEST).view(-1, *(1 for _ in images.shape[1:]))
        moved = (moved + length * gradient / size).clamp(0.0, 1.0)
        if epsilon is not None:
            moved = _within(images, moved, epsilon)
        yield moved


def _within(images: torch.Tensor, moved: torch.Tensor, epsilon: float) -> torch.Tensor:
    """Returns points brought back to a distance of epsilon; inside the box they stay, which is convex."""
    shift = moved - images
    size = shift.flatten(1).norm(dim=1).view(-1, *(1 for _ in images.shape[1:]))
    return torch.where(size > epsilon, images + shift * (epsilon / size.clamp_min(_SMALLEST)), moved)


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Has the network in eval mode and float32 for its body, and as it was afterwards, part by part."""
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        with torch.autocast(next(model.parameters()).device.type, enabled=False):
            yield
    finally:
        for part, training in modes:
            part.training = training
