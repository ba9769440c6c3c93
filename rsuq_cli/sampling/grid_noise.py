"""Gaussian noise on the 8-bit grid: integers until the network's first layer, sampled to a stated exactness.

8-bit inputs are multiples of 1/255. Rounding Gaussian noise to that grid and then adding it is the same as adding it
and then rounding, and rounding is a part of the classifier; so a certificate made with rounded noise holds exactly, for
every other 8-bit input in its ball. Noise added in floating point has no such proof: low bits that a sum loses tell a
contrived network where its input came from (Voráček & Hein 2023, "Sound randomized smoothing in floating-point
arithmetic", arXiv 2207.07209).

Invariant: a pixel's noise is an integer whose distribution is within `RoundedGaussian.distance` (total variation) of
round(255 sigma N(0, 1)); the noise of a sample is a function of (seed, stream, input, block) alone on the CPU, and of
(seed, stream, input, sample) alone where Philox makes it: that is the same on every device, bit for bit.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import mpmath
import numpy as np
import numpy.typing as npt
import torch

from rsuq_cli.errors import BadInput
from rsuq_cli.sampling.device import sent
from rsuq_cli.sampling.noise import BLOCK, Copies, Key, parts, shared_out
from rsuq_cli.sampling.philox import PHILOX, rows_of, words

LEVELS = 255
# Above this the table of probabilities takes long to make, and no picture is left under the noise.
LARGEST_SIGMA = 8.0
_DIGITS = 60  # of the probabilities behind the thresholds
_BITS = 63  # of randomness behind a pixel: what a signed integer of torch holds
_CELL_BITS = 16
_CELLS = 1 << _CELL_BITS
_REST_BITS = _BITS - _CELL_BITS
_UNRESOLVED = np.iinfo(np.int32).min
_WORD_BITS = 32
_PER_GROUP = 2  # values of the four words of a counter
# 64-bit numbers of so many values take a few hundred megabytes while they are made.
_VALUES_AT_ONCE = 2**23


@dataclass(frozen=True)
class RoundedGaussian:
    """The integers nearest to 255 sigma N(0, 1), as thresholds for 63 random bits.

    Bits below `thresholds[0]` stand for `lowest`, and each threshold reached for one more; so the probability of at
    most `lowest + j` is `thresholds[j] / 2**63`. `distance` bounds the total variation distance of one draw.
    """

    lowest: int
    thresholds: npt.NDArray[np.int64]
    distance: float


@lru_cache(maxsize=8)
def rounded_gaussian(sigma: float) -> RoundedGaussian:
    """Returns the distribution of a pixel's noise at `sigma` (pixel units). Raises BadInput where sigma is too large.

    Cumulative probabilities are computed in 60 digits (mpmath) and cut off to 63 bits, each by less than one unit (two,
    should the computation be wrong in its last digits); what lies beyond the last threshold is less than a unit a tail.
    A probability is the difference of two cumulative ones, so half the sum over the values, and the tails, is below
    (values + 2) units.
    """
    if not sigma <= LARGEST_SIGMA:
        raise BadInput(f"sigma is {sigma:g}, too large for grid noise", f"it takes up to {LARGEST_SIGMA:g}")
    units = 1 << _BITS
    tails: list[int] = []
    with mpmath.workdps(_DIGITS):
        for tail in _upper_tails(sigma):
            tails.append(int(mpmath.ceil(tail * units)))
            if tails[-1] <= 1:
                break
    below = [tail - 1 for tail in reversed(tails)]
    thresholds = np.asarray([*below, *(units - tail for tail in tails)], dtype=np.int64)
    return RoundedGaussian(-len(tails), thresholds, (len(thresholds) + 3) / units)


def _upper_tails(sigma: float) -> Iterator[mpmath.mpf]:
    """Yields P(N(0, 1) > (j + 1/2) / (255 sigma)) for j = 0, 1, …"""
    deviation = mpmath.mpf(sigma) * LEVELS  # a float is a binary number, exactly
    half = mpmath.mpf(1) / 2
    return (mpmath.ncdf(-(j + half) / deviation) for j in itertools.count())


def sampling_error(sigma: float, pixels: int, samples: int) -> float:
    """Returns how far `samples` draws of an input of so many pixels are from rounded Gaussians, in total variation.

    Draws are independent, so distances add up. A guarantee that fails with probability at most α under rounded
    Gaussians fails with at most α plus this under the draws: it is taken off the α of every guarantee.
    """
    return rounded_gaussian(sigma).distance * pixels * samples


class GridNoise:
    """Writes 8-bit inputs plus grid noise: numpy's on the CPU, unless Philox is named, and Philox elsewhere."""

    def __init__(
        self, sigma: float, seed: int, shape: tuple[int, int, int], device: torch.device, generator: str | None = None
    ) -> None:
        self.sigma, self.seed, self.device = sigma, seed, device
        self.generator: str | None = PHILOX if device.type != "cpu" else generator
        self.distribution = rounded_gaussian(sigma)
        if self.generator is None:
            self._cells = _cells(self.distribution)
            self._block = torch.empty((BLOCK, *shape), dtype=torch.int32)
            self._holds: Key | None = None
        else:
            # There is no 64-bit search on MPS: its noise is made on the CPU.
            self._place = torch.device("cpu") if device.type == "mps" else device
            self._thresholds = torch.from_numpy(self.distribution.thresholds).to(self._place)
            self._rows_at_once = max(1, _VALUES_AT_ONCE // math.prod(shape))

    def write(self, out: torch.Tensor, images: torch.Tensor, wanted: Sequence[Copies]) -> None:
        """Writes noisy copies as `Perturbation.write` says. Raises TypeError for images that are not uint8."""
        if images.dtype != torch.uint8:
            raise TypeError(f"grid noise takes uint8 images, not {images.dtype}")
        levels = images.to(self.device, torch.int32)
        # Whole numbers up to the end; below 2^24 a float32 holds them exactly: the division is the only rounding.
        if self.generator is None:
            for share, image, copies in zip(shared_out(out, wanted), levels, wanted, strict=True):
                for part in parts(share, copies):
                    self._load(part.key)
                    part.out.copy_(self._block[part.row : part.row + len(part.out)] + image)
        else:
            self._write_counted(out, levels, wanted)
        out.div_(LEVELS)

    def _write_counted(self, out: torch.Tensor, levels: torch.Tensor, wanted: Sequence[Copies]) -> None:
        rows = rows_of(wanted)
        counters = sent(torch.from_numpy(rows.counters), self._place)
        image = sent(torch.from_numpy(rows.image), self.device)
        for first in range(0, len(image), self._rows_at_once):
            here = slice(first, min(first + self._rows_at_once, len(image)))
            noise = sent(self._counted(counters[here], math.prod(out.shape[1:])), self.device)
            out[here].copy_(noise.view(out[here].shape) + levels.index_select(0, image[here]))

    def _counted(self, counters: torch.Tensor, pixels: int) -> torch.Tensor:
        """Returns noise `[rows, pixels]` (int32): words 2k and 2k + 1 of group g are for pixel g + k ceil(pixels / 2).

        Of their 64 bits the first 63 count.
        """
        groups = -(-pixels // _PER_GROUP)
        a, b, c, d = words(self.seed, counters, groups)
        bits = torch.cat([(high << (_BITS - _WORD_BITS)) | (low >> 1) for high, low in ((a, b), (c, d))], dim=1)
        found = torch.searchsorted(self._thresholds, bits[:, :pixels].contiguous(), right=True, out_int32=True)
        return found.add_(self.distribution.lowest)

    def _load(self, key: Key) -> None:
        if self._holds == key:
            return
        self._holds = None  # an interrupted draw must not be taken for a whole one
        self._block.copy_(torch.from_numpy(self._draw(key, self._block.numel())).view(self._block.shape))
        self._holds = key

    def _draw(self, key: Key, count: int) -> npt.NDArray[np.int32]:
        """Returns `count` values. 16 random bits decide nearly all of them by one look-up, 47 more the others."""
        source = np.random.SFC64(np.random.SeedSequence((self.seed, *key)))
        words: npt.NDArray[np.uint64] = source.random_raw(-(-count // 4))
        cells = words.astype("<u8", copy=False).view("<u2")[:count]
        values: npt.NDArray[np.int32] = self._cells.take(cells)
        open_ = np.flatnonzero(values == _UNRESOLVED)
        rest: npt.NDArray[np.uint64] = source.random_raw(len(open_)) >> np.uint64(64 - _REST_BITS)
        bits = (cells[open_].astype(np.int64) << _REST_BITS) | rest.astype(np.int64)
        values[open_] = self.distribution.lowest + np.searchsorted(self.distribution.thresholds, bits, side="right")
        return values


def _cells(distribution: RoundedGaussian) -> npt.NDArray[np.int32]:
    """Returns the value of every cell of 2**47 bit patterns that has one value only, `_UNRESOLVED` for the others."""
    starts = np.arange(_CELLS, dtype=np.int64) << _REST_BITS
    first = np.searchsorted(distribution.thresholds, starts, side="right")
    last = np.searchsorted(distribution.thresholds, starts + ((1 << _REST_BITS) - 1), side="right")
    return np.where(first == last, distribution.lowest + first, _UNRESOLVED).astype(np.int32)
