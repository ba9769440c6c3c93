"""Connections to a database of results: to a file of SQLite, or to a server.

Invariant: a connection for reading cannot write, and one for writing waits for other writers instead of failing.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import QueuePool

from rsuq_cli.results.failures import busy_timeout, reachable
from rsuq_cli.results.location import Location
from rsuq_cli.spelling import spelled

Mode = Literal["read", "write", "migrate"]


def engine_of(location: Location, mode: Mode) -> Engine:
    """Returns what opens connections of this mode; raises DatabaseError for a server that is out of reach."""
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
