"""A question before something is lost."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from rsuq_cli.console import say
from rsuq_cli.errors import BadInput


def confirmed(about: Sequence[str], question: str, yes: bool) -> bool:
    """Says what it is about, and returns whether the user wants it: `yes` was given, or they say so at the terminal.

    Raises:
        BadInput: there is no terminal to ask at.
    """
    if not yes and not sys.stdin.isatty():
        raise BadInput("deleting has to be confirmed, and there is no terminal to ask at", "give --yes")
    for line in about:
        say(line, style=None)
    try:
        wanted = yes or typer.confirm(question, err=True)
    except typer.Abort:
        wanted = False
    if not wanted:
        say("nothing is deleted")
    return wanted
