"""A group whose `list` is what it does where no command is named: `rsuq runs --tag paper` lists."""

from __future__ import annotations

from typing import Any

from rsuq_cli.commands.help_page import Group


class ListFirst(Group):
    """A group that lists unless another of its commands is named."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Puts `list` before flags that stand where a command is expected; help stays that of the group."""
        own = {flag for parameter in self.get_params(ctx) for flag in parameter.opts}
        if not args or (args[0].startswith("-") and args[0].partition("=")[0] not in own):
            args = ["list", *args]
        return list(super().parse_args(ctx, args))
