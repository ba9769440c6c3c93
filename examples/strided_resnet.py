"""A ResNet-14 of 0.4 million parameters that halves 32×32 images at once: noise hides the finest grid anyway.

rsuq train --model examples/strided_resnet.py:resnet14 --dataset cifar10 --sigma 0.25
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    """Two 3×3 convolutions around a shortcut, a 1×1 convolution where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns `[N, outputs, H / stride, W / stride]`."""
        hidden = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(hidden)) + self.shortcut(x))


def resnet14(num_classes: int = 10) -> nn.Module:
    """Returns the network: pixels in [0, 1] of `[N, 3, H, W]` to logits `[N, num_classes]`."""
    widths = (24, 24, 48, 48, 96, 96)
    blocks = [
        Block(inputs, outputs, 2 if outputs > inputs else 1)
        for inputs, outputs in zip((24, *widths), widths, strict=False)
    ]
    return nn.Sequential(
        nn.Conv2d(3, 24, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(24), nn.ReLU(), *blocks,
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(96, num_classes),
    )  # fmt: skip
