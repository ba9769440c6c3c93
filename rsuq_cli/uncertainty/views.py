"""Views of noisy inputs: the input, its mirror image, and both moved by a pixel.

Invariant: a view is a function of the input alone, and of one row alone, that gradients pass through. Borders are
reflected, so that a view has the input's own noise near the edge, and not none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch


class View(NamedTuple):
    """Whether the image is mirrored, left for right, and how far it is moved then, in pixels."""

    mirrored: bool
    down: int
    right: int


# The first is the input itself; the first 2, 4 or 8 are what so many views are.
ALL: tuple[View, ...] = (
    View(False, 0, 0),
    View(True, 0, 0),
    View(False, 1, 1),
    View(True, 1, 1),
    View(False, 1, 0),
    View(True, 1, 0),
    View(False, 0, 1),
    View(True, 0, 1),
)


def viewed(images: torch.Tensor, view: View) -> torch.Tensor:
    """Returns a view of images `[N, C, H, W]`, as a tensor of its own unless it is the images themselves."""
    if view == ALL[0]:
        return images
    columns = _moved(images.shape[3], view.right, images.device)
    if view.mirrored:
        columns = images.shape[3] - 1 - columns
    seen = images.index_select(3, columns)
    return seen if view.down == 0 else seen.index_select(2, _moved(images.shape[2], view.down, images.device))


def passes_of(ask: Callable[[torch.Tensor], torch.Tensor], images: torch.Tensor, views: int) -> torch.Tensor:
    """Returns the logits of every pass `[N, T, K]` in float32: of each view, in turn of each network that `ask` asks.

    `ask` returns `[N, K]`, or `[N, M, K]` of M networks. The plain pass is the first. What is asked may write into the
    images, and its next answer over its last one.
    """
    if views == 1:
        return _of_networks(ask(images).float())
    others = [_of_networks(ask(viewed(images, view)).float()).clone() for view in ALL[1:views]]
    return torch.cat([_of_networks(ask(images).float()), *others], dim=1)


def _of_networks(logits: torch.Tensor) -> torch.Tensor:
    return logits[:, None] if logits.ndim == 2 else logits


def _moved(size: int, by: int, device: torch.device) -> torch.Tensor:
    """Returns which pixel stands where after a move by `by`, the border reflected."""
    place = (torch.arange(size, device=device) - by).abs()
    return place.clamp_max(size - 1)
