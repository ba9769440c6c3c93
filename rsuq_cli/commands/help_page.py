"""What `--help` prints: flags in panels, all panels of a command with the same two columns, and examples at the end.

Invariant: no flag is left out and no word cut; what a flag is called never takes more than `NAMES` characters beside
its explanation, so that a screen of 80 columns has room for both. Nothing but the command line's own library is
imported before a page is printed.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from inspect import cleandoc
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand, TyperGroup

from rsuq_cli.commands.examples import examples_of
from rsuq_cli.commands.options import OUTPUT, PANELS
from rsuq_cli.errors import BadInput

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.panel import Panel
    from rich.text import Text

# Lines that are longer are hard to read, however wide the terminal is.
WIDEST = 100
NAMES = 28
LARGEST = 2**63 - 1
GROUP_FLAGS = "Options"


class Command(TyperCommand):
    """A command whose help is one page of panels, and which takes no number that a database cannot hold."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command."""
        for parameter in self.params:
            given = ctx.params.get(parameter.name)
            for value in given if isinstance(given, (list, tuple)) else (given,):
                if isinstance(value, int) and abs(value) > LARGEST:
                    raise BadInput(f"{parameter.opts[0]} is {value}", f"{LARGEST} is the largest whole number there is")
        return super().invoke(ctx)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Prints the page."""
        print_page(self, ctx)


class Group(TyperGroup):
    """A group of commands whose help is one page of panels."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Prints the page."""
        print_page(self, ctx)


def with_pages(group: typer.Typer) -> None:
    """Has every command of a group, and of the groups in it, print its help as a page."""
    for command in group.registered_commands:
        command.cls = Command
    for member in group.registered_groups:
        if member.typer_instance is not None:
            own = member.typer_instance.info.cls
            if not (isinstance(own, type) and issubclass(own, Group)):
                member.typer_instance.info.cls = Group
            with_pages(member.typer_instance)


def print_page(command: Any, ctx: Any) -> None:
    """Prints the help of a command or group to stdout."""
    from rich.padding import Padding
    from rich.text import Text

    from rsuq_cli.console import out

    console = out()
    console.width = min(shutil.get_terminal_size((WIDEST, 0)).columns, WIDEST)
    console.print()
    console.print(Padding(Text(command.get_usage(ctx), style="bold"), (0, 1)))
    console.print()
    for number, paragraph in enumerate(_paragraphs(command.help)):
        console.print(Padding(Text(paragraph, style="dim" if number else ""), (0, 1, 1, 1)))
    for panel in (*_command_panels(command, ctx), *_flag_panels(command, ctx)):
        console.print(panel)
    if examples := examples_of(ctx.command_path):
        lines = [part for one in examples for part in ((f"# {one.purpose}", "dim"), (one.line, "bold"))]
        text = Text("\n").join([Text("Examples", style="bold"), *(Text(f"  {line}", style) for line, style in lines)])
        console.print(Padding(text, (1, 1, 0, 1)))


def _paragraphs(text: str | None) -> list[str]:
    return [" ".join(part.split()) for part in cleandoc(text or "").split("\n\n")]


def _flag_panels(command: Any, ctx: Any) -> Iterator[Panel]:
    last = GROUP_FLAGS if hasattr(command, "commands") else OUTPUT
    shown = [one for one in command.get_params(ctx) if not getattr(one, "hidden", False)]
    rows = [(getattr(one, "rich_help_panel", None) or last, _name(one), _explanation(one, ctx)) for one in shown]
    width = min(NAMES, max(name.cell_len for _, name, _ in rows))
    known = [*PANELS, *dict.fromkeys(panel for panel, _, _ in rows if panel not in PANELS)]
    for title in known:
        if found := [(name, text) for panel, name, text in rows if panel == title]:
            yield _panel(title, found, width)


def _command_panels(group: Any, ctx: Any) -> Iterator[Panel]:
    from rich.text import Text

    commands = [command for command in getattr(group, "commands", {}).values() if not command.hidden]
    width = max((len(command.name) for command in commands), default=0)
    for title in dict.fromkeys(command.rich_help_panel or "Commands" for command in commands):
        rows = [
            (Text(command.name, style="bold cyan"), Text(command.short_help or _paragraphs(command.help)[0]))
            for command in commands
            if (command.rich_help_panel or "Commands") == title
        ]
        yield _panel(title, rows, width)


def _panel(title: str, rows: Iterable[tuple[RenderableType, RenderableType]], width: int) -> Panel:
    from rich.panel import Panel
    from rich.table import Table

    grid = Table.grid(padding=(0, 2, 0, 0), expand=True)
    grid.add_column(width=width)
    grid.add_column(ratio=1)
    for name, text in rows:
        grid.add_row(name, text)
    return Panel(grid, title=f"[bold not dim]{title}[/]", title_align="left", border_style="dim")


def _name(parameter: Any) -> Text:
    """Returns a flag as it is typed, with what stands for its value."""
    from rich.text import Text

    value = parameter.metavar or parameter.name.upper()
    if parameter.param_type_name == "argument":
        return Text(value + ("..." if parameter.nargs != 1 else ""), style="bold cyan")
    text = Text("/".join((", ".join(parameter.opts), *parameter.secondary_opts)), style="bold cyan")
    return text if parameter.is_flag else text.append(f" {value}", style="not bold")


def _explanation(parameter: Any, ctx: Any) -> Text:
    """Returns what a flag does, where else it can be set, and its default."""
    from rich.text import Text

    text = Text(parameter.help or "")
    if parameter.required:
        text.append(" [required]", style="red")
    if getattr(parameter, "show_envvar", False) and parameter.envvar:
        text.append(f" [env: {parameter.envvar}]", style="dim")
    default = parameter.show_default if isinstance(parameter.show_default, str) else _default(parameter, ctx)
    return text.append(f" [default: {default}]", style="dim") if default else text


def _default(parameter: Any, ctx: Any) -> str:
    value = parameter.get_default(ctx, call=False)
    if value is None or isinstance(value, bool) or not parameter.show_default or callable(value):
        return ""
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return str(getattr(value, "value", value))
