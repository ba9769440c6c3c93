"""Gaussian noise that is a function of (seed, stream, input, sample, pixel) alone, the same on every device.

Invariant: the random bits are the same integers everywhere; only the logarithm, the cosine and the sine of their
transform may be rounded otherwise on another kind of device, so that a value moves by a few units in its last place.
`benchmarks/rounding_votes.py` counts the votes that this can move: those of ties.

Box & Muller 1958 makes two values of two words of 32 bits: none is beyond 6.77, which 1.3 in 10^11 normal values are.
Word k of group g of a sample of P pixels, in ceil(P / 4) groups, belongs to pixel g + k ceil(P / 4).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from rsuq_cli.datasets.dataset import pixels
from rsuq_cli.sampling.device import sent
from rsuq_cli.sampling.noise import Copies, GaussianNoise, Perturbation
from rsuq_cli.sampling.philox import PHILOX, rows_of, words

_PER_GROUP = 4
# The words of so many values take a few hundred megabytes while they are made.
_VALUES_AT_ONCE = 2**24


class CounterNoise:
    """N(0, sigma^2) added in pixel space, for a whole batch at once and in the same number of steps for any batch."""

    generator: str | None = PHILOX

    def __init__(self, *, seed: int, sigma: float, shape: tuple[int, ...], device: torch.device) -> None:
        self.seed, self.sigma, self.device = seed, sigma, device
        self._rows_at_once = max(1, _VALUES_AT_ONCE // math.prod(shape))

    def write(self, out: torch.Tensor, images: torch.Tensor, wanted: Sequence[Copies]) -> None:
        """Writes noisy copies as `Perturbation.write` says."""
        rows = rows_of(wanted)
        counters, image = (sent(torch.from_numpy(part), self.device) for part in rows)
        clean = pixels(images)
        for first in range(0, len(image), self._rows_at_once):
            here = slice(first, min(first + self._rows_at_once, len(image)))
            draw(out[here].view(len(out[here]), -1), self.seed, counters[here])
            torch.add(clean.index_select(0, image[here]), out[here], alpha=self.sigma, out=out[here])


def draw(out: torch.Tensor, seed: int, counters: torch.Tensor) -> None:
    """Writes standard normal values into `out` `[rows, pixels]` (float32), given the `counters` `[rows, 3]` of rows."""
    groups = -(-out.shape[1] // _PER_GROUP)
    random = words(seed, counters, groups)
    for half in (0, 1):
        # Half a unit above nothing: the logarithm is finite. Where the float is 1, the radius is 0.
        radius = random[2 * half].to(torch.float32).add_(0.5).mul_(2.0**-32).log_().mul_(-2.0).sqrt_()
        angle = random[2 * half + 1].to(torch.float32).mul_(2.0 * math.pi * 2.0**-32)
        for side, wave in enumerate((torch.cos, torch.sin)):
            place = out[:, (2 * half + side) * groups :][:, :groups]
            torch.mul(radius[:, : place.shape[1]], wave(angle[:, : place.shape[1]]), out=place)


def gaussian_noise(
    *, seed: int, sigma: float, shape: tuple[int, ...], device: torch.device, generator: str | None = None
) -> Perturbation:
    """Returns the Gaussian noise of a device: numpy's on the CPU, which draws it faster, unless Philox is named."""
    if device.type == "cpu" and generator is None:
        return GaussianNoise(seed=seed, sigma=sigma, shape=shape)
    return CounterNoise(seed=seed, sigma=sigma, shape=shape, device=device)
