"""Whether a flag was given, or has its default: the program's, or that of the configuration file."""

from __future__ import annotations

import typer


def is_given(ctx: typer.Context, name: str) -> bool:
    """Returns whether the parameter `name` was set on the command line or by the environment."""
    source = ctx.get_parameter_source(name)
    return source is not None and not source.name.startswith("DEFAULT")
