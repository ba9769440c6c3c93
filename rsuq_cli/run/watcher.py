"""How work that takes long tells what it does, without knowing of a terminal."""

from __future__ import annotations

from typing import Protocol


class Watcher(Protocol):
    """Is told what happens: a line of text, or progress of the current task in its units."""

    def say(self, line: str) -> None:
        """Takes one line for the user."""
        ...

    def begin(self, task: str, total: int) -> None:
        """A task of `total` units begins."""
        ...

    def advance(self, units: int, note: str = "") -> None:
        """So many more units are done."""
        ...

    def end(self) -> None:
        """The task has ended, done or not."""
        ...
