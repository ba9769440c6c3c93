"""The database of results: opening it, its transactions, and keeping its tables up to date.

Invariant: a `Database` from `open_for_reading` cannot write, one from `open_for_writing` is at the newest revision.
Every write is one BEGIN IMMEDIATE transaction, so that a kill at any moment loses nothing committed and two writers
wait for each other instead of failing. On failure the file stays as it was.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.pool import QueuePool

from rsuq_cli.errors import DatabaseError
from rsuq_cli.results import schema
from rsuq_cli.results.failures import busy_timeout, explained, reachable
from rsuq_cli.results.location import Location, database_url, locate
from rsuq_cli.results.schema import SCHEMA_HEAD
from rsuq_cli.spelling import spelled

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

Mode = Literal["read", "write", "migrate"]


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
    database = Database(location, _engine(location, "write"))
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
    database = Database(location, _engine(location, "read"))
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
        with Database(location, _engine(location, "read")) as database, database.read() as connection:
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
    database = Database(location, _engine(location, "migrate"))
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
    with Database(location, _engine(location, "read")) as database, database.read() as connection:
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


def _engine(location: Location, mode: Mode) -> Engine:
    if location.path is None:
        options = {"postgresql_readonly": True} if mode == "read" else {}
        with reachable(location):
            return create_engine(location.url, execution_options=options)
    engine = create_engine(
        "sqlite://", creator=partial(_connect, location.path, mode), poolclass=QueuePool, pool_size=8, max_overflow=8
    )
    event.listen(engine, "begin", _begin)
    event.listen(engine, "before_cursor_execute", _with_texts_that_can_be_kept, retval=True)
    return engine


def _with_texts_that_can_be_kept(
    connection: Connection, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
) -> tuple[str, Any]:
    """Spells what is no Unicode, such as paths of other bytes; many rows at once are counts and hold no such text."""
    return statement, parameters if many else _kept(parameters)


def _kept(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.isascii() else spelled(value)
    if isinstance(value, Mapping):
        return {name: _kept(one) for name, one in value.items()}
    return type(value)(_kept(one) for one in value) if type(value) in (tuple, list) else value


def _begin(connection: Connection) -> None:
    # A deferred transaction that reads and then writes is refused at once when another writer was quicker, whatever the
    # busy timeout; BEGIN IMMEDIATE takes the write lock first and waits for it.
    connection.exec_driver_sql(connection.get_execution_options().get("rsuq_begin", "BEGIN"))


def _connect(path: Path, mode: Mode) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.as_uri()}?{_access(path, mode)}",
        uri=True,
        timeout=busy_timeout(),  # PRAGMA busy_timeout: another writer's commit takes milliseconds, so wait for it.
        isolation_level=None,  # The driver would begin transactions by itself, deferred and never for DDL.
        check_same_thread=False,  # The pool hands a connection to one thread at a time.
    )
    try:
        if mode == "write":
            # Readers never wait for the writer, and a commit is one append to the log.
            _use_log(connection)
            # Off by default in SQLite for old files' sake; without it a deleted run would leave its rows behind.
            connection.execute("PRAGMA foreign_keys = ON")
            # With WAL this survives a killed process; only a power cut can undo the last commits, never corrupt.
            connection.execute("PRAGMA synchronous = NORMAL")
        if mode == "migrate":
            # A batch migration drops a table and renames its successor; SQLite would refuse, for the sake of the views
            # that name the table while it is away.
            connection.execute("PRAGMA legacy_alter_table = ON")
        if mode == "read":
            # Reports scan large tables: reading through memory spares a copy of every page.
            connection.execute("PRAGMA mmap_size = 1073741824")
    except BaseException:
        connection.close()
        raise
    return connection


def _use_log(connection: sqlite3.Connection) -> None:
    # While another program makes the same new database, SQLite refuses this at once, whatever the busy timeout.
    deadline = time.monotonic() + busy_timeout()
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _access(path: Path, mode: Mode) -> str:
    if mode == "migrate":
        return "mode=rwc"
    if mode == "write":
        return "mode=rw"
    log = path.with_name(path.name + "-wal")
    follows_ids = os.access in os.supports_effective_ids
    if not os.access(path.parent, os.W_OK, effective_ids=follows_ids) and not (log.exists() and log.stat().st_size):
        # SQLite needs a file beside the database to read a WAL database; on read-only media there can be none, and no
        # writer either.
        return "mode=ro&immutable=1"
    return "mode=ro"
