"""New databases without Alembic's work for each of them: what the migrations made once is made again from its SQL."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection

from rsuq_cli.results import schema

Migrate = Callable[[Connection], None]


def made_once(migrate: Migrate) -> Migrate:
    """Returns a `migrate` that runs the migrations of a folder on the first new SQLite file alone, and on older ones.

    Every later new file gets the statements that SQLite keeps of the first, within the caller's transaction.
    """
    known: dict[Path, list[str]] = {}

    @functools.wraps(migrate)
    def quickly(connection: Connection) -> None:
        folder = schema.migrations_directory()
        is_new = connection.dialect.name == "sqlite" and not _statements(connection)
        if is_new and folder in known:
            for statement in known[folder]:
                connection.exec_driver_sql(statement)
            return
        migrate(connection)
        if is_new:
            version = f"INSERT INTO {schema.VERSION_TABLE} VALUES ('{schema.SCHEMA_HEAD}')"
            known[folder] = [*_statements(connection), version]

    return quickly


def _statements(connection: Connection) -> list[str]:
    """Returns what made every table, index and view, in the order in which they were made."""
    rows = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid")
    return list(rows.scalars())
