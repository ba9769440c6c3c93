"""Which tables a database has, as one revision, and how it gets to the newest one.

Invariant: tables are made by the migrations alone, in one transaction each time, so a database is always at exactly one
revision. Revisions are four digits in one line: text order is time order. Alembic is imported only by `migrate`.
"""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from sqlalchemy import Connection, inspect, text

from rsuq_cli.errors import DatabaseError
from rsuq_cli.results.location import Location

SCHEMA_HEAD = "0005"
# A name of our own: programs that share Alembic's default table corrupt each other's versions.
VERSION_TABLE = "rsuq_version"
PACKAGE = Path(__file__).parents[1]


def migrations_directory() -> Path:
    """Returns the folder of the migrations: inside the package when installed from a wheel, else beside it."""
    for folder in (PACKAGE / "migrations", PACKAGE.parent / "migrations"):
        if (folder / "env.py").is_file():
            return folder
    raise FileNotFoundError(f"no migrations in {PACKAGE} or beside it: the installation is incomplete")


def revision_of(connection: Connection, location: Location) -> str | None:
    """Returns the revision of the database, None for one without tables.

    Raises:
        DatabaseError: it has tables, but not ours: nothing may be written there.
    """
    names = inspect(connection).get_table_names()
    if VERSION_TABLE in names:
        revision: str | None = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()
        return revision
    if names:
        raise DatabaseError(f"{location} belongs to another program", "name another file with --db or RSUQ_DB")
    return None


def standing(revision: str | None) -> Literal["current", "older", "newer"]:
    """Returns how a revision stands to the one that this program works with; no tables at all is older."""
    if revision == SCHEMA_HEAD:
        return "current"
    return "newer" if revision is not None and revision > SCHEMA_HEAD else "older"


def refuse_newer(revision: str | None, location: Location) -> None:
    """Raises DatabaseError where a newer rsuq made the tables: this one would misread them."""
    if standing(revision) == "newer":
        raise DatabaseError(
            f"{location} is newer than this rsuq (schema {revision}, known up to {SCHEMA_HEAD})",
            "pip install --upgrade rsuq, or name another file with --db",
        )


def migrate(connection: Connection) -> None:
    """Brings the tables to the newest revision inside the caller's transaction.

    On SQLite foreign keys must be off on this connection: a batch migration drops and renames tables, and a drop would
    delete the rows that refer to them.
    """
    from alembic import command
    from alembic.config import Config

    config = Config()
    # Config interpolates like an ini file: a % in the path must be doubled.
    config.set_main_option("script_location", str(migrations_directory()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def has_data(connection: Connection) -> bool:
    """Returns whether any table but the version table holds a row."""
    tables = [name for name in inspect(connection).get_table_names() if name != VERSION_TABLE]
    return any(connection.execute(text(f'SELECT 1 FROM "{name}" LIMIT 1')).first() for name in tables)


def back_up(path: Path, revision: str | None) -> Path:
    """Copies what is committed in an SQLite file to `NAME.backup-REVISION-TIME.db` beside it; returns that file.

    The copy is SQLite's own, so it is whole even while others read and write. Nothing is left behind where it fails.
    """
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    return copy_to(path, path.with_name(f"{path.stem}.backup-{revision}-{moment}.db"))


def copy_to(path: Path, backup: Path) -> Path:
    """Copies what is committed in an SQLite file to a new file and returns that one; nothing is left where it fails."""
    source = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    try:
        target = sqlite3.connect(backup)
        try:
            source.backup(target)
        finally:
            target.close()
    except BaseException:
        backup.unlink(missing_ok=True)
        raise
    finally:
        source.close()
    return backup
