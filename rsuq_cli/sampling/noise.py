"""Gaussian noise that is a function of (seed, stream, input, block) alone.

Invariant: sample s of an input's stream is row s % BLOCK of block s // BLOCK, whatever the batch size, the order of
inputs, the worker or a resume. Streams are independent of each other.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from enum import IntEnum
from typing import Protocol

import numpy as np
import torch

from rsuq_cli.datasets.dataset import pixels

BLOCK = 100
_Key = tuple[int, int, int]  # stream, input, block


class Stream(IntEnum):
    """What a noise sample is for; samples of different streams are independent."""

    SELECTION = 0
    ESTIMATION = 1
    CALIBRATION = 2


class Perturbation(Protocol):
    """Writes noisy copies of an input, the same for the same (stream, input, sample)."""

    def write(self, out: torch.Tensor, image: torch.Tensor, stream: Stream, input_index: int, start: int) -> None:
        """Writes the samples start, start + 1, ... of an image `[C, H, W]` into `out` `[rows, C, H, W]` (float32)."""
        ...


class GaussianNoise:
    """N(0, sigma^2) added in pixel space, drawn block by block on the device where it is used."""

    def __init__(self, *, seed: int, sigma: float, shape: tuple[int, ...], device: torch.device) -> None:
        self.seed, self.sigma = seed, sigma
        self.device = device
        self._block = torch.empty((BLOCK, *shape), dtype=torch.float32, device=device)
        self._holds: _Key | None = None
        # numpy draws without the interpreter's lock: on the CPU blocks are drawn by as many threads as torch has.
        threads = torch.get_num_threads() if device.type == "cpu" else 1
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None

    def write(self, out: torch.Tensor, image: torch.Tensor, stream: Stream, input_index: int, start: int) -> None:
        """Writes noisy copies of `image` (uint8, or floats in [0, 1]) as `Perturbation.write` says."""
        self.fill(out, stream, input_index, start)
        # One pass over the batch; alpha is a plain factor, not an error probability.
        torch.add(pixels(image), out, alpha=self.sigma, out=out)

    def fill(self, out: torch.Tensor, stream: Stream, input_index: int, start: int) -> None:
        """Writes standard normal samples start, start + 1, ... into `out` `[rows, C, H, W]`."""
        whole: list[tuple[torch.Tensor, _Key]] = []
        done = 0
        while done < len(out):
            block, row = divmod(start + done, BLOCK)
            rows = min(BLOCK - row, len(out) - done)
            key = (int(stream), input_index, block)
            if rows == BLOCK:
                whole.append((out[done : done + rows], key))
            else:
                # A block is always drawn whole: its rows must not depend on where a batch ends.
                if self._holds != key:
                    self._draw(self._block, key)
                    self._holds = key
                out[done : done + rows] = self._block[row : row + rows]
            done += rows
        if self._pool and len(whole) > 1:
            list(self._pool.map(lambda one: self._draw(*one), whole))
        else:
            for one in whole:
                self._draw(*one)

    def _draw(self, out: torch.Tensor, key: _Key) -> None:
        if self.device.type == "cpu":
            # torch's CPU generator keeps 32 bits of a seed, too few for millions of blocks; SFC64 keeps all of them.
            generator = np.random.Generator(np.random.SFC64(np.random.SeedSequence((self.seed, *key))))
            generator.standard_normal(out=out.numpy(), dtype=np.float32)
        else:
            digest = hashlib.blake2b(repr((self.seed, *key)).encode(), digest_size=8).digest()
            seeded = torch.Generator(self.device).manual_seed(int.from_bytes(digest, "little") >> 1)
            out.normal_(generator=seeded)
