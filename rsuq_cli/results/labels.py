"""What people call their runs and models: names, notes and tags.

Invariant: labels are no part of a configuration, so giving or taking one changes no result and no key. A name may be
shared; it stands for a run or a model only where it is the name of one alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from sqlalchemy import Connection, Table, delete, select, update

from rsuq_cli.errors import BadInput
from rsuq_cli.results.database import Database
from rsuq_cli.results.names import Labels
from rsuq_cli.results.tables import Checkpoint, CheckpointTag, Run, RunTag, table_of

Subject = Literal["run", "checkpoint"]
_TABLES = {"run": table_of(Run), "checkpoint": table_of(Checkpoint)}
_TAGS = {"run": table_of(RunTag), "checkpoint": table_of(CheckpointTag)}
_LISTED = {"run": "`rsuq runs` lists them", "checkpoint": "`rsuq models` lists them"}


def number_named(db: Database, subject: Subject, named: str) -> int:
    """Returns the number of the run or checkpoint that is named by its number or by its name.

    Raises:
        BadInput: there is none, or several have that name.
    """
    table = _TABLES[subject]
    is_number = named.isdecimal()
    # A number beyond the driver's integers is nobody's.
    if is_number and len(named) > 18:
        raise BadInput(f"there is no {subject} {named}", _LISTED[subject])
    wanted = table.c.id == int(named) if is_number else table.c.name == named.strip()
    with db.read() as connection:
        found = list(connection.execute(select(table.c.id).where(wanted).order_by(table.c.id)).scalars())
    if not found:
        raise BadInput(f"there is no {subject} {named if is_number else repr(named)}", _LISTED[subject])
    if len(found) > 1:
        raise BadInput(
            f"{len(found)} {subject}s are named {named!r}: {', '.join(map(str, found))}", "name one by its number"
        )
    return int(found[0])


def label(db: Database, subject: Subject, number: int, labels: Labels) -> str | None:
    """Gives labels to a run or checkpoint, and returns the name it had where it has another now.

    What `labels` does not say stays; tags are added to those it has.
    """
    if not labels:
        return None
    with db.transaction() as connection:
        _check_there(connection, subject, number)
        before = _name(connection, subject, number)
        if labels.name is not None:
            _set(connection, subject, number, "name", labels.name)
        add_tags(connection, subject, number, labels.tags)
    return before if labels.name not in (None, before) else None


def rename(db: Database, subject: Subject, number: int, name: str | None) -> None:
    """Gives a run or checkpoint a name, None takes it away; raises BadInput for a text that is no name."""
    chosen = Labels(name).name
    with db.transaction() as connection:
        _check_there(connection, subject, number)
        _set(connection, subject, number, "name", chosen)


def annotate(db: Database, subject: Subject, number: int, note: str | None) -> None:
    """Writes a note to a run or checkpoint, None takes it away; raises BadInput where it says nothing."""
    if note is not None and not note.strip():
        raise BadInput("the note is empty", "write something, or take the note away with --clear")
    with db.transaction() as connection:
        _check_there(connection, subject, number)
        _set(connection, subject, number, "note", note)


def change_tags(
    db: Database, subject: Subject, number: int, *, add: Sequence[str] = (), remove: Sequence[str] = ()
) -> tuple[str, ...]:
    """Adds tags and takes others away, and returns those that are there now.

    Raises:
        BadInput: a text that is no tag, or one to take away that is not there; nothing is changed then.
    """
    added, table, reference = Labels(tags=tuple(add)).tags, _TAGS[subject], f"{subject}_id"
    with db.transaction() as connection:
        _check_there(connection, subject, number)
        known = tags_of(connection, subject, number)
        for tag in remove:
            if tag not in known:
                raise BadInput(f"{subject} {number} has no tag {tag!r}", f"its tags are: {', '.join(known) or 'none'}")
        connection.execute(delete(table).where(table.c[reference] == number, table.c.tag.in_(list(remove))))
        add_tags(connection, subject, number, added)
        return tags_of(connection, subject, number)


def add_tags(connection: Connection, subject: Subject, number: int, tags: Iterable[str]) -> None:
    """Adds those of the tags that a run or checkpoint does not have."""
    known = tags_of(connection, subject, number)
    rows = [{f"{subject}_id": number, "tag": tag} for tag in tags if tag not in known]
    if rows:
        connection.execute(_TAGS[subject].insert(), rows)


def tags_of(connection: Connection, subject: Subject, number: int) -> tuple[str, ...]:
    """Returns the tags of a run or checkpoint in the order of the alphabet."""
    return tags_by_number(connection, subject, number).get(number, ())


def tags_by_number(connection: Connection, subject: Subject, number: int | None = None) -> dict[int, tuple[str, ...]]:
    """Returns the tags of every run or checkpoint that has some, or of one alone."""
    table, reference = _TAGS[subject], f"{subject}_id"
    wanted = select(table.c[reference], table.c.tag).order_by(table.c.tag)
    if number is not None:
        wanted = wanted.where(table.c[reference] == number)
    found: dict[int, tuple[str, ...]] = {}
    for owner, tag in connection.execute(wanted):
        found[owner] = (*found.get(owner, ()), tag)
    return found


def _check_there(connection: Connection, subject: Subject, number: int) -> None:
    table: Table = _TABLES[subject]
    if connection.execute(select(table.c.id).where(table.c.id == number)).first() is None:
        raise BadInput(f"there is no {subject} {number}", _LISTED[subject])


def _name(connection: Connection, subject: Subject, number: int) -> str | None:
    table = _TABLES[subject]
    name: str | None = connection.execute(select(table.c.name).where(table.c.id == number)).scalar_one()
    return name


def _set(connection: Connection, subject: Subject, number: int, column: str, value: str | None) -> None:
    table = _TABLES[subject]
    connection.execute(update(table).where(table.c.id == number).values({column: value}))
