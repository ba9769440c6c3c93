"""Random crop and flip of a whole batch at once, on its device.

Invariant: pixels only move; type, device and value range stay, and all randomness comes from the generator given.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F


def augment(images: torch.Tensor, *, crop: bool, flip: bool, generator: torch.Generator) -> torch.Tensor:
    """Returns `[N, C, H, W]` (uint8 or float), each image cropped after black padding, and flipped half of the time.

    The padding is 4 pixels, or 1 for images up to 16 pixels, where 4 would move a quarter of the picture out.
    """
    if crop:
        images = random_crop(images, 1 if min(images.shape[2:]) <= 16 else 4, generator)
    return random_flip(images, generator) if flip else images


def random_crop(images: torch.Tensor, padding: int, generator: torch.Generator) -> torch.Tensor:
    """Returns each image shifted by −padding..padding pixels along both axes, independently; the border is 0."""
    count, channels, height, width = images.shape
    device = images.device
    padded = F.pad(images, (padding,) * 4)
    offsets = torch.randint(0, 2 * padding + 1, (2, count, 1), device=device, generator=generator)
    rows = offsets[0] + torch.arange(height, device=device)
    columns = offsets[1] + torch.arange(width, device=device)
    image = torch.arange(count, device=device)[:, None, None, None]
    channel = torch.arange(channels, device=device)[:, None, None]
    return padded[image, channel, rows[:, None, :, None], columns[:, None, None, :]]


def random_flip(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Returns each image mirrored left to right with probability 1/2."""
    mirrored = torch.rand((len(images), 1, 1, 1), device=images.device, generator=generator) < 0.5
    return torch.where(mirrored, images.flip(-1), images)
