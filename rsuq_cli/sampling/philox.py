"""Random words that are a function of a seed and a place: Philox 4x32 with 10 rounds.

Invariant: the words are integers, and the same on every device and for every cut into calls; nothing is kept between
calls. Source: Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3"; the tests have the known
answers of their library, Random123.

A counter has four words: word 0 counts the groups of values in a sample, and the others say which sample it is, by 31
bits of its number, 63 of its input's, and one of the stream each in words 1 and 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from rsuq_cli.errors import BadInput
from rsuq_cli.sampling.noise import Copies

PHILOX = "philox4x32-10"  # as runs record it
_ROUNDS = 10
_MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
_WEYL = 0x9E3779B9, 0xBB67AE85
_WORD_BITS = 32
_MASK = (1 << _WORD_BITS) - 1
_MOST_SAMPLES, _MOST_INPUTS = 1 << 31, 1 << 63
_SEED_BITS = 64

Words = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


class Rows(NamedTuple):
    """Words 1 to 3 of every row's counters `[rows, 3]`, and the position of its image among those copied `[rows]`."""

    counters: npt.NDArray[np.int64]
    image: npt.NDArray[np.int64]


def rows_of(wanted: Sequence[Copies]) -> Rows:
    """Returns which samples the rows of a batch are, copies after copies.

    Raises BadInput for what no counter has room for: two samples would share their noise.
    """
    for copies in wanted:
        if copies.start + copies.size > _MOST_SAMPLES or not 0 <= copies.input_index < _MOST_INPUTS:
            raise BadInput(
                f"sample {copies.start + copies.size - 1} of input {copies.input_index} is beyond the noise of a seed",
                "an input has up to 2^31 samples",
            )
    table = np.array([(int(one.stream), one.input_index, one.start) for one in wanted], dtype=np.int64).reshape(-1, 3)
    sizes = np.array([one.size for one in wanted], dtype=np.int64)
    stream, index, start = np.repeat(table, sizes, axis=0).T
    sample = start + np.arange(sizes.sum()) - np.repeat(sizes.cumsum() - sizes, sizes)
    where = sample | (stream & 1) << 31, index & _MASK, index >> _WORD_BITS | (stream >> 1) << 31
    counters = np.stack(where, axis=1)
    return Rows(counters, np.repeat(np.arange(len(wanted)), sizes))


def words(seed: int, counters: torch.Tensor, groups: int) -> Words:
    """Returns four random words for every group of every row, `[rows, groups]` each: int64 from 0 to 2^32 - 1.

    `counters` `[rows, 3]` (int64) are those of `Rows`, on the device where the words are made. A seed counts by its
    last 64 bits.
    """
    group = torch.arange(groups, device=counters.device)[None]
    one, two, three = counters[:, :, None].unbind(1)
    seed %= 1 << _SEED_BITS
    return philox((seed & _MASK, seed >> _WORD_BITS), (group, one, two, three))


def philox(key: tuple[int, int], counter: Words) -> Words:
    """Returns the words of counters, given as four tensors of words that broadcast, under a key of two words."""
    shape = torch.broadcast_shapes(*(one.shape for one in counter))  # type: ignore[no-untyped-call]
    numbers = [_Numbers(one.expand(shape).clone(memory_format=torch.contiguous_format)) for one in counter]
    even, odd = numbers[::2], numbers[1::2]
    products = [_Numbers(torch.empty_like(even[0].all)) for _ in range(2)]
    key0, key1 = key
    for _ in range(_ROUNDS):
        # 64 bits, of which the sign is one: they are read as two words. Above an even word there stays nothing.
        for number, multiplier, product in zip(even, _MULTIPLIERS, products, strict=True):
            torch.mul(number.all, multiplier, out=product.all)
        torch.bitwise_xor(products[1].high, odd[0].low, out=even[0].low).bitwise_xor_(_signed(key0))
        torch.bitwise_xor(products[0].high, odd[1].low, out=even[1].low).bitwise_xor_(_signed(key1))
        odd, products = products[::-1], odd[::-1]
        key0, key1 = (key0 + _WEYL[0]) & _MASK, (key1 + _WEYL[1]) & _MASK
    return even[0].all, odd[0].all.bitwise_and_(_MASK), even[1].all, odd[1].all.bitwise_and_(_MASK)


class _Numbers:
    """64-bit numbers, and in the same memory the lower and the upper words of each, as signed ones."""

    def __init__(self, numbers: torch.Tensor) -> None:
        halves = numbers.view(torch.int32)  # all machines that torch is for keep the lower word first
        self.all, self.low, self.high = numbers, halves[..., ::2], halves[..., 1::2]


def _signed(word: int) -> int:
    """Returns the number that has the bits of a word and a sign."""
    return word - (1 << _WORD_BITS) if word >> (_WORD_BITS - 1) else word
