"""The two streams, and one table in every format."""

from __future__ import annotations

import csv
import io
import json
import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsuq_cli import console
from rsuq_cli.console import FORMATS, Column, Reporter, Table, number_text, percent_text, radius_text

RECORDS = [
    {"name": "a|b_c & 5 %", "radius_cc": 0.12345678901234567, "limit": None},
    {"name": "[red]x[/red] :warning:", "radius_cc": 1.0, "limit": 3},
]
COLUMNS = [
    Column("name", lambda r: str(r["name"]), "left"),
    Column("radius\nCC", lambda r: radius_text(r["radius_cc"])),
]
TABLE = Table("both [bold]radii", RECORDS, COLUMNS, notes=["a note with [brackets]"])


# Numbers


@given(radius=st.floats(0.0, 1e6), digits=st.integers(1, 6))
def test_a_radius_is_never_rounded_up_and_loses_less_than_a_digit(radius: float, digits: int) -> None:
    text = radius_text(radius, digits)
    assert float(text) <= radius
    assert radius - float(text) <= 10.0**-digits * (1 + 1e-9) + math.ulp(radius)
    assert len(text.partition(".")[2]) == digits


@pytest.mark.parametrize("hundredths", range(100))
def test_a_radius_of_few_digits_is_printed_as_it_is(hundredths: int) -> None:
    # 0.29 as a binary fraction is 0.28999…: cutting that would print 0.289.
    assert radius_text(hundredths / 100) == f"0.{hundredths:02d}0"


@pytest.mark.parametrize(
    ("radius", "text"),
    [(0.9999, "0.999"), (0.0, "0.000"), (1e-9, "0.000"), (2.0, "2.000"), (math.inf, "∞"), (None, "-"), (math.nan, "-")],
)
def test_the_text_of_a_radius(radius: float | None, text: str) -> None:
    assert radius_text(radius) == text


def test_shares_and_numbers() -> None:
    assert [percent_text(0.1234), percent_text(1.0, 0), percent_text(None)] == ["12.3", "100", "-"]
    assert [number_text(0.25), number_text(1e-7), number_text(None)] == ["0.25", "1e-07", "-"]


# Formats


