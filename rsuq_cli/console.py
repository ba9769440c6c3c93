"""The two streams: stdout carries the answer, stderr everything else; and one table with many renderers.

Invariant: with a machine format stdout is pure. A radius is never rounded up.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_FLOOR, Decimal
from pathlib import Path
from typing import Any, BinaryIO, Literal, TextIO, cast, get_args

from rich.box import SIMPLE_HEAD, Box
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table as RichTable
from rich.text import Text

from rsuq_cli.errors import BadInput
from rsuq_cli.files import new_file
from rsuq_cli.formats import MACHINE_FORMATS, MachineFormat, Record, write_records
from rsuq_cli.spelling import READABLE, readable
from rsuq_cli.widths import Fitted, fitted, lines

Format = Literal["table", "json", "jsonl", "csv", "markdown", "latex", "parquet"]
FORMATS: tuple[Format, ...] = get_args(Format)
# A pipe or a file has no width of its own: nothing is folded there.
UNFOLDED = 1000
# A rule below the titles and nothing else, where a stream has no rules.
_PLAIN_HEAD = Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)


class _Console(Console):
    """A console that spells out what its stream lacks before it lays text out, so that columns stay columns."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(readable(text, self.encoding), **options)


def out() -> Console:
    """Returns the console of the answer, stdout as it is now; in a pipe COLUMNS, where it is set, is its width."""
    columns = os.environ.get("COLUMNS", "")
    return _console(sys.stdout, int(columns) if columns.isdecimal() and int(columns) else UNFOLDED)


def err() -> Console:
    """Returns the console of everything else, stderr as it is now; in a pipe what is said stays on one line."""
    return _console(sys.stderr)


def _console(stream: TextIO, width: int = UNFOLDED) -> Console:
    return _Console(file=stream, highlight=False, emoji=False, width=None if stream.isatty() else width)


def say(line: str, *, style: str | None = "dim") -> None:
    """Prints a line for the user on stderr."""
    err().print(escape(line), style=style)


def warn(line: str) -> None:
    """Prints what the user should know before trusting the answer, on stderr."""
    err().print(f"[yellow]warning:[/] {escape(line)}")


def fail(message: str, hint: str = "") -> None:
    """Prints what is wrong, and what to do next, on one line of stderr."""
    err().print(f"[bold red]error:[/] {escape(message)}" + (f"; {escape(hint)}" if hint else ""))


def radius_text(radius: float | None, digits: int = 3) -> str:
    """Returns a radius rounded down to so many decimals, "-" where there is none."""
    if radius is None or math.isnan(radius):
        return "-"
    if math.isinf(radius):
        return "∞"
    # The shortest decimal of the float, so that 0.29 stays 0.29 and is not cut to 0.28 for being 0.28999….
    exact = Decimal(repr(float(radius)))
    return str(exact.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_FLOOR))


def percent_text(share: float | None, digits: int = 1) -> str:
    """Returns a share in percent, "-" where there is none."""
    return "-" if share is None else f"{100 * share:.{digits}f}"


def number_text(value: float | None) -> str:
    """Returns a number in few digits, "-" where there is none."""
    return "-" if value is None else f"{value:g}"


@dataclass(frozen=True)
class Column:
    """A column that people see: a title, how a record becomes a cell, and the name it is kept, dropped or sorted by."""

    title: str
    cell: Callable[[Record], str]
    justify: Literal["left", "right"] = "right"
    name: str = ""


