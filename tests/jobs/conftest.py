"""A database for the tests of what jobs gather from one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rsuq_cli.results.database import Database, open_for_writing


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    """A database of the test's own."""
    with open_for_writing(tmp_path / "results.db") as database:
        yield database
