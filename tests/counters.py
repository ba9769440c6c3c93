"""Philox 4x32 in plain integers, and which counter a group of noise values has: the truth for words of noise."""

from __future__ import annotations

from rsuq_cli.sampling.noise import Stream

Four = tuple[int, int, int, int]


def by_hand(key: tuple[int, int], counter: Four) -> Four:
    """Returns the words of one counter, as Salmon et al. 2011 write them down."""
    (k0, k1), (c0, c1, c2, c3) = key, counter
    for _ in range(10):
        first, second = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (second >> 32) ^ c1 ^ k0, second % 2**32, (first >> 32) ^ c3 ^ k1, first % 2**32
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return c0, c1, c2, c3


def counter_of(stream: Stream, index: int, sample: int, group: int) -> Four:
    """Returns the counter of a group of values: 31 bits of the sample, 63 of the input, and two bits of the stream."""
    return group, sample + 2**31 * (stream % 2), index % 2**32, index // 2**32 + 2**31 * (stream // 2)
