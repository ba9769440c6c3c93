"""Networks that take Gaussian noise out of images.

Invariant: both map `[N, C, H, W]` to images of the same shape, for any H and W, in pixel units, and are the input minus
an estimate of its noise, so that an untrained one is near the identity.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn
from torch.nn import functional as F

from rsuq_cli.models.denoiser import check_name

# Small enough for two cores; DnCNN has 17 layers of 64 channels in its paper.
_LAYERS, _WIDTH = 8, 48
_UNET_WIDTHS = (32, 64, 96)


class DnCNN(nn.Module):
    """A row of convolutions that estimates the noise (Zhang et al. 2017, arXiv 1608.03981)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = [layer for _ in range(_LAYERS - 2) for layer in _convolved(_WIDTH, _WIDTH)]
        first = [nn.Conv2d(channels, _WIDTH, 3, padding=1), nn.ReLU()]
        self.noise = nn.Sequential(*first, *inner, _last(_WIDTH, channels))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Returns images without the noise that was found."""
        found: torch.Tensor = self.noise(images)
        return images - found


class UNet(nn.Module):
    """Convolutions at three sizes, the coarser ones added to the finer (Ronneberger et al. 2015, arXiv 1505.04597)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        fine, middle, coarse = _UNET_WIDTHS
        self.fine = _stage(channels, fine)
        self.middle = _stage(fine, middle)
        self.coarse = nn.Sequential(_stage(middle, coarse), nn.Conv2d(coarse, middle, 1))
        self.to_middle = nn.Sequential(_stage(middle, middle), nn.Conv2d(middle, fine, 1))
        self.to_fine = nn.Sequential(_stage(fine, fine), _last(fine, channels))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Returns images without the noise that was found."""
        fine = self.fine(images)
        middle = self.middle(_halved(fine))
        coarse = self.coarse(_halved(middle))
        middle = self.to_middle(middle + _grown(coarse, middle))
        found: torch.Tensor = self.to_fine(fine + _grown(middle, fine))
        return images - found


def build_denoiser(name: str, channels: int) -> nn.Module:
    """Returns a denoiser with drawn weights; raises BadInput for an unknown name."""
    check_name(name)
    return DnCNN(channels) if name == "dncnn" else UNet(channels)


def _stage(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(*_convolved(inputs, outputs), *_convolved(outputs, outputs))


def _convolved(inputs: int, outputs: int) -> Iterator[nn.Module]:
    yield nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    yield nn.BatchNorm2d(outputs)
    yield nn.ReLU()


def _last(inputs: int, outputs: int) -> nn.Conv2d:
    """Returns the layer that gives the estimate: nothing, before it is trained."""
    last = nn.Conv2d(inputs, outputs, 3, padding=1)
    nn.init.zeros_(last.weight)
    assert last.bias is not None
    nn.init.zeros_(last.bias)
    return last


def _halved(features: torch.Tensor) -> torch.Tensor:
    # Of a side of one pixel, half a side is that pixel.
    return F.max_pool2d(features, 2, ceil_mode=True)


def _grown(features: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Returns features at the size of the finer ones; a repeat and a cut, whose gradients are deterministic."""
    large = features.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    return large[:, :, : like.shape[2], : like.shape[3]]
