"""`rsuq db`: the database itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rsuq_cli.commands import options

app = typer.Typer(no_args_is_help=True, help="The database: where it is, whether it is sound, what is in it.")


@app.command()
def path(db: options.Database = None) -> None:
    """Print where the results are kept."""
    from rsuq_cli.results.location import locate

    typer.echo(str(locate(db)))


@app.command()
def upgrade(db: options.Database = None) -> None:
    """Bring the tables to this program's version, after a backup where there is data."""
    from rsuq_cli.console import say
    from rsuq_cli.results.database import upgrade as upgrade_database

    result = upgrade_database(db)
    if result.backup:
        say(f"a copy of the database before the upgrade is {result.backup}")
    typer.echo(
        f"schema {result.after}" + ("" if result.before == result.after else f" (was {result.before or 'empty'})")
    )


@app.command()
def check(db: options.Database = None, format: options.OutputFormat = "table") -> None:
    """Check the database for damage, broken references and wrong certificates; exit 4 where there are any."""
    from rsuq_cli.console import say
    from rsuq_cli.errors import Damaged, DatabaseError
    from rsuq_cli.readings.mending import wrong_certificates
    from rsuq_cli.reports.listings import check_table
    from rsuq_cli.results.database import check as check_database
    from rsuq_cli.results.database import open_for_reading

    try:
        result = check_database(db)
    except Damaged as error:
        raise Damaged(f"{error.message}, so far that it cannot be checked", "restore a backup") from error
    wrong = []
    if result.standing == "current" and not result.problems:
        with open_for_reading(db) as results:
            wrong = wrong_certificates(results)
    elif not result.problems:
        say("certificates are checked once `rsuq db upgrade` has brought the tables up to date")
    check_table(result, wrong).print(format)
    if result.problems:
        raise DatabaseError(f"{len(result.problems)} problems: {result.problems[0]}", "restore a backup")
    if wrong:
        count = "" if len(wrong) == 1 else f"{len(wrong)} scorings have wrong certificates: "
        raise DatabaseError(f"{count}{wrong[0]}", "a copy of the database is made first")


@app.command()
def runs(db: options.Database = None, format: options.OutputFormat = "table") -> None:
    """List the runs, with how far they are; `rsuq runs` does more."""
    from rsuq_cli.reports.runs import runs_table
    from rsuq_cli.results.database import open_for_reading
    from rsuq_cli.results.runs import list_runs

    with open_for_reading(db) as results:
        runs_table(list_runs(results)).print(format)


@app.command()
def merge(
    other: Annotated[str, options.argument(help="The database whose runs to bring in: a path or SQLAlchemy URL.")],
    db: options.Database = None,
    format: options.OutputFormat = "table",
) -> None:
    """Bring the runs of another database in; nothing that is here changes, and merging again adds nothing.

    A run that both have and that differs is left out and named; exit 4 where there is one.
    """
    from rsuq_cli.errors import DatabaseError
    from rsuq_cli.reports.listings import merged_table
    from rsuq_cli.results.merging import merge as merge_databases

    merged = merge_databases(db, other)
    merged_table(merged).print(format)
    if conflicts := [one for one in merged if one.conflict]:
        raise DatabaseError(
            f"{len(conflicts)} runs are not the same in both: run {conflicts[0].other_run_id} of {other}: "
            f"{conflicts[0].conflict}",
            "the others are merged; delete or redo one of the two",
        )


@app.command()
def backup(
    file: Annotated[Path | None, options.argument(help="The copy.", show_default="beside the database")] = None,
    db: options.Database = None,
    force: options.Force = False,
) -> None:
    """Copy the database, whole even while others write to it, and print where the copy is."""
    from rsuq_cli.results.upkeep import back_up

    typer.echo(str(back_up(db, file, force=force)))


@app.command()
def vacuum(db: options.Database = None) -> None:
    """Give the space of deleted rows back to the disk."""
    from rsuq_cli.results.upkeep import vacuum as vacuum_database

    before, after = vacuum_database(db)
    typer.echo(f"{before:,} bytes before, {after:,} after")
