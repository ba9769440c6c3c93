"""Two small networks for images of 8×8 to 28×28, cheap enough to certify on a laptop.

Invariant: both take the data's own channel count and any size from 2×2 up, and hold no randomness in eval mode.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class MLP(nn.Module):
    """Two hidden layers on the flattened image: `[N, C, H, W]` to logits `[N, num_classes]`."""

    def __init__(self, shape: tuple[int, int, int], num_classes: int, *, width: int = 256) -> None:
        super().__init__()
        channels, height, rows = shape
        self.fc1 = nn.Linear(channels * height * rows, width)
        self.fc2 = nn.Linear(width, width)
        self.fc = nn.Linear(width, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        hidden = F.relu(self.fc1(images.flatten(1)))
        logits: torch.Tensor = self.fc(F.relu(self.fc2(hidden)))
        return logits


class CNN(nn.Module):
    """Three 3×3 convolutions with batch norm, two of them with stride 2: `[N, C, H, W]` to `[N, num_classes]`.

    The resolution goes early: under noise the fine grid carries little and costs most. What is left, at most 4×4, is
    read position by position.
    """

    def __init__(self, shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        channels, height, width = shape
        self.conv1 = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1, stride=2, bias=False)
        self.bn2 = nn.BatchNorm2d(32)
        self.conv3 = nn.Conv2d(32, 64, 3, padding=1, stride=2, bias=False)
        self.bn3 = nn.BatchNorm2d(64)
        rows, columns = (min(4, -(-side // 4)) for side in (height, width))
        self.pool = nn.AdaptiveAvgPool2d((rows, columns))
        self.fc = nn.Linear(64 * rows * columns, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.bn1(self.conv1(images)))
        x = F.relu(self.bn2(self.conv2(x)))
        x = F.relu(self.bn3(self.conv3(x)))
        logits: torch.Tensor = self.fc(self.pool(x).flatten(1))
        return logits