@dataclass(frozen=True)
class Table:
    """Records with every value, and the columns that people see of them.

    `names` are the values that machines get, None for all; `shown` the records that a screen gets, None for all; the
    first `keys` columns name a row. A cell's first line is the figure, what follows explains it.
    """

    title: str
    records: Sequence[Record]
    columns: Sequence[Column]
    notes: Sequence[str] = field(default=())
    names: Sequence[str] | None = None
    shown: Sequence[Record] | None = None
    keys: int = 1

    def print(self, style: Format) -> None:
        """Prints the table to stdout in one of `FORMATS`."""
        print_tables([self], style)

    def write(self, style: MachineFormat, stream: BinaryIO) -> None:
        """Writes all values of all records, unrounded, to a binary stream."""
        if style == "json":
            stream.write(self.json().encode() + b"\n")
        else:
            write_records(self._named(), style, stream)

    def json(self) -> str:
        """Returns all values of all records, unrounded."""
        stream = io.BytesIO()
        write_records(self._named(), "json", stream)
        return stream.getvalue().decode().rstrip("\n")

    def _named(self) -> Sequence[Record]:
        if self.names is None:
            return self.records
        return [{name: record[name] for name in self.names} for record in self.records]

    def rows(self, records: Iterable[Record]) -> list[list[str]]:
        """Returns the cells of records, row by row."""
        return [[column.cell(record) for column in self.columns] for record in records]

    def markdown(self) -> str:
        """Returns what people see, as a Markdown table."""
        titles = [column.title.replace("\n", " ") for column in self.columns]
        rules = ["---:" if column.justify == "right" else "---" for column in self.columns]
        rows = [[_markdown(cell) for cell in row] for row in self.rows(self.records)]
        return "\n".join("| " + " | ".join(cells) + " |" for cells in (titles, rules, *rows))

    def latex(self) -> str:
        """Returns what people see, as a LaTeX table for the booktabs package."""
        layout = "".join("r" if column.justify == "right" else "l" for column in self.columns)
        titles = " & ".join(_latex(column.title.replace("\n", " ")) for column in self.columns)
        rows = [" & ".join(_latex(cell.replace("\n", " ")) for cell in row) + r" \\" for row in self.rows(self.records)]
        head = [rf"\begin{{tabular}}{{{layout}}}", r"\toprule", titles + r" \\", r"\midrule"]
        return "\n".join([*head, *rows, r"\bottomrule", r"\end{tabular}"])

    def print_rich(self, console: Console, *, notes: bool = True) -> None:
        """Prints what people see to a console, no wider than that is, with the notes below."""
        rows = self.rows(self.records if self.shown is None else self.shown)
        # Spelled out before widths are measured, so that columns stay columns.
        columns = [
            [readable(cell, console.encoding) for cell in (column.title, *(row[at] for row in rows))]
            for at, column in enumerate(self.columns)
        ]
        _print_lines(self.title, console, style="bold")
        for number, block in enumerate(fitted(columns, console.width, self.keys)):
            if number:
                console.print()
            console.print(self._block(block, SIMPLE_HEAD if console.encoding.startswith("utf") else _PLAIN_HEAD))
        if notes:
            print_notes(self.notes, console)

    def _block(self, block: Sequence[Fitted], box: Box) -> RichTable:
        table = RichTable(box=box, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), border_style="dim")
        for one in block:
            justify = self.columns[one.number].justify
            table.add_column(Text(one.cells[0]), width=one.width, justify=justify, vertical="top", overflow="fold")
        for cells in zip(*(one.cells[1:] for one in block), strict=True):
            table.add_row(*map(_cell, cells))
        return table


def print_text(paragraphs: Iterable[str]) -> None:
    """Prints prose to stdout, each paragraph on lines of its own, broken between words only."""
    console = out()
    for paragraph in paragraphs:
        console.print(Text(readable(paragraph, console.encoding)), overflow="fold")


def print_notes(notes: Iterable[str], console: Console) -> None:
    """Prints what explains a table, each note once, broken between words only."""
    for note in dict.fromkeys(notes):
        _print_lines(note, console)


def _print_lines(text: str, console: Console, style: str = "") -> None:
    for line in lines(readable(text, console.encoding), console.width):
        console.print(Text(line, style), overflow="fold")


def is_machine(style: Format) -> bool:
    """Returns whether a format is read by programs: every value, unrounded."""
    return style in MACHINE_FORMATS


def print_tables(tables: Sequence[Table], style: Format, output: Path | None = None, *, force: bool = False) -> None:
    """Prints tables to stdout, or writes them to the file `output`, whole or not at all.

    People see all of them, one below the other, and below the last what explains them; a machine format carries the
    records of the first alone.

    Raises:
        BadInput: the file exists and `force` is not given, it cannot be written, or a terminal would get Parquet.
    """
    if style == "table" and output is None:
        _print_people(tables, out())
        return
    with destination(output, force=force, binary=style == "parquet") as stream:
        _render(tables, style, stream, encoding="utf-8" if output else sys.stdout.encoding)


