"""Where the results are kept: `--db`, else `RSUQ_DB`, else the user's data directory.

Invariant: naming a place touches nothing on the disk. A database is a path (SQLite) or a SQLAlchemy URL (SQLite or
PostgreSQL); anything else is refused here, once.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import platformdirs
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from rsuq_cli.errors import DatabaseError

DIALECTS = ("sqlite", "postgresql")


class Location(NamedTuple):
    """A place for results: `path` is the absolute file of an SQLite database, None for a server."""

    url: URL
    path: Path | None

    def __str__(self) -> str:
        """Returns the place as messages show it: the path, or the URL without its password."""
        return str(self.path) if self.path else self.url.render_as_string(hide_password=True)


def locate(db: str | Path | None = None) -> Location:
    """Returns the place that `db` names: a path or a URL; None or "" means `RSUQ_DB`, else the user's data directory.

    Raises:
        DatabaseError: not a URL that rsuq can use.
    """
    named = str(db or os.environ.get("RSUQ_DB") or _default_path())
    if "://" not in named:
        return _file(Path(named))
    try:
        url = make_url(named)
    except (ArgumentError, ValueError):
        raise DatabaseError(f"{named!r} is not a database URL", "give a path, or sqlite:///PATH") from None
    if url.get_backend_name() not in DIALECTS:
        raise DatabaseError(f"cannot keep results in {url.get_backend_name()!r}", f"use one of {', '.join(DIALECTS)}")
    if url.get_backend_name() == "postgresql":
        return Location(url, None)
    if url.query:
        raise DatabaseError(f"an SQLite URL takes no options: {named}", "give sqlite:///PATH")
    return _file(Path(url.database or ":memory:"))


def database_url(db: str | Path | None = None) -> str:
    """Returns the SQLAlchemy URL of the database that `db` names (see `locate`), without a password."""
    return locate(db).url.render_as_string(hide_password=True)


def _default_path() -> Path:
    return Path(platformdirs.user_data_dir("rsuq")) / "rsuq.db"


def _file(named: Path) -> Location:
    if str(named) == ":memory:":
        raise DatabaseError("a database in memory would be lost at the end of the command", "give a path to a file")
    path = named.expanduser().absolute()
    return Location(URL.create("sqlite", database=str(path)), path)
