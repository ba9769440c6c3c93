"""Conditions that a user writes, such as `sigma = 0.25 and model like 'resnet%'`: plain SQL over named columns.

Invariant: a condition is tried on an empty table of the columns that it may name before it meets the results, so a
mistake is told with the nearest name, no other table is read, and nothing but one expression is ever run; the
connection that it is run on cannot write. A comma at the top joins two conditions as `and` does.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass

from rsuq_cli.errors import BadInput, nearest

EXAMPLE = "write it like: sigma = 0.25 and model like 'resnet%'"
# A text in quotes, or one other character.
_PIECE = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|.", re.DOTALL)


@dataclass(frozen=True)
class Condition:
    """SQL for a condition over the names of `columns`, each with the SQL that it stands for."""

    written: str
    columns: Mapping[str, str]

    @property
    def sql(self) -> str:
        """SQL for the condition over the rows of `named`."""
        # A colon in what was written is no parameter; a comment in it ends with the line.
        return "({}\n)".format(self.written.replace(":", "\\:"))

    def named(self, source: str) -> str:
        """Returns SQL for the rows of `source` with every name that the condition may use."""
        more = "".join(f", {sql} AS {name}" for name, sql in self.columns.items() if sql != name)
        return f"(SELECT *{more} FROM {source})"

    def keeps(self, key: str, source: str) -> str:
        """Returns SQL for whether `key` is that of a row of `source` that meets the condition."""
        return f"{key} IN (SELECT {key} FROM {self.named(source)} AS named WHERE {self.sql})"


def parse_condition(text: str, columns: Mapping[str, str], *, option: str = "--where") -> Condition:
    """Returns the condition that `text` states over `columns` (the name that a user writes: its SQL).

    Raises:
        BadInput: not a condition (saying where), or a column that is not there (naming the nearest).
    """
    if not text.strip():
        raise BadInput(f"{option} says nothing", EXAMPLE)
    written = _joined(text)
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(f"CREATE TABLE named ({', '.join(columns)})")
        try:
            connection.execute(f"SELECT 1 FROM named WHERE ({written}\n)")
        except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
            raise _explained(str(error), text, columns, option) from None
    return Condition(written, columns)


def _explained(said: str, text: str, columns: Mapping[str, str], option: str) -> BadInput:
    missing = re.fullmatch(r"no such column: (\S+).*", said, re.DOTALL)
    if missing:
        return BadInput(
            f"{option}: there is no column {missing[1]!r}", f"{nearest(missing[1], columns)} (a text stands in quotes)"
        )
    return BadInput(f"{option} {text!r} is no condition: {said}", EXAMPLE)


def _joined(text: str) -> str:
    """Returns the text with every comma that stands in no quotes and no brackets as `and`, its sides in brackets."""
    parts, depth = [""], 0
    for piece in _PIECE.findall(text):
        depth += (piece == "(") - (piece == ")")
        if piece == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += piece
    return text if len(parts) == 1 else " AND ".join(f"({part}\n)" for part in parts)
