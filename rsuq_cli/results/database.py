"""The database of results: opening it, its transactions, and keeping its tables up to date.

Invariant: a `Database` from `open_for_reading` cannot write, one from `open_for_writing` is at the newest revision.
Every write is one BEGIN IMMEDIATE transaction, so that a kill at any moment loses nothing committed and two writers
wait for each other instead of failing. On failure the file stays as it was.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple, Self

from sqlalchemy import Connection, Engine, inspect, text

from rsuq_cli.errors import DatabaseError
from rsuq_cli.results import schema
from rsuq_cli.results.connections import engine_of
from rsuq_cli.results.failures import explained, reachable
from rsuq_cli.results.location import Location, database_url, locate
from rsuq_cli.results.schema import SCHEMA_HEAD

__all__ = [
    "SCHEMA_HEAD",
    "CheckResult",
    "Database",
    "UpgradeResult",
    "check",
    "database_url",
    "open_for_lookup",
    "open_for_reading",
    "open_for_writing",
    "upgrade",
]


class UpgradeResult(NamedTuple):
    """The revision before (None: there was no database) and after, and the copy made first where there was data."""

    before: str | None
    after: str
    backup: Path | None


class CheckResult(NamedTuple):
    """What `check` found: `problems` is empty for a sound database; `counts` are the rows of every table."""

    revision: str | None
    standing: Literal["current", "older", "newer"]
    problems: tuple[str, ...]
    counts: dict[str, int]


class Database:
    """An open database of results. `path` is None on a server. Close it, or use it in a `with` statement."""

    def __init__(self, location: Location, engine: Engine) -> None:
        self.location = location
        self.url = location.url
        self.path = location.path
        self.engine = engine
        self._open: Connection | None = None

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Yields a connection that sees one consistent state; nothing done with it is kept.

        Raises:
            DatabaseError: locked for too long, damaged, or out of reach.
        """
        with explained(self.location), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Yields a connection whose work is committed at the end, or undone as a whole if anything raises.

        A transaction inside another is part of it, so that several writes can be made one.

        Raises:
            DatabaseError: locked for too long, read-only, out of space, damaged, or out of reach.
        """
        if self._open is not None:
            yield self._open
            return
        with explained(self.location), self.engine.connect() as connection:
            connection = connection.execution_options(rsuq_begin="BEGIN IMMEDIATE")
            with connection.begin():
                self._open = connection
                try:
                    yield connection
                finally:
                    self._open = None

    def close(self) -> None:
        """Closes every connection."""
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_for_writing(db: str | Path | None = None) -> Database:
    """Returns the database that `db` names, made or upgraded where needed, and known to be writable now.

    Raises:
        DatabaseError: newer than this program, another program's, not a database, read-only, locked, or out of space.
    """
    upgrade(db)
    location = locate(db)
    database = Database(location, engine_of(location, "write"))
    try:
        # Writes what is there already: a read-only file or a lasting lock is met here, not after hours of sampling.
        with database.transaction() as connection:
            connection.execute(text(f"UPDATE {schema.VERSION_TABLE} SET version_num = version_num"))
    except BaseException:
        database.close()
        raise
    return database


def open_for_reading(db: str | Path | None = None) -> Database:
    """Returns the database that `db` names for reading only.

    Raises:
        DatabaseError: there is none, its tables are of another revision, or it is not a database.
    """
    location = locate(db)
    _require(location)
    database = Database(location, engine_of(location, "read"))
    try:
        with database.read() as connection:
            revision = schema.revision_of(connection, location)
        if revision is None:
            raise _missing(location)
        schema.refuse_newer(revision, location)
        if schema.standing(revision) == "older":
            raise DatabaseError(f"{location} has the tables of an older rsuq", "`rsuq db upgrade` brings it up to date")
    except BaseException:
        database.close()
        raise
    return database


@contextmanager
def open_for_lookup(db: str | Path | None = None) -> Iterator[Database | None]:
    """Yields the database that `db` names for reading, None where there is none; nothing is made, changed or upgraded.

    Of an older one a copy is brought up to date, for as long as it is read.

    Raises:
        DatabaseError: newer than this program, another program's, not a database, or an older one on a server.
    """
    location = locate(db)
    with reachable(location):
        there = _exists(location)
    if there:
        with Database(location, engine_of(location, "read")) as database, database.read() as connection:
            revision = schema.revision_of(connection, location)
        there = revision is not None
    if not there:
        yield None
    elif location.path is not None and schema.standing(revision) == "older":
        with tempfile.TemporaryDirectory() as folder:
            copy = schema.copy_to(location.path, Path(folder) / location.path.name)
            upgrade(copy)
            with open_for_reading(copy) as database:
                yield database
    else:
        with open_for_reading(db) as database:
            yield database


def upgrade(db: str | Path | None = None) -> UpgradeResult:
    """Makes the database that `db` names, or brings its tables to the newest revision, with a copy first.

    Raises:
        DatabaseError: newer than this program, another program's, not a database, read-only, locked, or out of space.
    """
    location = locate(db)
    with reachable(location):
        is_new = not _exists(location)
        if location.path:
            location.path.parent.mkdir(parents=True, exist_ok=True)
    database = Database(location, engine_of(location, "migrate"))
    try:
        if not is_new:
            with database.read() as connection:
                revision = schema.revision_of(connection, location)
            schema.refuse_newer(revision, location)
            if schema.standing(revision) == "current":
                return UpgradeResult(revision, schema.SCHEMA_HEAD, None)
        return _upgrade(database)
    finally:
        database.close()
        if is_new and location.path:
            _remove_if_empty(location.path)


def check(db: str | Path | None = None) -> CheckResult:
    """Returns the state of the database that `db` names: revision, damage, broken references, rows of every table.

    Raises:
        DatabaseError: there is none, it is not a database, or it is another program's.
    """
    location = locate(db)
    _require(location)
    with Database(location, engine_of(location, "read")) as database, database.read() as connection:
        revision = schema.revision_of(connection, location)
        tables = inspect(connection).get_table_names()
        counts = {name: connection.execute(text(f'SELECT COUNT(*) FROM "{name}"')).scalar_one() for name in tables}
        return CheckResult(revision, schema.standing(revision), _problems(connection), counts)


def _problems(connection: Connection) -> tuple[str, ...]:
    if connection.dialect.name != "sqlite":
        return ()
    damage = [str(row[0]) for row in connection.execute(text("PRAGMA integrity_check")) if row[0] != "ok"]
    orphans = [
        f"{row[0]} row {row[1]} refers to a missing {row[2]}"
        for row in connection.execute(text("PRAGMA foreign_key_check"))
    ]
    return (*damage, *orphans)


def _upgrade(database: Database) -> UpgradeResult:
    backup: Path | None = None
    try:
        with database.transaction() as connection:
            # Read again under the lock: another process may have upgraded while this one waited.
            before = schema.revision_of(connection, database.location)
            schema.refuse_newer(before, database.location)
            if schema.standing(before) == "current":
                return UpgradeResult(before, schema.SCHEMA_HEAD, None)
            if database.path and before and schema.has_data(connection):
                backup = schema.back_up(database.path, before)
            schema.migrate(connection)
            if problems := _problems(connection):
                raise RuntimeError(f"the migration from {before} broke the database: {problems[0]}")
    except BaseException:
        if backup:
            backup.unlink(missing_ok=True)  # The transaction was undone: the copy equals the file.
        raise
    return UpgradeResult(before, schema.SCHEMA_HEAD, backup)


def _exists(location: Location) -> bool:
    if location.path is None:
        return True
    if location.path.is_dir():
        raise DatabaseError(f"{location} is a folder", "name a file in it")
    return location.path.exists()


def _require(location: Location) -> None:
    with reachable(location):
        if not _exists(location):
            raise _missing(location)


def _missing(location: Location) -> DatabaseError:
    return DatabaseError(
        f"there is no database at {location}",
        "`rsuq quickstart` or `rsuq certify` makes one; --db or RSUQ_DB names another",
    )


def _remove_if_empty(path: Path) -> None:
    if not path.exists() or path.stat().st_size:
        return
    connection = sqlite3.connect(path, timeout=0, isolation_level=None)
    with closing(connection), suppress(sqlite3.OperationalError):  # Locked: another program is filling it.
        connection.execute("BEGIN EXCLUSIVE")
        if path.stat().st_size == 0:
            path.unlink()
