"""Images known by their pixels: which of them training saw, and which of two sets are the same.

Invariant: an image has one hash, whether its pixels are held as bytes or as floats in [0, 1].
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from rsuq_cli.datasets.dataset import pixels

_AT_ONCE = 1024
Numbers = npt.NDArray[np.uint64]


def content_hashes(images: torch.Tensor) -> list[bytes]:
    """Returns a digest of 16 bytes of the pixels of every image `[N, C, H, W]`."""
    return [
        hashlib.blake2b(row, digest_size=16).digest()
        for start in range(0, len(images), _AT_ONCE)
        for row in np.ascontiguousarray(pixels(images[start : start + _AT_ONCE]).cpu().numpy())
    ]


@dataclass(frozen=True, eq=False)
class SeenImages:
    """The images of a training as 64-bit hashes, ascending: two of a million images share one once in 37 million."""

    numbers: Numbers

    @classmethod
    def of(cls, images: torch.Tensor) -> SeenImages:
        """Returns the hashes of images `[N, C, H, W]`."""
        return cls(np.unique(_numbers(images)))

    @classmethod
    def unpacked(cls, text: str) -> SeenImages | None:
        """Returns what `packed` wrote; None for anything else."""
        try:
            return cls(np.frombuffer(base64.b64decode(text, validate=True), dtype="<u8").astype(np.uint64))
        except (binascii.Error, ValueError):
            return None

    def with_others(self, others: Sequence[SeenImages]) -> SeenImages:
        """Returns these images and those of others."""
        return SeenImages(np.unique(np.concatenate([self.numbers, *(one.numbers for one in others)])))

    def packed(self) -> str:
        """Returns the hashes as text, about 11 characters each."""
        return base64.b64encode(self.numbers.astype("<u8").tobytes()).decode()

    def among(self, images: torch.Tensor) -> npt.NDArray[np.bool_]:
        """Returns which of the images `[N, C, H, W]` are among them, `[N]`."""
        return np.isin(_numbers(images), self.numbers)


def _numbers(images: torch.Tensor) -> Numbers:
    return np.array([int.from_bytes(digest[:8], "little") for digest in content_hashes(images)], dtype=np.uint64)


def content_index(image: torch.Tensor) -> int:
    """Returns a number of 31 bits that the pixels `[C, H, W]` and their type alone decide, to key their noise with."""
    digest = hashlib.sha256(f"{image.dtype}{tuple(image.shape)}".encode())
    digest.update(image.contiguous().numpy().tobytes())
    return int.from_bytes(digest.digest()[:4], "little") >> 1