@contextlib.contextmanager
def destination(output: Path | None, *, force: bool = False, binary: bool = False) -> Iterator[BinaryIO]:
    """Yields where an answer goes, as bytes: the file `output`, whole or not at all, else stdout.

    Raises:
        BadInput: the file exists and `force` is not given, it cannot be written, or a terminal would get binary data.
    """
    if output is not None:
        with new_file(output, force=force) as stream:
            yield stream
        return
    if binary and sys.stdout.isatty():
        raise BadInput("this format is no text for a terminal", "give --output FILE")
    sys.stdout.flush()
    yield sys.stdout.buffer
    sys.stdout.buffer.flush()


def _render(tables: Sequence[Table], style: Format, stream: BinaryIO, *, encoding: str) -> None:
    if is_machine(style):
        tables[0].write(cast("MachineFormat", style), stream)
        return
    if style == "table":
        text = io.StringIO()
        _print_people(tables, _console(text))
        written = text.getvalue().rstrip("\n")
    else:
        written = "\n\n".join(table.markdown() if style == "markdown" else table.latex() for table in tables)
    stream.write(written.encode(encoding, READABLE) + b"\n")


def _print_people(tables: Sequence[Table], console: Console) -> None:
    for number, table in enumerate(tables):
        if number:
            console.print()
        table.print_rich(console, notes=len(tables) == 1)
    if len(tables) > 1:
        console.print()
        print_notes((note for table in tables for note in table.notes), console)


def _cell(text: str) -> Text:
    figure, *explained = text.split("\n")
    return Text("\n").join([Text(figure), *(Text(line, "dim") for line in explained)])


def _markdown(cell: str) -> str:
    return cell.replace("|", r"\|").replace("\n", " ")


def _latex(cell: str) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    special |= {"∞": r"$\infty$", "≥": r"$\geq$"}
    special |= {"θ": r"$\theta$", "σ": r"$\sigma$", "α": r"$\alpha$", "⊥": r"$\bot$"}
    special |= {character: "\\" + character for character in "&%$#_{}"}
    return "".join(special.get(character, character) for character in cell)


class _Bar(Progress):
    """A progress bar with a line of its own for what there is to say: beside the bar it would break it."""

    def get_renderables(self) -> Iterator[RenderableType]:
        """Yields the bar and, where there is one, the note of its task, cut to the width of the terminal."""
        yield self.make_tasks_table(self.tasks)
        for task in self.tasks:
            if note := task.fields["note"]:
                yield Text(note, style="dim", no_wrap=True, overflow="ellipsis")


class Reporter:
    """Tells a user at a terminal how far work is: a bar where there is one, else a plain line now and then."""

    PLAIN_SECONDS = 30.0

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._name, self._done, self._total = "", 0, 0
        self._started = self._spoke = 0.0

    def say(self, line: str) -> None:
        """Prints one line on stderr."""
        if self._bar:
            self._bar.console.print(escape(line), style="dim")
        else:
            say(line)

    def begin(self, task: str, total: int) -> None:
        """Begins a task of `total` units."""
        self._name, self._done, self._total = task, 0, total
        self._started = self._spoke = time.monotonic()
        if sys.stderr.isatty():
            left = (TimeRemainingColumn(), TextColumn("left", style="progress.remaining"))
            columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), *left)
            self._bar = _Bar(*columns, console=err(), transient=True)
            self._bar.start()
            self._task = self._bar.add_task(task, total=total, note="")

    def advance(self, units: int, note: str = "") -> None:
        """Adds finished units."""
        self._done += units
        if self._bar and self._task is not None:
            self._bar.update(self._task, advance=units, note=note)
            return
        now = time.monotonic()
        if now - self._spoke >= self.PLAIN_SECONDS and self._done:
            self._spoke = now
            left = (now - self._started) / self._done * (self._total - self._done)
            say(f"{self._name}: {self._done:,} of {self._total:,}, {left:,.0f} s to go" + (f"; {note}" if note else ""))

    def end(self) -> None:
        """Ends the task, done or not."""
        if self._bar:
            self._bar.stop()
        self._bar = self._task = None