def printed(capsys: pytest.CaptureFixture[str], style: console.Format, table: Table = TABLE) -> str:
    table.print(style)
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def test_json_has_every_value_unrounded(capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(printed(capsys, "json")) == RECORDS


def test_json_without_records_is_an_empty_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(printed(capsys, "json", Table("none", [], COLUMNS))) == []


def test_json_refuses_what_json_does_not_have() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        Table("", [{"radius_ncl": math.inf}], []).json()


def test_csv_has_every_value_unrounded(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = csv.DictReader(io.StringIO(printed(capsys, "csv")))
    assert float(first["radius_cc"]) == RECORDS[0]["radius_cc"]
    assert [first["name"], second["name"]] == [r["name"] for r in RECORDS]
    assert [first["limit"], second["limit"]] == ["", "3"]


def test_csv_spreads_a_curve_and_an_interval_over_columns() -> None:
    curve = [{"radius": 0.0, "share": 0.9, "interval": {"low": 0.8}}, {"radius": 0.25, "share": 0.5}]
    record = {"run": 1, "curve": curve, "coverage": {"low": 0.1, "high": 0.2}, "measures": ["entropy", "margin"]}
    stream = io.BytesIO()
    Table("", [record], []).write("csv", stream)
    (row,) = csv.DictReader(io.StringIO(stream.getvalue().decode()))
    assert {name: row[name] for name in ("curve@0_share", "curve@0.25_share", "coverage_low", "coverage_high")} == {
        "curve@0_share": "0.9",
        "curve@0.25_share": "0.5",
        "coverage_low": "0.1",
        "coverage_high": "0.2",
    }
    assert json.loads(row["measures"]) == ["entropy", "margin"]


def test_markdown_is_a_table_that_cells_cannot_break(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "markdown").splitlines() == [
        "| name | radius CC |",
        "| --- | ---: |",
        r"| a\|b_c & 5 % | 0.123 |",
        "| [red]x[/red] :warning: | 1.000 |",
    ]


def test_latex_is_a_booktabs_table_that_cells_cannot_break(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "latex").splitlines() == [
        r"\begin{tabular}{lr}",
        r"\toprule",
        r"name & radius CC \\",
        r"\midrule",
        r"a|b\_c \& 5 \% & 0.123 \\",
        r"[red]x[/red] :warning: & 1.000 \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


@pytest.mark.parametrize(
    ("cell", "latex"),
    [
        ("~/a^b", r"\textasciitilde{}/a\textasciicircum{}b"),
        ("C:\\x{1}$#", r"C:\textbackslash{}x\{1\}\$\#"),
        ("∞ ≥ θ σ α", r"$\infty$ $\geq$ $\theta$ $\sigma$ $\alpha$"),
    ],
)
def test_latex_escapes_what_is_special_there(cell: str, latex: str) -> None:
    table = Table("", [{}], [Column("c", lambda _: cell)])
    assert table.latex().splitlines()[4] == latex + r" \\"


def test_a_person_sees_user_text_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    shown = printed(capsys, "table")
    for text in ("both [bold]radii", "[red]x[/red] :warning:", "a|b_c & 5 %", "a note with [brackets]", "0.123"):
        assert text in shown


def test_a_table_in_a_pipe_is_not_folded(capsys: pytest.CaptureFixture[str]) -> None:
    long = "/a/very/long/path" * 20
    assert long in printed(capsys, "table", Table("", [{}], [Column("file", lambda _: long, "left")], notes=[long * 4]))


@pytest.mark.parametrize("style", sorted(set(FORMATS) - {"parquet"}))
def test_every_format_prints_both_records(style: console.Format, capsys: pytest.CaptureFixture[str]) -> None:
    shown = printed(capsys, style)
    assert "0.123" in shown
    assert "1.0" in shown
    assert shown.endswith("\n")


# Streams


def test_what_is_said_goes_to_stderr_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    console.say("run 1: [red]x[/] :warning: 100 %")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "run 1: [red]x[/] :warning: 100 %\n"


@pytest.mark.parametrize(
    ("hint", "line"),
    [
        ("did you mean [b]?", "error: no data set 'npz:[red]x'; did you mean [b]?\n"),
        ("", "error: no data set 'npz:[red]x'\n"),
    ],
)
def test_a_mistake_is_one_line_on_stderr(hint: str, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    console.fail("no data set 'npz:[red]x'", hint)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", line)


def test_the_answer_goes_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    console.out().print("answer")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("answer\n", "")


# Progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, in seconds, for the test to move."""
    now = [100.0]
    monkeypatch.setattr("rsuq_cli.console.time.monotonic", lambda: now[0])
    return now


def test_without_a_terminal_progress_is_a_plain_line_now_and_then(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    reporter = Reporter()
    reporter.begin("certify", 4000)
    for seconds in (2, 12, 17, 6, 9):
        clock[0] += seconds
        reporter.advance(500, "epoch 1")
    reporter.end()
    captured = capsys.readouterr()
    assert captured.out == ""
    # 31 seconds in: 1,500 done, 2,500 to go at the same rate. The next line would be due thirty seconds later.
    assert captured.err == "certify: 1,500 of 4,000, 52 s to go; epoch 1\n"


def test_a_second_task_starts_from_nothing(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    reporter = Reporter()
    for total in (10, 20):
        reporter.begin("task", total)
        clock[0] += 31
        reporter.advance(5)
        reporter.end()
    assert capsys.readouterr().err.splitlines() == ["task: 5 of 10, 31 s to go", "task: 5 of 20, 93 s to go"]


def test_at_a_terminal_there_is_a_bar_and_lines_stay_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    reporter = Reporter()
    reporter.begin("certify", 10)
    reporter.advance(4, "[note]")
    reporter.say("cpu is out of memory: [32]")
    reporter.end()
    reporter.end()  # ending twice does no harm: Ctrl-C may come in between
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "cpu is out of memory: [32]" in captured.err
    assert "40%" in captured.err
    assert "left" in captured.err  # the time that it takes yet, and nothing else


@pytest.mark.parametrize("columns", [40, 80, 100])
def test_a_long_note_has_a_line_of_its_own_and_never_breaks_the_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: int
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(columns))
    reporter = Reporter()
    reporter.begin("certify", 3_600_000)
    reporter.advance(1_200_000, "12,000 inputs: " + "91.3 % right, " * 12)
    assert reporter._bar is not None
    lines = reporter._bar.console.render_lines(reporter._bar.get_renderable(), pad=False)
    reporter.end()
    shown = ["".join(segment.text for segment in line) for line in lines]
    assert len(shown) == 2
    assert shown[0].startswith("certify ")
    assert shown[1].startswith("12,000 inputs: 91.3 % right, ")
    assert shown[1].endswith("…")
    assert all(len(line) <= columns for line in shown)
    capsys.readouterr()
