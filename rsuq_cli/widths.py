"""How a table is fitted to the width of a screen.

Invariant: no word and no number is cut while the screen is at least as wide as the longest of them, and no column is
lost: what does not fit side by side goes below, beside the columns that name the rows. Tried in this order: as it is,
intervals on a line of their own, broken between words, columns below.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.cells import cell_len

GAP = 2
_INTERVAL = re.compile(r"(?<=\S) (?=\[[^\[\]]*\]$)", re.MULTILINE)
_LINE = re.compile(r".+")
# An interval is one word.
_WORD = re.compile(r"\[[^\[\]]*\]\S*|\S+")

# A column as text: its title, then a cell for every row; a cell may have lines of its own.
Cells = Sequence[str]


class Fitted(NamedTuple):
    """A column as it is printed: its number in the table, its width in characters, its title and cells."""

    number: int
    width: int
    cells: Cells


def fitted(columns: Sequence[Cells], width: int, keys: int = 1) -> list[list[Fitted]]:
    """Returns the columns in blocks to print below each other, each at most `width` wide.

    The first `keys` columns name the rows and begin every block. Only a column that is too wide beside them on its own
    is cut.
    """
    if not columns:
        return []
    for candidate in (columns, [_stacked(cells) for cells in columns]):
        natural = [_longest(cells, _LINE) for cells in candidate]
        if _total(natural) <= width:
            return [_block(range(len(candidate)), natural, candidate)]
    least = [_longest(cells, _WORD) for cells in candidate]
    if _total(least) <= width:
        return [_block(range(len(candidate)), _shrunk(natural, least, width), candidate)]
    return [
        _block(numbers, _shrunk([natural[n] for n in numbers], [least[n] for n in numbers], width), candidate)
        for numbers in _numbers(least, width, keys)
    ]


def _stacked(cells: Cells) -> Cells:
    """Returns the cells with the interval of a figure below it."""
    return [cells[0], *(_INTERVAL.sub("\n", cell) for cell in cells[1:])]


def _longest(cells: Cells, part: re.Pattern[str]) -> int:
    return max(1, *(cell_len(found) for cell in cells for found in part.findall(cell) or [""]))


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)


def _shrunk(natural: Sequence[int], least: Sequence[int], width: int) -> list[int]:
    """Returns widths that fit, the widest made narrower first and none narrower than its longest word where it can."""
    widths = list(natural)
    while _total(widths) > width:
        loose = [at for at, one in enumerate(widths) if one > least[at]]
        at = max(loose or range(len(widths)), key=widths.__getitem__)
        if widths[at] == 1:
            break
        widths[at] -= 1
    return widths


def _numbers(least: Sequence[int], width: int, keys: int) -> Iterator[list[int]]:
    """Yields the numbers of the columns of each block: the keys, and as many others as have room."""
    named = list(range(min(keys, len(least))))
    block = list(named)
    for number in range(len(named), len(least)):
        if len(block) > len(named) and _total([least[n] for n in (*block, number)]) > width:
            yield block
            block = list(named)
        block.append(number)
    yield block


def _block(numbers: Sequence[int], widths: Sequence[int], columns: Sequence[Cells]) -> list[Fitted]:
    return [Fitted(number, width, columns[number]) for number, width in zip(numbers, widths, strict=True)]


def lines(text: str, width: int, separator: str = " · ") -> list[str]:
    """Returns a text in lines that end between its parts where these fit; a part that is too long stays one line."""
    found: list[str] = []
    for part in text.split(separator):
        if found and cell_len(found[-1] + separator + part) <= width:
            found[-1] += separator + part
        else:
            found.append(part)
    return found
