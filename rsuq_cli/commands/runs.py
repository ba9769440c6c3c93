"""`rsuq runs`: what was certified, and keeping it tidy."""

from __future__ import annotations

from typing import Annotated

import typer

from rsuq_cli.commands import options
from rsuq_cli.commands.list_first import ListFirst

app = typer.Typer(
    cls=ListFirst,
    help="The runs: list them, look at one, name, note and tag them, and delete what is not needed.",
)


@app.command("list")
def list_(
    name: options.OnlyName = None,
    tag: options.OnlyTags = None,
    where: Annotated[
        str | None,
        options.what(metavar="CONDITION", help="Only runs such as: status != 'complete' and sigma = 0.25 (SQL)."),
    ] = None,
    db: options.Database = None,
    format: options.OutputFormat = "table",
) -> None:
    """List the runs, with how far they are; this is what `rsuq runs` alone does."""
    from rsuq_cli.reports.runs import runs_table
    from rsuq_cli.results.database import open_for_reading
    from rsuq_cli.results.runs import list_runs, where_runs

    condition = None if where is None else where_runs(where)
    with open_for_reading(db) as results:
        runs_table(list_runs(results, name=name, tags=tag or (), where=condition)).print(format)


@app.command()
def show(run: options.RunNamed, db: options.Database = None, format: options.OutputFormat = "table") -> None:
    """Show everything about one run: settings, versions, warnings, figures, what hangs on it, and how to make it again.

    A run is named by its number, or by its name where no other run has it.
    """
    from rsuq_cli.reports.runs import RunDetails, run_sheet
    from rsuq_cli.results.audits import audits_of
    from rsuq_cli.results.database import open_for_reading
    from rsuq_cli.results.deletion import hanging_on
    from rsuq_cli.results.figures import selected_figures
    from rsuq_cli.results.labels import number_named
    from rsuq_cli.results.runs import run_row
    from rsuq_cli.results.selection import Selection

    with open_for_reading(db) as results:
        number = number_named(results, "run", run)
        figures = selected_figures(results, Selection(runs=(number,)))
        details = RunDetails(
            run_row(results, number), figures, audits_of(results, [number]), hanging_on(results, [number])
        )
    run_sheet(details).print(format)


@app.command()
def delete(
    runs: Annotated[list[str], options.argument(metavar="RUN", help="Numbers or names of runs.")],
    yes: options.Yes = False,
    no_backup: options.NoBackup = False,
    db: options.Database = None,
    force: Annotated[
        bool, options.output("--force", help="Delete a run that is marked as running, too: its command was killed.")
    ] = False,
) -> None:
    """Delete runs with all that hangs on them: evidence, scorings, certificates, audits, scores and metrics.

    A backup is made first. Numbers of deleted runs are not given again. `rsuq db vacuum` gives the space back.
    """
    from rsuq_cli.commands.asking import confirmed
    from rsuq_cli.console import say
    from rsuq_cli.reports.runs import counted, deletion_lines
    from rsuq_cli.results.database import open_for_reading, open_for_writing
    from rsuq_cli.results.deletion import check_deletable, delete_runs, hanging_on
    from rsuq_cli.results.labels import number_named
    from rsuq_cli.results.runs import run_row
    from rsuq_cli.results.upkeep import back_up

    with open_for_reading(db) as results:
        numbers = list(dict.fromkeys(number_named(results, "run", one) for one in runs))
        check_deletable(results, numbers, force=force)
        chosen = [run_row(results, number) for number in numbers]
        lines = deletion_lines(chosen, [hanging_on(results, [number]) for number in numbers])
    if not confirmed(lines, f"Delete {counted(len(numbers), 'run')}?", yes):
        return
    if not no_backup:
        say(f"a copy of the database is {back_up(db)}")
    with open_for_writing(db) as results:
        delete_runs(results, numbers, force=force)
    say(f"deleted {counted(len(numbers), 'run')}; `rsuq db vacuum` gives the space back to the disk")


@app.command()
def name(
    run: options.RunNamed,
    name: Annotated[str | None, options.argument(help="What to call it.", show_default=False)] = None,
    clear: options.Clear = False,
    db: options.Database = None,
) -> None:
    """Give a run a name, in place of the one it has, or take it away.

    Where no other run has it, `rsuq runs` takes it in place of the number.
    """
    from rsuq_cli.commands.labelling import set_name

    set_name("run", run, name, clear, db)


@app.command()
def note(
    run: options.RunNamed,
    note: Annotated[str | None, options.argument(help="What to remember about it.", show_default=False)] = None,
    clear: options.Clear = False,
    db: options.Database = None,
) -> None:
    """Write a note to a run, in place of the one it has, or take it away."""
    from rsuq_cli.commands.labelling import set_note

    set_note("run", run, note, clear, db)


@app.command()
def tag(
    run: options.RunNamed,
    add: Annotated[list[str] | None, options.argument(metavar="TAG", help="Words to add.", show_default=False)] = None,
    remove: options.RemovedTags = None,
    db: options.Database = None,
) -> None:
    """Add tags to a run, and take others away."""
    from rsuq_cli.commands.labelling import set_tags

    set_tags("run", run, add or [], remove or [], db)
