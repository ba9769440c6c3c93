"""What a name and a tag look like.

Invariant: a name is never taken for a number, and a tag is one word.
"""

from __future__ import annotations

from dataclasses import dataclass

from rsuq_cli.errors import BadInput

# Of a name or a tag: what still has a place in a table.
MOST_CHARACTERS = 60
# The objective of what `rsuq fit-rejecter` keeps among the checkpoints, which is no network.
REJECTER = "rejecter"


@dataclass(frozen=True)
class Labels:
    """A name and tags as somebody gives them; None, or no tags, leaves what is there as it is.

    Raises:
        BadInput: a name or tag that could not be told from a number, from two of them, or from nothing.
    """

    name: str | None = None
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.name is not None:
            object.__setattr__(self, "name", _name(self.name))
        object.__setattr__(self, "tags", tuple(dict.fromkeys(_tag(one) for one in self.tags)))

    def __bool__(self) -> bool:
        return self.name is not None or bool(self.tags)


def _name(written: str) -> str:
    name = written.strip()
    if not name or len(name) > MOST_CHARACTERS or not name.isprintable():
        raise BadInput(f"{written!r} is no name", f"give 1 to {MOST_CHARACTERS} characters on one line")
    if name.isdecimal():
        raise BadInput(f"the name {name} would be taken for a number", "put a letter into it")
    return name


def _tag(written: str) -> str:
    tag = written.strip()
    if not tag or len(tag) > MOST_CHARACTERS or not tag.isprintable() or any(c.isspace() or c == "," for c in tag):
        raise BadInput(f"{written!r} is no tag", "give one word; --tag may be repeated")
    return tag


NO_LABELS = Labels()
