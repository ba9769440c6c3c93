"""One thing with everything about it: for people its values one below the other, for machines one object.

Invariant: the object holds every value that a person sees, unrounded.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable
from rich.text import Text

from rsuq_cli.console import Column, Table, print_notes
from rsuq_cli.formats import Record

# Of a setting that people see: the fingerprint of a network is hundreds of numbers.
_LONGEST = 200


@dataclass(frozen=True)
class Sheet(Table):
    """A table of one record; `lines` are the titles and texts that people see of it."""

    lines: tuple[tuple[str, str], ...] = field(default=())

    def json(self) -> str:
        """Returns the record as an object."""
        return json.dumps(dict(self.records[0]), indent=2, allow_nan=False)

    def markdown(self) -> str:
        """Returns what people see, as a Markdown table."""
        return self._upright().markdown()

    def latex(self) -> str:
        """Returns what people see, as a LaTeX table for the booktabs package."""
        return self._upright().latex()

    def print_rich(self, console: Console, *, notes: bool = True) -> None:
        """Prints what people see to a console without rules, so that a value can be marked and copied; notes below."""
        grid = RichTable.grid(padding=(0, 2, 0, 0))
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(overflow="fold")
        for what, value in self.lines:
            grid.add_row(escape(what), escape(value))
        console.print(escape(self.title), style="bold")
        if console.is_terminal:
            console.print(grid)
        else:  # what fills the lines of a table up would be part of a file
            with console.capture() as captured:
                console.print(grid)
            for line in captured.get().splitlines():
                console.print(Text(line.rstrip()), overflow="ignore", no_wrap=True, crop=False)
        if notes:
            print_notes(self.notes, console)

    def _upright(self) -> Table:
        records = [{"what": what, "value": value} for what, value in self.lines]
        columns = [Column("what", lambda r: r["what"], "left"), Column("value", lambda r: r["value"], "left")]
        return Table(self.title, records, columns, self.notes)


def sheet(title: str, record: Record, lines: Iterable[tuple[str, object]], notes: Iterable[str] = ()) -> Sheet:
    """Returns a sheet of a record; lines that say nothing (None, "" or an empty list) are left out."""
    kept = [(what, value) for what, value in lines if value is not None and value != "" and value != []]
    shown = tuple((what, "\n".join(map(str, v)) if isinstance(v, list) else str(v)) for what, v in kept)
    return Sheet(title, [record], [], tuple(notes), lines=shown)


def configuration_lines(configuration: Mapping[str, Any]) -> list[str]:
    """Returns one line for each setting, in the order of the alphabet; long lists of numbers are cut short."""
    written = [f"{name} = {json.dumps(value)}" for name, value in sorted(configuration.items())]
    return [line if len(line) <= _LONGEST else f"{line[:_LONGEST]} …" for line in written]
