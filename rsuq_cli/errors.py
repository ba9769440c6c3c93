"""What a user can cause: one line that says what is wrong, and what to do next.

Invariant: whatever a user can cause is raised as `RsuqError` and reaches the terminal without a traceback (`app.py` is
the one place that maps it to an exit code). Anything else is a bug and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RsuqError(Exception):
    """A mistake or a circumstance that the user can mend; `hint` says how."""

    exit_code = 2

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class BadInput(RsuqError):  # noqa: N818
    """Usage or bad input: exit 2."""


class RunIncomplete(RsuqError):  # noqa: N818
    """The run could not be finished; what is finished is safe: exit 3."""

    exit_code = 3


class DatabaseError(RsuqError):
    """The database cannot be read or written: exit 4."""

    exit_code = 4


class Damaged(DatabaseError):  # noqa: N818
    """The database's file does not hold together: exit 4."""


def nearest(name: str, known: Iterable[str], *, count: int = 3) -> str:
    """Returns "did you mean a, b?" for an unknown name, or the known names where nothing is near."""
    names = sorted(known)
    close = difflib.get_close_matches(name.lower(), names, n=count, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return "known: " + ", ".join(names)
