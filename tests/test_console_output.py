"""Several tables at once, and where they go."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rsuq_cli.console import Column, Table, destination, fail, print_tables
from rsuq_cli.errors import BadInput

TABLES = [Table(name, [{"a": 1, "b": 0.1}, {"a": 2, "b": None}], [Column("A", lambda r: str(r["a"]))]) for name in "xy"]


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("style", "times"), [("markdown", 2), ("latex", 2), ("json", 1), ("jsonl", 1), ("csv", 1)])
def test_people_see_all_tables_and_machines_the_first(capsys: Any, tmp_path: Path, style: Any, times: int) -> None:
    print_tables(TABLES, style)
    shown = capsys.readouterr().out
    print_tables(TABLES, style, tmp_path / "out")
    assert (tmp_path / "out").read_text() == shown
    assert {"markdown": shown.count("| A |"), "latex": shown.count(r"\toprule"), "json": shown.count("[")}.get(
        style, shown.count('"b": 0.1') + shown.count("a,b")
    ) == times


def test_named_values_alone_reach_machines(capsys: Any) -> None:
    Table("x", TABLES[0].records, TABLES[0].columns, names=["b"]).print("json")
    assert json.loads(capsys.readouterr().out) == [{"b": 0.1}, {"b": None}]


def test_a_terminal_gets_no_binary_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "stdout", Terminal(io.BytesIO()))
    with pytest.raises(BadInput, match="no text for a terminal") as caught, destination(None, binary=True):
        pytest.fail("nothing may be written")
    assert caught.value.hint == "give --output FILE"
    with destination(tmp_path / "out", binary=True) as stream:
        stream.write(b"PAR1")
    assert (tmp_path / "out").read_bytes() == b"PAR1"


WIDE = Table(
    "certified · run 1 · a long name",
    [{}],
    [Column("name", lambda _: "cnn", "left"), *[Column(f"figure {n}", lambda _: "90.00 [84.1, 97.4]") for n in "123"]],
    ["a legend of many words " * 3],
)


@pytest.mark.parametrize("columns", [30, 50, 80])
def test_a_screen_gets_no_line_that_is_wider_and_every_word_whole(
    capsys: Any, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    WIDE.print("table")
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= columns
    for word in ("[84.1, 97.4]", "figure", "certified", "legend"):
        assert word in shown
    assert shown.count("90.00") == 3


def test_a_pipe_without_a_width_folds_nothing(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    WIDE.print("table")
    assert len(capsys.readouterr().out.splitlines()) == 5


@pytest.mark.parametrize("columns", ["", "0", "-3", "wide"])
def test_a_width_that_is_none_is_as_good_as_none(capsys: Any, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    WIDE.print("table")
    assert len(capsys.readouterr().out.splitlines()) == 5


def test_a_complaint_stays_on_one_line_of_a_pipe(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    fail("what is wrong " * 5, "what to do next " * 5)
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_what_several_tables_share_is_explained_once_below_the_last(capsys: Any, tmp_path: Path) -> None:
    noted = [replace(one, notes=["shared", one.title]) for one in TABLES]
    print_tables(noted, "table")
    shown = capsys.readouterr().out
    assert shown.splitlines()[-3:] == ["shared", "x", "y"]
    print_tables(noted, "table", tmp_path / "out")
    assert (tmp_path / "out").read_text() == shown


def test_people_see_the_records_that_are_shown_and_machines_all(capsys: Any) -> None:
    table = replace(TABLES[0], shown=TABLES[0].records[:1])
    table.print("table")
    assert len(capsys.readouterr().out.splitlines()) == 4
    table.print("json")
    assert len(json.loads(capsys.readouterr().out)) == 2
