"""What a data set is: named splits of images with labels, each input known by its position in its own source.

Invariant: a position stands for the same input for ever. It does not depend on what else is loaded, on the order of
loading, or on the split sizes asked for, so that it can serve as a key in a database.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt
import torch

from rsuq_cli.errors import BadInput

SplitName = Literal["train", "calibration", "test"]
Indices = npt.NDArray[np.int64]
# Takes one line that is for the user.
Listener = Callable[[str], None]


def ignore(line: str) -> None:
    """Listens and keeps nothing."""


class Arrays(NamedTuple):
    """Decoded inputs: images [N, C, H, W] (uint8, or float32 in [0, 1]) and labels [N] (int64)."""

    images: torch.Tensor
    labels: torch.Tensor


@dataclass(frozen=True, eq=False)
class Split:
    """Inputs in memory. They may be shared with other splits of the same data set: read them, never write to them.

    `images` is [N, C, H, W], uint8 (0 to 255) or float32 in [0, 1]; `labels` is [N] int64; `indices` is [N] int64,
    the position of each input in its source's own order (the train file for train and calibration, the test file for
    test).
    """

    images: torch.Tensor
    labels: torch.Tensor
    indices: Indices

    def __post_init__(self) -> None:
        if not len(self.images) == len(self.labels) == len(self.indices):
            raise ValueError(f"{len(self.images)} images, {len(self.labels)} labels, {len(self.indices)} indices")

    def __len__(self) -> int:
        return len(self.indices)

    def sha256(self) -> str:
        """Returns the hexadecimal SHA-256 of images, labels and indices: equal hashes mean equal evidence is due."""
        digest = hashlib.sha256()
        for array in (self.images.cpu().numpy(), self.labels.cpu().numpy(), self.indices):
            # The type and the shape go in first: the same bytes in another shape are another subset.
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


class Dataset(ABC):
    """A data set with the splits train, calibration (held out of training) and test.

    Opening one is cheap: pixels are read when `load` asks for them.

    Attributes:
        name: canonical name: "digits", "cifar10", "folder:/absolute/path", "npz:/absolute/path.npz".
        class_names: one name per class, in the order of the labels.
        shape: (C, H, W) of every input.
        augment_crop: whether shifted crops of an input keep its label.
        augment_flip: whether mirroring an input left to right keeps its label.
    """

    def __init__(
        self,
        name: str,
        class_names: tuple[str, ...],
        shape: tuple[int, int, int],
        *,
        augment_crop: bool,
        augment_flip: bool,
    ) -> None:
        self.name = name
        self.class_names = class_names
        self.shape = shape
        self.augment_crop = augment_crop
        self.augment_flip = augment_flip
        self._held: WeakValueDictionary[tuple[str, bytes], Split] = WeakValueDictionary()
        self._notes: list[str] = []
        self._listener: Listener | None = None

    def __repr__(self) -> str:
        return f"<data set {self.name}: {self.num_classes} classes, shape {self.shape}>"

    def note(self, line: str) -> None:
        """Keeps what a user should know of how the data are read, and says it once, as soon as somebody listens."""
        if line not in self._notes:
            self._notes.append(line)
            if self._listener is not None:
                self._listener(line)

    def tell(self, listener: Listener) -> None:
        """Says every note so far to `listener`, and from now on each as it comes."""
        self._listener = listener
        for line in self._notes:
            listener(line)

    @property
    def num_classes(self) -> int:
        """The number of classes K; labels are 0 to K − 1."""
        return len(self.class_names)

    @property
    def calibration_indices(self) -> Indices:
        """Positions in the train file that are held out of training, ascending; empty without training data."""
        return self.indices("calibration")

    @abstractmethod
    def indices(self, split: SplitName) -> Indices:
        """Returns the positions available in `split`, ascending, without decoding images where that can be avoided.

        Raises `BadInput` where the data cannot be found or read.
        """

    def labels(self, split: SplitName) -> Indices:
        """Returns the label of every input of `split`, in the order of `indices`, without images where it can be.

        Raises `BadInput` as `load` does.
        """
        labels: Indices = self.load(split).labels.numpy()
        return labels

    @abstractmethod
    def _read(self, split: SplitName, indices: Indices) -> Arrays:
        """Returns the inputs at `indices` (all of them available in `split`), in that order."""

    def load(self, split: SplitName, indices: Indices | None = None) -> Split:
        """Returns the inputs of `split` at `indices` (default: all of them), in the order of `indices`.

        A split that somebody still holds is handed out again, so loading it twice costs its memory once.

        Raises `BadInput` where an index is not in the split, or an input cannot be read.
        """
        available = self.indices(split)
        wanted = available if indices is None else self._checked(split, np.asarray(indices, np.int64), available)
        key = (split, wanted.tobytes())
        held = self._held.get(key)
        if held is None:
            images, labels = self._read(split, wanted)
            self._held[key] = held = Split(images, labels, wanted)
        return held

    def _checked(self, split: SplitName, indices: Indices, available: Indices) -> Indices:
        strangers = indices[~np.isin(indices, available)]
        if len(strangers):
            raise BadInput(
                f"input {strangers[0]} is not in the {split} split of {self.name}",
                f"the split has {len(available)} inputs",
            )
        return indices


def pixels(images: torch.Tensor) -> torch.Tensor:
    """Returns images as float32 in [0, 1], on their device: uint8 is divided by 255, floats pass through unchanged.

    Raises `TypeError` for any other type.
    """
    if images.dtype == torch.uint8:
        return images.to(torch.float32).div_(255)
    if images.dtype == torch.float32:
        return images
    raise TypeError(f"images are uint8 or float32, not {images.dtype}")
