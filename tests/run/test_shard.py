"""Shards have every input of a run once, whatever the sizes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rsuq_cli.datasets.dataset import Split
from rsuq_cli.errors import BadInput
from rsuq_cli.run.ready import Inputs, Part
from rsuq_cli.run.shard import WHOLE, Shard, parse_shard


def part(size: int, first: int) -> Part:
    numbers = np.arange(size)
    return Part("set", Split(torch.zeros(size, 1, 1, 1), torch.zeros(size), numbers), numbers, numbers + first)


@given(sizes=st.lists(st.integers(0, 23), min_size=1, max_size=4), many=st.integers(1, 9))
def test_every_input_is_in_one_shard_and_shards_are_alike(sizes: list[int], many: int) -> None:
    starts = np.cumsum([0, *sizes])
    inputs = Inputs(parts=tuple(part(size, int(first)) for size, first in zip(sizes, starts, strict=False)))
    stored = [
        [int(one) for share in inputs.of_shard(Shard(number, many)) for one in share.stored]
        for number in range(1, many + 1)
    ]
    assert sorted(one for shard in stored for one in shard) == list(range(sum(sizes)))
    assert max(map(len, stored)) - min(map(len, stored)) <= 1
    # Positions count through all parts, so that a shard takes every many-th of the run.
    assert all(position % many == number for number, shard in enumerate(stored) for position in shard)


def test_as_it_is_written() -> None:
    assert parse_shard("2/4") == Shard(2, 4)
    assert parse_shard(None) is WHOLE
    assert parse_shard("1/1").is_whole


@pytest.mark.parametrize("written", ["", "1", "0/4", "5/4", "1/0", "-1/4", "a/b", "1/4/2", "1.0/4"])
def test_what_is_no_shard_is_refused(written: str) -> None:
    with pytest.raises(BadInput, match="shard"):
        parse_shard(written)
