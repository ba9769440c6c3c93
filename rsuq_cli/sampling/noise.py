"""What noise is, and Gaussian noise on the CPU: a function of (seed, stream, input, block) alone.

Invariant: sample s of an input's stream is row s % BLOCK of block s // BLOCK, whatever the batch size, the order of
inputs, the worker or a resume. Streams are independent of each other. Other devices have `counter_noise`.
"""

from __future__ import annotations

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
    """Noisy copies of an image: `size` samples start, start + 1, ... of an input's stream."""

    stream: Stream
    input_index: int
    start: int
    size: int


class Part(NamedTuple):
    """The rows of copies that lie in one block of noise, from `row` of the block on."""

    out: torch.Tensor
    key: Key
    row: int


class Perturbation(Protocol):
    """Writes noisy copies of inputs, the same for the same (stream, input, sample).

    `generator` is what the noise is made of, None for the streams of numpy that runs have where they do not say it.
    """

    generator: str | None

    def write(self, out: torch.Tensor, images: torch.Tensor, wanted: Sequence[Copies]) -> None:
        """Fills `out` `[rows, C, H, W]` (float32, in pixel units) with what is wanted, copies after copies.

        `images` `[len(wanted), C, H, W]` (uint8, or floats in [0, 1]) are those that are copied; the rows are as many
        as the copies.
        """
        ...


def parts(out: torch.Tensor, copies: Copies) -> Iterator[Part]:
    """Yields the copies of one image block by block; `out` has a row for each."""
    done = 0
    while done < copies.size:
        block, row = divmod(copies.start + done, BLOCK)
        rows = min(BLOCK - row, copies.size - done)
        yield Part(out[done : done + rows], (int(copies.stream), copies.input_index, block), row)
        done += rows


def shared_out(out: torch.Tensor, wanted: Sequence[Copies]) -> tuple[torch.Tensor, ...]:
    """Returns the rows of `out` that the copies of each image have."""
    return torch.split(out, [copies.size for copies in wanted])


class GaussianNoise:
    """N(0, sigma^2) added in pixel space, drawn block by block by numpy on the CPU."""

    generator: str | None = None

    def __init__(self, *, seed: int, sigma: float, shape: tuple[int, ...]) -> None:
        self.seed, self.sigma = seed, sigma
        self._block = torch.empty((BLOCK, *shape), dtype=torch.float32)
        self._holds: Key | None = None
        # numpy draws without the interpreter's lock: blocks are drawn by as many threads as torch has.
        self._threads = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(self._threads) if self._threads > 1 else None

    def write(self, out: torch.Tensor, images: torch.Tensor, wanted: Sequence[Copies]) -> None:
        """Writes noisy copies as `Perturbation.write` says."""
        shares = shared_out(out, wanted)
        self._draw_all([part for share, copies in zip(shares, wanted, strict=True) for part in parts(share, copies)])
        for share, image in zip(shares, images, strict=True):
            # One pass over the batch; alpha is a plain factor, not an error probability.
            torch.add(pixels(image), share, alpha=self.sigma, out=share)

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
        # torch's CPU generator keeps 32 bits of a seed, too few for millions of blocks; SFC64 keeps all of them.
        generator = np.random.Generator(np.random.SFC64(np.random.SeedSequence((self.seed, *key))))
        generator.standard_normal(out=out.numpy(), dtype=np.float32)
