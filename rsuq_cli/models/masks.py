"""Masks of dropout from numbers that the input itself decides.

Invariant: a mask is a function of (seed, bits of the input, pass, layer, element), in integers, so that it is the same
on every device that holds the same input; SplitMix64 (Steele et al. 2014) makes the numbers.
"""

from __future__ import annotations

import torch

_BITS = 24


def _signed(number: int) -> int:
    """Returns the 64 bits of a number as torch's int64 has them."""
    number %= 2**64
    return number - 2**64 if number >= 2**63 else number


_STEP = 0x9E3779B97F4A7C15
_FIRST, _SECOND = _signed(0xBF58476D1CE4E5B9), _signed(0x94D049BB133111EB)


def mixed(state: torch.Tensor) -> torch.Tensor:
    """Returns SplitMix64's output for states, int64 of any shape."""
    state = (state ^ _shifted(state, 30)) * _FIRST
    state = (state ^ _shifted(state, 27)) * _SECOND
    return state ^ _shifted(state, 31)


def keys_of(images: torch.Tensor, seed: int) -> torch.Tensor:
    """Returns a number for every image `[N, C, H, W]` (float32), int64 `[N]`: a hash of its bits under the seed.

    Inputs that differ anywhere have different keys but for a chance of about 2^-62 (a multilinear hash).
    """
    # Adding zero makes one number of the two zeros; what follows has no gradient.
    bits = (images.detach().float() + 0.0).flatten(1).contiguous().view(torch.int32).long()
    places = torch.arange(1, bits.shape[1] + 1, device=images.device)
    factors = mixed(places * _signed(_STEP) + _signed(seed * _FIRST + 1)) | 1
    return mixed((bits * factors).sum(dim=1))


def dropped(
    features: torch.Tensor, keys: torch.Tensor, rate: float, *, turn: int, layer: int, by_channel: bool = False
) -> torch.Tensor:
    """Returns features `[N, ...]` with a share set to 0, and the rest scaled up; whole channels with `by_channel`."""
    shape = features.shape[1:2] if by_channel else features.shape[1:]
    elements = torch.arange(1, shape.numel() + 1, device=features.device) * _signed(_STEP)
    own = mixed(keys + _signed(_STEP * (2**20 * (turn + 1) + layer + 1)))
    numbers = _shifted(mixed(own[:, None] + elements), 64 - _BITS)
    kept = (numbers >= round(rate * 2**_BITS)).view(len(features), *shape)
    kept = kept.view(*kept.shape, *[1] * (features.ndim - kept.ndim))
    scaled: torch.Tensor = features * kept * (1 / (1 - rate) if rate < 1 else 0.0)
    return scaled


def _shifted(state: torch.Tensor, by: int) -> torch.Tensor:
    """Returns a shift to the right that draws in zeros, which torch's own does not."""
    shifted: torch.Tensor = (state >> by) & (2 ** (64 - by) - 1)
    return shifted
