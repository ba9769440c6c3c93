"""Data sets whose files are read whole and kept in memory: digits, the torchvision sets, npz.

Invariant: the images of a file are held once. They are reordered split by split after reading, so every whole split,
and every unbroken run of one, is a view of that one tensor.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from rsuq_cli.datasets.dataset import Arrays, Dataset, Indices, SplitName
from rsuq_cli.datasets.splits import hold_out

FileName = Literal["train", "test"]


class Pool(NamedTuple):
    """One file in memory: its arrays reordered split by split, and where each split begins."""

    arrays: Arrays
    starts: dict[SplitName, int]


class ArrayDataset(Dataset):
    """A data set of whole arrays: a subclass says how a file is read, and gets splits, views and caching."""

    def __init__(
        self,
        name: str,
        class_names: tuple[str, ...],
        shape: tuple[int, int, int],
        *,
        image_size: int | None = None,
        augment_crop: bool = False,
        augment_flip: bool = False,
    ) -> None:
        """`shape` is that of the source; `image_size` resizes every image to a square of that side."""
        if image_size is not None:
            shape = (shape[0], image_size, image_size)
        super().__init__(name, class_names, shape, augment_crop=augment_crop, augment_flip=augment_flip)
        self._pools: dict[FileName, Pool] = {}
        self._positions: dict[FileName, dict[SplitName, Indices]] = {}

    @abstractmethod
    def _read_file(self, file: FileName) -> Arrays:
        """Returns a whole file in its own order. Raises `BadInput` where it cannot be read."""

    def _read_labels(self, file: FileName) -> Indices | None:
        """Returns a file's labels where they can be read without its images, else None."""
        return None

    def _file_of(self, split: SplitName) -> FileName:
        return "test" if split == "test" else "train"

    def _divide(self, file: FileName, labels: Indices) -> dict[SplitName, Indices]:
        """Returns the positions of each split that lies in `file`, ascending and without overlap."""
        if file == "test":
            return {"test": np.arange(len(labels), dtype=np.int64)}
        division = hold_out(labels)
        return {"train": division.train, "calibration": division.calibration}

    def indices(self, split: SplitName) -> Indices:
        """Returns the positions available in `split`, ascending (see `Dataset.indices`)."""
        file = self._file_of(split)
        if file not in self._positions:
            labels = self._read_labels(file)
            if labels is None:
                self._pool(file)
            else:
                self._positions[file] = self._divide(file, labels)
        return self._positions[file][split]

    def labels(self, split: SplitName) -> Indices:
        """Returns the label of every input of `split` (see `Dataset.labels`)."""
        positions = self.indices(split)
        known = self._read_labels(self._file_of(split)) if len(positions) else positions
        return super().labels(split) if known is None else known[positions]

    def _read(self, split: SplitName, indices: Indices) -> Arrays:
        pool = self._pool(self._file_of(split))
        rows = pool.starts[split] + np.searchsorted(self.indices(split), indices)
        if len(rows) and np.array_equal(rows, np.arange(rows[0], rows[0] + len(rows))):
            run = slice(int(rows[0]), int(rows[0]) + len(rows))
            return Arrays(pool.arrays.images[run], pool.arrays.labels[run])
        picked = torch.from_numpy(rows)
        return Arrays(pool.arrays.images[picked], pool.arrays.labels[picked])

    def _pool(self, file: FileName) -> Pool:
        if file not in self._pools:
            images, labels = self._read_file(file)
            images = resized(images, self.shape[1:])
            positions = self._divide(file, labels.numpy())
            order = np.concatenate(list(positions.values()))
            if not np.array_equal(order, np.arange(len(labels))):
                images, labels = images[torch.from_numpy(order)], labels[torch.from_numpy(order)]
            sizes = [len(p) for p in positions.values()]
            starts = dict(zip(positions, np.cumsum([0, *sizes]).tolist(), strict=False))
            self._positions[file] = positions
            self._pools[file] = Pool(Arrays(images, labels), starts)
        return self._pools[file]


def resized(images: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Returns images [N, C, H, W] at `size` (H, W), bilinear with antialiasing, of the type they came in.

    Images that have the size already are returned as they are.
    """
    if images.shape[2:] == size:
        return images
    result = torch.empty((*images.shape[:2], *size), dtype=images.dtype)
    largest = 255 if images.dtype == torch.uint8 else 1
    # In pieces, so that the float copy of a large uint8 set never exists as a whole.
    for source, target in zip(torch.split(images, 1024), torch.split(result, 1024), strict=True):
        values = F.interpolate(source.float(), size, mode="bilinear", antialias=True).clamp_(0, largest)
        target.copy_(values.round_() if images.dtype == torch.uint8 else values)
    return result
