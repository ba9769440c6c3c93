"""What can go wrong with a database and is not a bug, in one line each.

Invariant: a failure that a user can cause or mend (locked, full, read-only, not a database, no permission, unreachable)
becomes a `DatabaseError`, and so does a run that somebody deletes while it is written; any other violated constraint,
or wrong SQL, is a bug and keeps its own exception.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, OperationalError

from rsuq_cli.errors import BadInput, Damaged, DatabaseError
from rsuq_cli.results.location import Location

DEFAULT_BUSY_TIMEOUT = 10.0
_FOREIGN_KEY_VIOLATION = "23503"  # of the SQL standard, as PostgreSQL reports it


def busy_timeout() -> float:
    """Returns how many seconds to wait for a lock: `RSUQ_BUSY_TIMEOUT`, else 10."""
    text = os.environ.get("RSUQ_BUSY_TIMEOUT", "")
    try:
        seconds = float(text) if text else DEFAULT_BUSY_TIMEOUT
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e6:
        raise BadInput(
            f"RSUQ_BUSY_TIMEOUT must be a number of seconds, not {text!r}", "for example RSUQ_BUSY_TIMEOUT=60"
        )
    return seconds


@contextmanager
def explained(location: Location) -> Iterator[None]:
    """Raises what the database reports inside as a `DatabaseError` where a user can mend it, and as it is otherwise."""
    try:
        yield
    except sqlite3.Error as error:
        raise _of_sqlite(error, location) or error from error
    except DBAPIError as error:
        raise _of_driver(error, location) or error from error


@contextmanager
def reachable(location: Location) -> Iterator[None]:
    """Raises a `DatabaseError` where the folder cannot be used or the server's driver is missing.

    Apart from `explained`, since an OSError in the body of a transaction need not have to do with the database.
    """
    try:
        yield
    except OSError as error:
        raise DatabaseError(f"cannot use {location}: {error.strerror or error}", _CHOOSE) from error
    except ModuleNotFoundError as error:
        server = location.url.get_backend_name()
        raise DatabaseError(f"{server} needs the driver {error.name}", f"pip install {error.name}") from error


_CHOOSE = "choose another place with --db or RSUQ_DB, or change its permissions"


def _of_driver(error: DBAPIError, location: Location) -> DatabaseError | None:
    if isinstance(error.orig, sqlite3.Error):
        return _of_sqlite(error.orig, location)
    if getattr(error.orig, "sqlstate", None) == _FOREIGN_KEY_VIOLATION:
        return _orphaned(location)
    if isinstance(error, OperationalError):
        reason = str(error.orig).strip().splitlines()[0]
        return DatabaseError(f"{location} does not answer: {reason}", "start the server, or name another with --db")
    return None


def _orphaned(location: Location) -> DatabaseError:
    return DatabaseError(
        f"the run that these results belong to was deleted from {location} meanwhile", "the same command begins it anew"
    )


def _of_sqlite(error: sqlite3.Error, location: Location) -> DatabaseError | None:
    extended = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    if extended == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
        return _orphaned(location)
    # The low byte is the primary code; the rest only says which system call met it.
    code = extended & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return DatabaseError(
            f"{location} is locked by another program (waited {busy_timeout():g} s)",
            "let it finish, then run the same command again; RSUQ_BUSY_TIMEOUT=60 waits longer",
        )
    if code == sqlite3.SQLITE_NOTADB:
        return DatabaseError(f"{location} is not a database", "name another file with --db or RSUQ_DB")
    if code == sqlite3.SQLITE_CORRUPT:
        return Damaged(f"{location} is damaged", "`rsuq db check` says how; a backup may lie beside it")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return DatabaseError(f"{location} is read-only", _CHOOSE)
    if code == sqlite3.SQLITE_CANTOPEN:
        return DatabaseError(f"cannot open {location}: no permission, or no such folder", _CHOOSE)
    if code == sqlite3.SQLITE_FULL:
        return DatabaseError(
            f"no space left for {location}", "free some, then run the same command again: what is stored is safe"
        )
    if code == sqlite3.SQLITE_IOERR:
        return DatabaseError(f"the disk failed on {location}: {error}", "see whether it is full or went away")
    return None
