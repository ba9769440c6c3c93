"""Failures that a user can mend become one line; bugs stay what they are."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from rsuq_cli.errors import BadInput, DatabaseError
from rsuq_cli.results.database import Database, open_for_writing
from rsuq_cli.results.failures import busy_timeout, explained
from rsuq_cli.results.location import locate


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (sqlite3.SQLITE_BUSY, "locked by another program"),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, "locked by another program"),
        (sqlite3.SQLITE_NOTADB, "not a database"),
        (sqlite3.SQLITE_CORRUPT, "damaged"),
        (sqlite3.SQLITE_READONLY_DBMOVED, "read-only"),
        (sqlite3.SQLITE_CANTOPEN, "cannot open"),
        (sqlite3.SQLITE_FULL, "no space left"),
        (sqlite3.SQLITE_IOERR_WRITE, "the disk failed"),
    ],
)
def test_each_failure_is_one_line_with_the_file_and_a_hint(tmp_path: Path, code: int, said: str) -> None:
    error = sqlite3.OperationalError("as the driver says it")
    error.sqlite_errorcode = code
    with pytest.raises(DatabaseError, match=said) as caught, explained(locate(tmp_path / "a.db")):
        raise error
    assert caught.value.exit_code == 4
    assert str(tmp_path / "a.db") in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.hint
    assert caught.value.__cause__ is error


def test_bugs_keep_their_own_exception(db: Database) -> None:
    with pytest.raises(IntegrityError), db.transaction() as connection:
        connection.execute(text("INSERT INTO checkpoint (id) VALUES (1)"))
    with pytest.raises(Exception, match="no such table: missing") as caught, db.read() as connection:
        connection.execute(text("SELECT * FROM missing"))
    assert not isinstance(caught.value, DatabaseError)


def test_a_broken_pipe_while_reading_is_not_blamed_on_the_database(db: Database) -> None:
    with pytest.raises(BrokenPipeError), db.read():
        raise BrokenPipeError


def test_a_server_without_its_driver_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for driver in ("psycopg", "psycopg2"):
        monkeypatch.setitem(sys.modules, driver, None)
    with pytest.raises(DatabaseError, match="postgresql needs the driver psycopg") as caught:
        open_for_writing("postgresql://localhost/results")
    assert caught.value.hint.startswith("pip install psycopg")


def test_the_wait_for_a_lock_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert busy_timeout() == 10
    monkeypatch.setenv("RSUQ_BUSY_TIMEOUT", "2.5")
    assert busy_timeout() == 2.5
    for bad in ("soon", "-1", "nan", "inf"):
        monkeypatch.setenv("RSUQ_BUSY_TIMEOUT", bad)
        with pytest.raises(BadInput, match="RSUQ_BUSY_TIMEOUT"):
            busy_timeout()
