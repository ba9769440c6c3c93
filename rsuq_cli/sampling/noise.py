"""Gaussian noise that is a function of (seed, stream, input, block) alone.

Invariant: sample s of an input's stream is row s % BLOCK of block s // BLOCK, whatever the batch size, the order of
inputs, the worker or a resume. Streams are independent of each other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import IntEnum
from typing import NamedTuple, Protocol

import numpy as np
import torch

from rsuq_cli.datasets.dataset import pixels

BLOCK = 100
Key = tuple[int, int, int]  # stream, input, block


class Stream(IntEnum):
    """What a noise sample is for; samples of different streams are independent."""

    SELECTION = 0
    ESTIMATION = 1
    CALIBRATION = 2
    TRIAL = 3


class Copies(NamedTuple):
    """Noisy copies of an image `[C, H, W]`: samples start, start + 1, ... of an input's stream.

    `out` `[rows, C, H, W]` (float32) takes them, in pixel units; the image is uint8, or floats in [0, 1].
    """

    out: torch.Tensor
    image: torch.Tensor
    stream: Stream
    input_index: int
    start: int


class Part(NamedTuple):
    """The rows of copies that lie in one block of noise, from `row` of the block on."""

    out: torch.Tensor
    key: Key
    row: int


class Perturbation(Protocol):
    """Writes noisy copies of inputs, the same for the same (stream, input, sample)."""

    def write(self, wanted: Sequence[Copies]) -> None:
        """Fills every `out`."""
        ...


def parts(copies: Copies) -> Iterator[Part]:
    """Yields the copies block by block."""
    done = 0
    while done < len(copies.out):
        block, row = divmod(copies.start + done, BLOCK)
        rows = min(BLOCK - row, len(copies.out) - done)
        yield Part(copies.out[done : done + rows], (int(copies.stream), copies.input_index, block), row)
        done += rows


class GaussianNoise:
    """N(0, sigma^2) added in pixel space, drawn block by block on the device where it is used."""

    def __init__(self, *, seed: int, sigma: float, shape: tuple[int, ...], device: torch.device) -> None:
        self.seed, self.sigma = seed, sigma
        self.device = device
        self._block = torch.empty((BLOCK, *shape), dtype=torch.float32, device=device)
        self._holds: Key | None = None
        # numpy draws without the interpreter's lock: on the CPU blocks are drawn by as many threads as torch has.
        self._threads = torch.get_num_threads() if device.type == "cpu" else 1
        self._pool = ThreadPoolExecutor(self._threads) if self._threads > 1 else None

    def write(self, wanted: Sequence[Copies]) -> None:
        """Writes noisy copies as `Perturbation.write` says."""
        self._draw_all([part for copies in wanted for part in parts(copies)])
        for copies in wanted:
            # One pass over the batch; alpha is a plain factor, not an error probability.
            torch.add(pixels(copies.image), copies.out, alpha=self.sigma, out=copies.out)

    def _draw_all(self, wanted: Sequence[Part]) -> None:
        """Writes standard normal samples into every part."""
        whole = []
        for part in wanted:
            if len(part.out) == BLOCK:
                whole.append(part)
                continue
            # A block is always drawn whole: its rows must not depend on where a batch ends.
            if self._holds != part.key:
                self._holds = None  # an interrupted draw must not be taken for a whole one
                self._draw(self._block, part.key)
                self._holds = part.key
            part.out.copy_(self._block[part.row : part.row + len(part.out)])
        if self._pool and len(whole) > 1:
            shares = [whole[first :: self._threads] for first in range(self._threads)]
            list(self._pool.map(self._draw_share, shares))
        else:
            self._draw_share(whole)

    def _draw_share(self, share: Sequence[Part]) -> None:
        for part in share:
            self._draw(part.out, part.key)

    def _draw(self, out: torch.Tensor, key: Key) -> None:
        if self.device.type == "cpu":
            # torch's CPU generator keeps 32 bits of a seed, too few for millions of blocks; SFC64 keeps all of them.
            generator = np.random.Generator(np.random.SFC64(np.random.SeedSequence((self.seed, *key))))
            generator.standard_normal(out=out.numpy(), dtype=np.float32)
        else:
            digest = hashlib.blake2b(repr((self.seed, *key)).encode(), digest_size=8).digest()
            seeded = torch.Generator(self.device).manual_seed(int.from_bytes(digest, "little") >> 1)
            out.normal_(generator=seeded)
