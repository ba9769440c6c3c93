"""Tables on screens of any width: nothing is cut, nothing is lost."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from rsuq_cli.widths import GAP, Fitted, fitted, lines

NAMES = ["set", "noise:smooth", "constant"]
SHARES = ["AUROC %", "94.8 [86.2, 98.2]", "100.0 [95.0, 100.0]"]
WORDS = ["what it says", "smoothing helps", "a great deal"]
WORD = st.text("abc[", min_size=1, max_size=9)
CELL = st.lists(st.lists(WORD, min_size=1, max_size=4).map(" ".join), min_size=1, max_size=2).map("\n".join)


def total(block: list[Fitted]) -> int:
    return sum(one.width for one in block) + GAP * (len(block) - 1)


def test_what_fits_stays_as_it_is() -> None:
    (block,) = fitted([NAMES, SHARES, WORDS], 200)
    assert [one.cells for one in block] == [NAMES, SHARES, WORDS]
    assert [one.width for one in block] == [12, 19, 15]


def test_an_interval_goes_below_its_figure_before_any_word_is_wrapped() -> None:
    (block,) = fitted([NAMES, SHARES, WORDS], 46)
    assert block[1].cells == ["AUROC %", "94.8\n[86.2, 98.2]", "100.0\n[95.0, 100.0]"]
    assert [one.width for one in block] == [12, 13, 15]


def test_then_the_widest_column_is_wrapped_but_no_interval_and_no_word() -> None:
    (block,) = fitted([NAMES, SHARES, WORDS], 38)
    assert [one.width for one in block] == [12, 13, 9]


def test_a_column_without_room_goes_below_beside_what_names_the_row() -> None:
    first, second = fitted([NAMES, SHARES, WORDS], 30)
    assert [one.number for one in first] == [0, 1]
    assert [one.number for one in second] == [0, 2]


def test_several_columns_can_name_a_row() -> None:
    blocks = fitted([NAMES, SHARES, WORDS, WORDS], 40, keys=2)
    assert [[one.number for one in block] for block in blocks] == [[0, 1, 2], [0, 1, 3]]


def test_wide_characters_need_two_places() -> None:
    assert fitted([["犬", "猫猫"]], 80)[0][0].width == 4


def test_a_table_without_columns_has_no_blocks() -> None:
    assert fitted([], 80) == []


@given(st.lists(st.lists(CELL, min_size=3, max_size=3), min_size=1, max_size=6), st.integers(22, 90), st.integers(1, 2))
def test_every_column_is_there_and_no_word_is_cut_where_the_longest_have_room(
    columns: list[list[str]], width: int, keys: int
) -> None:
    blocks = fitted(columns, width, keys)
    assert {one.number for one in itertools.chain(*blocks)} == set(range(len(columns)))
    longest = [max(len(word) for cell in cells for word in cell.split()) for cells in columns]
    for block in blocks:
        if sum(longest[one.number] for one in block) + GAP * (len(block) - 1) <= width:
            assert total(block) <= width
            assert all(one.width >= longest[one.number] for one in block)
        else:
            assert len(block) <= keys + 1


def test_a_title_breaks_between_its_parts() -> None:
    title = "certified · run 1 · cnn · α = 0.001 · majority rule"
    assert lines(title, 80) == [title]
    assert lines(title, 30) == ["certified · run 1 · cnn", "α = 0.001 · majority rule"]
    assert lines("no parts at all", 4) == ["no parts at all"]
