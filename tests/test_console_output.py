"""Several tables at once, and where they go."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from rsuq_cli.console import Column, Table, destination, print_tables
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
