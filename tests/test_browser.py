"""A test that was skipped for want of a browser is counted aloud."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from browser import ABSENT, drive
from conftest import pytest_terminal_summary


class Terminal(SimpleNamespace):
    """A terminal that keeps the lines written to it."""

    def write_line(self, line: str, **_: Any) -> None:
        self.lines.append(line)


def summed_up(*reasons: str) -> list[str]:
    terminal = Terminal(stats={"skipped": [SimpleNamespace(longrepr=("a.py", 1, why)) for why in reasons]}, lines=[])
    pytest_terminal_summary(terminal)
    lines: list[str] = terminal.lines
    return lines


def test_it_is_skipped_and_counted_without_a_browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(pytest.skip.Exception, match="no browser"):
        drive(tmp_path, "<head></head><body></body>", "return 1;")
    (line,) = summed_up(f"Skipped: {ABSENT}", "Skipped: no GPU", f"Skipped: {ABSENT}")
    assert line.startswith("NOT TESTED: 2 tests of the page (no browser")


def test_other_skips_are_left_to_pytest() -> None:
    assert summed_up("Skipped: no GPU") == []
