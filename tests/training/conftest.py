"""A small data set that a linear model can learn, made in memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from rsuq_cli.datasets.dataset import Arrays, Dataset, Indices, SplitName


class Stripes(Dataset):
    """Class 0 is bright at the top, class 1 at the bottom; `sizes` counts train, calibration and test images."""

    def __init__(self, sizes: tuple[int, int, int] = (60, 20, 20), *, crop: bool = False, flip: bool = False) -> None:
        super().__init__("stripes", ("top", "bottom"), (1, 4, 4), augment_crop=crop, augment_flip=flip)
        first, second = sizes[0], sizes[0] + sizes[1]
        self._positions: dict[str, Indices] = {
            "train": np.arange(first),
            "calibration": np.arange(first, second),
            "test": np.arange(second, second + sizes[2]),
        }
        generator = torch.Generator().manual_seed(0)
        self._labels = torch.arange(sum(sizes)) % 2
        self._images = torch.randint(0, 100, (sum(sizes), 1, 4, 4), generator=generator, dtype=torch.uint8)
        for label, rows in ((0, slice(0, 2)), (1, slice(2, 4))):
            self._images[self._labels == label, :, rows] += 150

    def indices(self, split: SplitName) -> Indices:
        return self._positions[split].astype(np.int64)

    def _read(self, split: SplitName, indices: Indices) -> Arrays:
        positions = torch.from_numpy(indices)
        return Arrays(self._images[positions], self._labels[positions])


@pytest.fixture
def stripes() -> Callable[..., Stripes]:
    return Stripes
