"""Philox against the known answers of Random123 and plain integers, and its words by row and group."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from counters import Four, by_hand, counter_of
from hypothesis import given
from hypothesis import strategies as st

from rsuq_cli.errors import BadInput
from rsuq_cli.sampling.noise import Copies, Stream
from rsuq_cli.sampling.philox import Words, philox, rows_of, words

FULL = 2**32 - 1
word = st.integers(0, FULL)


def tensors(counter: Four) -> Words:
    one, two, three, four = (torch.tensor([value]) for value in counter)
    return one, two, three, four


# kat_vectors of Random123: philox4x32 with 10 rounds.
@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((FULL,) * 4, (FULL,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_the_known_answers(counter: Four, key: tuple[int, int], answer: Four) -> None:
    assert tuple(map(int, philox(key, tensors(counter)))) == by_hand(key, counter) == answer


@given(key=st.tuples(word, word), counter=st.tuples(word, word, word, word))
def test_it_is_the_function_of_plain_integers(key: tuple[int, int], counter: Four) -> None:
    assert tuple(map(int, philox(key, tensors(counter)))) == by_hand(key, counter)


@given(
    seed=st.integers(0, 2**63 - 1),
    jobs=st.lists(
        st.tuples(st.sampled_from(Stream), st.integers(0, 2**63 - 1), st.integers(0, 2**31 - 4), st.integers(1, 4)),
        min_size=1, max_size=4,
    ),
    groups=st.integers(1, 3),
)  # fmt: skip
def test_the_words_of_a_row_are_those_of_its_sample(
    seed: int, jobs: list[tuple[Stream, int, int, int]], groups: int
) -> None:
    wanted = [Copies(*job) for job in jobs]
    rows = rows_of(wanted)
    found = np.stack([part.numpy() for part in words(seed, torch.from_numpy(rows.counters), groups)], axis=-1)
    key = seed % 2**32, seed >> 32
    expected = [
        [by_hand(key, counter_of(one.stream, one.input_index, one.start + k, group)) for group in range(groups)]
        for one in wanted
        for k in range(one.size)
    ]
    np.testing.assert_array_equal(found, expected)
    assert rows.image.tolist() == [at for at, one in enumerate(wanted) for _ in range(one.size)]


@pytest.mark.parametrize(
    "beyond",
    [
        Copies(Stream.ESTIMATION, 0, 2**31 - 3, 4),
        Copies(Stream.ESTIMATION, 2**63, 0, 1),
        Copies(Stream.ESTIMATION, -1, 0, 1),
    ],
)
def test_what_no_counter_has_room_for_is_refused(beyond: Copies) -> None:
    rows_of([beyond._replace(start=2**31 - 4, size=4, input_index=2**63 - 1)])  # the last that there is room for
    with pytest.raises(BadInput, match=r"beyond the noise of a seed"):
        rows_of([beyond])
