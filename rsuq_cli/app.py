"""The root of the command line, and the one map from exceptions to exit codes.

Invariant: what a user can cause ends in one line on stderr and exit code 2 (usage, bad input), 3 (run incomplete),
4 (database) or 130 (interrupted); a bug keeps its traceback and exits with 1. Nothing heavy is imported here: commands
import what they need when they run.
"""

from __future__ import annotations

import errno
import os
from typing import Annotated, Any

import typer

from rsuq_cli.commands import (
    audit,
    certify,
    db,
    exporting,
    fit_rejecter,
    importing,
    models,
    ood,
    predict,
    quickstart,
    radius,
    report,
    rescore,
    runs,
    study,
    train,
)
from rsuq_cli.commands.help_page import Group, with_pages
from rsuq_cli.errors import BadInput, RsuqError
from rsuq_cli.streams import own_streams
from rsuq_cli.version import __version__

# What any file may meet, whoever opens it, and what to do then.
_CIRCUMSTANCES = {
    errno.ENAMETOOLONG: "give a shorter path",
    errno.ENOSPC: "make room, and give the same command again",
    errno.EDQUOT: "make room, and give the same command again",
    errno.EFBIG: "allow larger files (ulimit -f), and give the same command again",
    errno.EROFS: "give a place that may be written to",
}


def _shortened(name: str) -> str:
    return name if len(name) <= 80 else f"{name[:77]}..."


class Root(Group):
    """The group of all commands, which turns what users can cause into one line and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command that was named."""
        from rsuq_cli.console import fail

        try:
            return super().invoke(ctx)
        except RsuqError as error:
            fail(error.message, error.hint)
            raise typer.Exit(error.exit_code) from None
        except OSError as error:
            if error.errno not in _CIRCUMSTANCES:
                raise
            where = f" ({_shortened(str(error.filename))})" if error.filename is not None else ""
            fail(f"{(error.strerror or str(error)).lower()}{where}", _CIRCUMSTANCES[error.errno])
            raise typer.Exit(BadInput.exit_code) from None
        except KeyboardInterrupt:
            fail("interrupted", "what is finished is safe; the same command goes on from there")
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=Root,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Certify how far a classifier's answer can be trusted.\n\n"
    "Randomized smoothing with uncertainty: for every input, the radius in which it keeps its class and stays "
    "confident (CC), and the one in which nothing else is ever stated with confidence (NCL).",
)
BEGIN, COMPARE, KEEP = "Begin", "Compare", "Keep"
app.command(
    "quickstart", rich_help_panel=BEGIN, short_help="Everything at once, on the embedded digits: a minute or two."
)(quickstart.quickstart)
app.command("train", rich_help_panel=BEGIN, short_help="Train a classifier under noise, and keep its checkpoint.")(
    train.train
)
app.command(
    "fit-rejecter", rich_help_panel=BEGIN, short_help="Fit what rejects noise samples, for certify --rejecter."
)(fit_rejecter.fit_rejecter)
app.command("certify", rich_help_panel=BEGIN, short_help="Certify the radii of every input, and keep the evidence.")(
    certify.certify
)
app.command("predict", rich_help_panel=BEGIN, short_help="Answer single images, as the deployed classifier would.")(
    predict.predict
)
app.command("ood", rich_help_panel=BEGIN, short_help="Tell inputs from elsewhere, and certify how well.")(ood.ood)
app.command("radius", rich_help_panel=BEGIN, short_help="The radii of counts or masses of your own.")(radius.radius)
app.command("study", rich_help_panel=COMPARE, short_help="A grid of networks and uncertainties, run to its end.")(
    study.study
)
app.command("report", rich_help_panel=COMPARE, short_help="Compare what was certified: tables, pictures, a page.")(
    report.report
)
app.command("rescore", rich_help_panel=COMPARE, short_help="Other measures, thresholds or rules, without sampling.")(
    rescore.rescore
)
app.command("audit", rich_help_panel=COMPARE, short_help="Try to break what a run has certified.")(audit.audit)
app.command("import", rich_help_panel=KEEP, short_help="Bring published certification logs in.")(importing.import_logs)
app.command("export", rich_help_panel=KEEP, short_help="The certificate of every input of a run, as a file.")(
    exporting.export
)
app.add_typer(runs.app, name="runs", rich_help_panel=KEEP)
app.add_typer(models.app, name="models", rich_help_panel=KEEP)
app.add_typer(db.app, name="db", rich_help_panel=KEEP)
with_pages(app)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"rsuq {__version__}")
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    version: Annotated[
        # A callback, since the group itself is not run where no command is named.
        bool, typer.Option("--version", help="Print the version and leave.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Sets the defaults that a configuration file names."""
    from rsuq_cli.settings import defaults_by_command

    commands: dict[str, Any] = getattr(ctx.command, "commands", {})
    chosen = defaults_by_command({name: _flags(command) for name, command in commands.items()})
    ctx.default_map = {name: _defaults(command, chosen[name]) for name, command in commands.items() if name in chosen}


def _defaults(command: Any, chosen: dict[str, Any]) -> dict[str, Any]:
    """Returns the defaults of a command as its parser takes them; a group's are those of each of its commands."""
    if members := getattr(command, "commands", {}):
        return {name: _defaults(member, chosen) for name, member in members.items()}
    repeated = {parameter.name for parameter in command.params if getattr(parameter, "multiple", False)}
    return {
        name: [value] if name in repeated and not isinstance(value, list) else value for name, value in chosen.items()
    }


def _flags(command: Any) -> set[str]:
    """Returns the names of a command's flags; those of a group's commands are flags of the group."""
    own = {parameter.name for parameter in command.params}
    return own.union(*(_flags(part) for part in getattr(command, "commands", {}).values()))


def main() -> None:
    """The entry point of `rsuq`."""
    # Idle OpenMP threads spin by default, and take the core from whoever else needs it: beside one other busy process
    # that made small networks several times slower. OpenMP reads this when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with own_streams():
        app()
