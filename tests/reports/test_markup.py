"""Text stays text, whatever it holds."""

from __future__ import annotations

from rsuq_cli.console import Column, Table
from rsuq_cli.reports.markup import (
    Cell,
    Html,
    element,
    folded,
    joined,
    listing,
    measured,
    paragraph,
    report_table,
    rows_table,
    settings_table,
)

HOSTILE = '</script><b a="1">&amp;\''
ESCAPED = "&lt;/script&gt;&lt;b a=&#34;1&#34;&gt;&amp;amp;&#39;"


def test_every_piece_escapes_its_text() -> None:
    table = Table(HOSTILE, [{}], [Column(f"{HOSTILE}\n%", lambda r: HOSTILE, "left")], (HOSTILE,))
    for made, times in (
        (element("p", HOSTILE, title=HOSTILE), 2),
        (paragraph(HOSTILE, class_=HOSTILE), 2),
        (listing([HOSTILE, HOSTILE]), 2),
        (rows_table((HOSTILE, "b"), [[Cell(HOSTILE), Cell(HOSTILE)]], caption=HOSTILE), 5),
        (settings_table([(HOSTILE, HOSTILE)], HOSTILE), 3),
        (report_table(table), 4),
        (folded(HOSTILE, HOSTILE), 2),
        (measured(HOSTILE, HOSTILE), 2),
        (joined([HOSTILE]), 1),
    ):
        assert HOSTILE not in made
        assert made.count(ESCAPED) == times, made


def test_markup_is_kept_and_nothing_is_escaped_twice() -> None:
    assert element("p", element("b", "<"), "&") == "<p><b>&lt;</b>&amp;</p>"
    assert isinstance(joined(["a", Html("<br>")]), Html)
    assert joined(["a", Html("<br>")]) == "a<br>"


def test_what_is_not_there_takes_no_room() -> None:
    assert listing([]) == ""
    assert settings_table([("a", ""), ("b", "1")], "c").count("<tr>") == 1
    assert element("td", "a", class_=None) == "<td>a</td>"
    assert element("div", data_checkpoint=3, aria_label="x") == '<div data-checkpoint="3" aria-label="x"></div>'
