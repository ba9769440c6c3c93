"""HTML in which every text is escaped.

Invariant: a plain string becomes text, whatever it holds; only what is marked as markup is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from markupsafe import Markup

from rsuq_cli.console import Column, Table

# Text that is markup already: everything else is escaped where it is put in.
Html = Markup


class Cell(NamedTuple):
    """A cell of a table: what it shows, and whether it is words (at the left) rather than a number."""

    content: str
    words: bool = False


def element(tag: str, *content: str, **attributes: str | int | None) -> Html:
    """Returns an element around its content; an attribute None is left out, `class_` and `data_x` are what they say."""
    named = joined(
        Html(' {}="{}"').format(name.rstrip("_").replace("_", "-"), value)
        for name, value in attributes.items()
        if value is not None
    )
    return Html("<{0}{1}>{2}</{0}>").format(Html(tag), named, joined(content))


def joined(content: Iterable[str]) -> Html:
    """Returns pieces one after the other, plain strings escaped."""
    return Html("").join(content)


def paragraph(*content: str, class_: str | None = None) -> Html:
    """Returns a paragraph."""
    return element("p", *content, class_=class_)


def listing(items: Iterable[str], class_: str = "notes") -> Html:
    """Returns a list of texts, nothing where there are none."""
    made = [element("li", item) for item in items]
    return element("ul", *made, class_=class_) if made else Html("")


def measured(value: str, *under: str) -> Html:
    """Returns a figure with what stands under it in small type: its interval, what it is of."""
    return joined([value, *(element("small", line) for line in under if line)])


def scrolled(named: str, table: Html) -> Html:
    """Returns a table that scrolls by itself, by keys too, where it does not fit."""
    return element("div", table, class_="scroll", tabindex=0, role="region", aria_label=named)


def rows_table(titles: Sequence[str], rows: Iterable[Sequence[Cell]], *, caption: str | None = None) -> Html:
    """Returns a table whose first column names its rows."""
    body = [
        element("tr", element("th", first.content, scope="row", class_="left"), *(_cell(cell) for cell in rest))
        for first, *rest in rows
    ]
    first_row = [element("th", title, scope="col", class_=None if i else "left") for i, title in enumerate(titles)]
    named = [] if caption is None else [element("caption", caption)]
    made = element("table", *named, element("thead", element("tr", *first_row)), element("tbody", *body))
    return scrolled(caption or ", ".join(titles), made)


def settings_table(settings: Iterable[tuple[str, str]], named: str) -> Html:
    """Returns names with what they are set to; settings without a value are left out."""
    rows = [
        element("tr", element("th", name, scope="row", class_="left"), element("td", value, class_="left"))
        for name, value in settings
        if value
    ]
    return scrolled(named, element("table", *rows))


def report_table(table: Table) -> Html:
    """Returns what people see of a table of the reports, with its notes."""
    body = [
        element("tr", *(element("td", column.cell(record), class_=column.justify) for column in table.columns))
        for record in table.records
    ]
    made = element("table", head(table.columns), element("tbody", *body))
    return joined([scrolled(table.title, made), listing(table.notes)])


def head(columns: Sequence[Column], *before: Html) -> Html:
    """Returns the head of a table of the reports, after what stands `before` the first of its columns."""
    cells = (element("th", *_lines(column.title), scope="col", class_=column.justify) for column in columns)
    return element("thead", element("tr", *before, *cells))


def folded(title: str, *content: str) -> Html:
    """Returns content behind a line that opens it."""
    return element("details", element("summary", title), *content)


def _cell(cell: Cell) -> Html:
    return element("td", cell.content, class_="left" if cell.words else None)


def _lines(title: str) -> list[Html]:
    return [joined(([Html("<br>")] if i else []) + [line]) for i, line in enumerate(title.split("\n"))]
