"""Keeping a database file: a copy of it, and giving unused space back.

Invariant: neither changes what is stored; a copy is whole or not there, even while others write.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from rsuq_cli.errors import BadInput
from rsuq_cli.files import check_output, replaced
from rsuq_cli.results import schema
from rsuq_cli.results.database import Database, open_for_reading, open_for_writing
from rsuq_cli.results.failures import busy_timeout, explained


class Sizes(NamedTuple):
    """Bytes of the database file before and after."""

    before: int
    after: int


def back_up(db: str | Path | None = None, file: Path | None = None, *, force: bool = False) -> Path:
    """Copies the database that `db` names to `file`, by default to a new file beside it, and returns the copy.

    Raises:
        BadInput: `file` exists and `force` is not given, or cannot be written; the database is on a server.
        DatabaseError: there is no such database, or it cannot be read.
    """
    with open_for_reading(db) as database:
        path = _file(database, "pg_dump copies a server's database")
        with explained(database.location):
            if file is None:
                return schema.back_up(path, schema.SCHEMA_HEAD)
            if file.exists() and file.samefile(path):
                raise BadInput(f"{file} is the database itself", "name another file")
            check_output(file, force=force)
            with (
                replaced(file) as temporary,
                closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as source,
                closing(sqlite3.connect(temporary)) as target,
            ):
                source.backup(target)
            return file


def vacuum(db: str | Path | None = None) -> Sizes:
    """Rewrites the database file that `db` names without unused pages, and returns its sizes.

    Raises:
        BadInput: the database is on a server.
        DatabaseError: there is no such database, others use it for too long, or the disk is too full for a second copy.
    """
    with open_for_reading(db) as database:
        path = _file(database, "VACUUM on the server does this")
    with open_for_writing(db) as database, explained(database.location):
        with closing(sqlite3.connect(path, timeout=busy_timeout(), isolation_level=None)) as connection:
            # What the log still holds belongs to the size of the file, before and after.
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            before = path.stat().st_size
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return Sizes(before, path.stat().st_size)


def _file(database: Database, hint: str) -> Path:
    if database.path is None:
        raise BadInput(f"{database.location} is no file", hint)
    return database.path
