"""Output that nothing can break: other encodings, readers that leave, a full disk."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from rsuq_cli.console import Column, Table, print_tables

ENCODINGS = (
    {"PYTHONIOENCODING": "cp1252"},
    {"PYTHONIOENCODING": "ascii:strict"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
)
RADIUS = ("radius", "--sigma", "1", "--alpha", "0.001", "--certain", "0:9000", "--certain", "1:100")


def _run(*arguments: str, **how: Any) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, **how.pop("env", {})}
    command = [sys.executable, "-m", "rsuq_cli", *arguments]
    return subprocess.run(command, env=environment, check=False, **{"capture_output": True, **how})


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        *((RADIUS, environment) for environment in ENCODINGS),
        (("certify", "--help"), ENCODINGS[0]), (("nosuch",), ENCODINGS[-1]),
        *(pytest.param(*both, marks=pytest.mark.slow)
          for both in [*product([("certify", "--help")], ENCODINGS[1:]), *product([("nosuch",)], ENCODINGS[:-1])]),
    ],
)  # fmt: skip
def test_every_encoding_is_good_enough(place: object, arguments: tuple[str, ...], environment: dict[str, str]) -> None:
    result = _run(*arguments, env=environment)
    assert result.returncode == (2 if arguments == ("nosuch",) else 0), result.stderr
    assert b"Error:" not in result.stderr
    if environment != ENCODINGS[0]:
        assert result.stdout.isascii()
    if arguments == RADIUS:
        text = result.stdout.decode("cp1252")
        assert "sigma" in text
        _, *head, rule, row = text.splitlines()[:5]
        assert set(rule) == {"-"}
        assert {len(line) for line in (*head, rule, row)} == {len(rule)}, text


def test_a_file_is_utf8_and_the_terminal_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table("σ", [{"radius": 1.0}], [Column("σ × 2", lambda record: "∞")])
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", terminal)
    print_tables([table], "markdown")
    print_tables([table], "markdown", tmp_path / "a.md")
    assert terminal.buffer.getvalue().decode("cp1252") == "| sigma × 2 |\n| ---: |\n| inf |\n"
    assert (tmp_path / "a.md").read_text(encoding="utf-8") == "| σ × 2 |\n| ---: |\n| ∞ |\n"


@pytest.mark.parametrize("arguments", [("certify", "--help"), RADIUS, ("report", "99")])
@pytest.mark.parametrize("both", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_reader_that_leaves_is_no_error(place: object, arguments: tuple[str, ...], both: bool) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    result = _run(*arguments, capture_output=False, stdout=writing, stderr=writing if both else subprocess.PIPE)
    os.close(writing)
    refused = "report" in arguments  # there is no database
    assert result.returncode == (4 if refused and not both else 141)
    if not both:
        assert b"Traceback" not in result.stderr
        assert b"Exception" not in result.stderr
        assert bool(result.stderr) == refused


def test_streams_that_were_closed_are_no_error(place: object) -> None:
    command = f"{sys.executable} -m rsuq_cli {' '.join(RADIUS)} >&- 2>&-"
    assert subprocess.run(command, shell=True, check=False).returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_is_one_line(place: object) -> None:
    with Path("/dev/full").open("w") as full:
        result = _run(*RADIUS, capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert result.returncode == 2
    assert result.stderr == b"error: the output cannot be written: No space left on device; make room\n"
