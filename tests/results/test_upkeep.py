"""Copies and vacuuming change nothing that is stored."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from rsuq_cli.errors import BadInput, DatabaseError
from rsuq_cli.results.database import check
from rsuq_cli.results.upkeep import back_up, vacuum
from rsuq_cli.results.writer import store_inputs


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


@pytest.fixture
def filled(scored: Any, made: Any) -> Any:
    inputs = range(200)
    rows = [made.sample(scored.scoring_id, i) for i in inputs]
    store_inputs(scored.db, scored.run_id, [made.evidence(i, counts=b"x" * 2000) for i in inputs], rows)
    return scored


def test_a_copy_is_the_same_while_a_writer_is_at_work(filled: Any, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    with filled.db.transaction() as connection:
        connection.execute(text("DELETE FROM certified_sample"))
        assert back_up(filled.db.path, copy) == copy
        connection.rollback()
    assert dump(copy) == dump(filled.db.path)
    assert not list(tmp_path.glob(".copy*"))


def test_a_copy_without_a_name_lies_beside_the_database(filled: Any) -> None:
    copy = back_up(filled.db.path)
    assert copy.parent == filled.db.path.parent
    assert dump(copy) == dump(filled.db.path)


def test_a_copy_replaces_a_file_only_by_force_and_never_the_database(filled: Any, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    copy.write_text("older")
    with pytest.raises(BadInput, match="exists"):
        back_up(filled.db.path, copy)
    assert copy.read_text() == "older"
    back_up(filled.db.path, copy, force=True)
    assert dump(copy) == dump(filled.db.path)
    with pytest.raises(BadInput, match="is the database itself"):
        back_up(filled.db.path, filled.db.path, force=True)
    with pytest.raises(DatabaseError, match="there is no database"):
        back_up(tmp_path / "missing.db", tmp_path / "other.db")


def test_vacuum_gives_space_back_and_keeps_the_rows(filled: Any) -> None:
    with filled.db.transaction() as connection:
        connection.execute(text("DELETE FROM evidence WHERE input_index >= 10"))
    filled.db.close()
    before = dump(filled.db.path)
    sizes = vacuum(filled.db.path)
    assert sizes.after < sizes.before / 2
    assert sizes.after == filled.db.path.stat().st_size
    assert dump(filled.db.path) == before
    assert check(filled.db.path).problems == ()
    with pytest.raises(DatabaseError, match="there is no database"):
        vacuum(filled.db.path.with_name("missing.db"))
