"""Naming, noting and tagging, the same for runs and for checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rsuq_cli.console import say
from rsuq_cli.errors import BadInput

if TYPE_CHECKING:
    from rsuq_cli.results.labels import Subject


def set_name(subject: Subject, named: str, name: str | None, clear: bool, db: str | None) -> None:
    """Gives a run or checkpoint a name, or takes it away, and says so."""
    from rsuq_cli.results.database import open_for_writing
    from rsuq_cli.results.labels import rename

    chosen, number = _text(subject, name, clear, "name"), _number(subject, named, db)
    with open_for_writing(db) as results:
        rename(results, subject, number, chosen)
    say(f"{subject} {number} has no name now" if chosen is None else f"{subject} {number} is named {chosen.strip()}")


def set_note(subject: Subject, named: str, note: str | None, clear: bool, db: str | None) -> None:
    """Writes a note to a run or checkpoint, or takes it away, and says so."""
    from rsuq_cli.results.database import open_for_writing
    from rsuq_cli.results.labels import annotate

    chosen, number = _text(subject, note, clear, "note"), _number(subject, named, db)
    with open_for_writing(db) as results:
        annotate(results, subject, number, chosen)
    say(f"{subject} {number} has no note now" if chosen is None else f"{subject} {number}: {chosen}")


def set_tags(subject: Subject, named: str, add: Sequence[str], remove: Sequence[str], db: str | None) -> None:
    """Adds tags to a run or checkpoint and takes others away, and says which it has now."""
    from rsuq_cli.results.database import open_for_writing
    from rsuq_cli.results.labels import change_tags

    if not add and not remove:
        raise BadInput("no tag is named", "give some, or --remove TAG")
    number = _number(subject, named, db)
    with open_for_writing(db) as results:
        tags = change_tags(results, subject, number, add=add, remove=remove)
    say(f"{subject} {number} has the tags: {', '.join(tags) or 'none'}")


def _number(subject: Subject, named: str, db: str | None) -> int:
    # Read first: nothing is made or upgraded for what is not there.
    from rsuq_cli.results.database import open_for_reading
    from rsuq_cli.results.labels import number_named

    with open_for_reading(db) as results:
        return number_named(results, subject, named)


def _text(subject: Subject, written: str | None, clear: bool, what: str) -> str | None:
    if (written is None) != clear:
        group = "runs" if subject == "run" else "models"
        raise BadInput(f"give either a {what} or --clear", f"for example: rsuq {group} {what} 1 --clear")
    return written
