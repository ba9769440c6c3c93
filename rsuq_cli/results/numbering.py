"""Numbers of runs, scorings, checkpoints and audits: a number that was given once is never given again.

Invariant: a page or a script that names run 7 means that run or none. SQLite would give the number of the newest row
again once it is deleted, so the highest number that was ever given is kept in the file's header (`user_version`), with
the deletion, in its transaction. A server's sequences do not go back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Table, func, select

from rsuq_cli.results.tables import Audit, Checkpoint, Run, Scoring, table_of

_NUMBERED = tuple(table_of(model) for model in (Checkpoint, Run, Scoring, Audit))


def next_number(connection: Connection, table: Table) -> int | None:
    """Returns the number that a new row has to take, None where the database gives the right one by itself."""
    if connection.dialect.name != "sqlite" or table not in _NUMBERED:
        return None
    given = _given(connection)
    return given + 1 if given > _highest(connection, table) else None


@contextmanager
def numbers_kept(connection: Connection) -> Iterator[None]:
    """Sees to it that no number of what is deleted inside is given again."""
    if connection.dialect.name != "sqlite":
        yield
        return
    before = {table.name: _highest(connection, table) for table in _NUMBERED}
    yield
    gone = [before[table.name] for table in _NUMBERED if _highest(connection, table) < before[table.name]]
    if gone and (given := max(gone)) > _given(connection):
        connection.exec_driver_sql(f"PRAGMA user_version = {given:d}")


def _given(connection: Connection) -> int:
    return int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())


def _highest(connection: Connection, table: Table) -> int:
    return int(connection.execute(select(func.coalesce(func.max(table.c.id), 0))).scalar_one())
