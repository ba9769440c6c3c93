"""`rsuq models`: the checkpoints, and keeping them tidy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rsuq_cli.commands import options
from rsuq_cli.commands.list_first import ListFirst

app = typer.Typer(
    cls=ListFirst,
    help="The checkpoints: list them, look at one, name and tag them, give them away, bring them in, delete them.",
)


@app.command("list")
def list_(
    name: options.OnlyName = None,
    tag: options.OnlyTags = None,
    where: Annotated[
        str | None,
        options.what(metavar="CONDITION", help="Only checkpoints such as: model = 'cnn' and sigma = 0.25 (SQL)."),
    ] = None,
    db: options.Database = None,
    format: options.OutputFormat = "table",
) -> None:
    """List the checkpoints, with their accuracies; this is what `rsuq models` alone does."""
    from rsuq_cli.reports.models import models_table
    from rsuq_cli.results.checkpoints import list_checkpoints, runs_by_checkpoint, where_checkpoints
    from rsuq_cli.results.database import open_for_reading

    condition = None if where is None else where_checkpoints(where)
    with open_for_reading(db) as results:
        found = list_checkpoints(results, name=name, tags=tag or (), where=condition)
        models_table(found, runs_by_checkpoint(results)).print(format)


@app.command()
def show(
    checkpoint: options.CheckpointNamed, db: options.Database = None, format: options.OutputFormat = "table"
) -> None:
    """Show everything about one checkpoint: settings, accuracies, its training, and the runs made with it."""
    from rsuq_cli.reports.models import model_sheet
    from rsuq_cli.results.checkpoints import checkpoint_by_number, runs_by_checkpoint
    from rsuq_cli.results.database import open_for_reading
    from rsuq_cli.results.labels import number_named
    from rsuq_cli.spelling import path_of

    with open_for_reading(db) as results:
        row = checkpoint_by_number(results, number_named(results, "checkpoint", checkpoint))
        runs = runs_by_checkpoint(results).get(row.id, ())
    model_sheet(row, runs, there=path_of(row.file).is_file()).print(format)


@app.command()
def delete(
    checkpoint: options.CheckpointNamed,
    keep_file: Annotated[bool, options.output("--keep-file", help="Forget it, and leave its file.")] = False,
    yes: options.Yes = False,
    no_backup: options.NoBackup = False,
    db: options.Database = None,
) -> None:
    """Delete a checkpoint and its file; runs that were made with it keep their evidence.

    A backup of the database is made first; it does not hold the file.
    """
    from rsuq_cli.commands.asking import confirmed
    from rsuq_cli.console import say
    from rsuq_cli.jobs.models import delete_file
    from rsuq_cli.reports.models import deletion_line
    from rsuq_cli.results.checkpoints import checkpoint_by_number, runs_by_checkpoint
    from rsuq_cli.results.database import open_for_reading, open_for_writing
    from rsuq_cli.results.deletion import delete_checkpoint
    from rsuq_cli.results.labels import number_named
    from rsuq_cli.results.upkeep import back_up

    with open_for_reading(db) as results:
        row = checkpoint_by_number(results, number_named(results, "checkpoint", checkpoint))
        runs = runs_by_checkpoint(results).get(row.id, ())
    if not confirmed([deletion_line(row, runs, keep_file=keep_file)], "Delete it?", yes):
        return
    if not no_backup:
        say(f"a copy of the database is {back_up(db)}")
    with open_for_writing(db) as results:
        delete_checkpoint(results, row.id)
    if not (keep_file or delete_file(row)):
        say(f"{row.file} is not there, or not the file that was recorded: it is left alone")
    say(f"deleted checkpoint {row.id}")


@app.command()
def export(
    checkpoint: options.CheckpointNamed,
    db: options.Database = None,
    output: Annotated[
        Path | None,
        options.output("--output", metavar="FOLDER", help="Where they go.", show_default="a new folder here"),
    ] = None,
    force: options.Force = False,
) -> None:
    """Write a checkpoint to a folder: safetensors, its settings, a program that torch loads by itself, and a card.

    The card says what it is, how it was trained and what was certified with it, by figures of the database.
    """
    from rsuq_cli.console import say
    from rsuq_cli.files import new_file
    from rsuq_cli.jobs.models import check_network, described, export_targets, export_weights
    from rsuq_cli.jobs.program import CONFIGURATION, PROGRAM, exported
    from rsuq_cli.reports.comparison import parse_radii
    from rsuq_cli.reports.model_card import CardContent, model_card
    from rsuq_cli.results.audits import audits_of
    from rsuq_cli.results.checkpoints import checkpoint_by_number, runs_by_checkpoint
    from rsuq_cli.results.database import open_for_reading
    from rsuq_cli.results.figures import selected_figures
    from rsuq_cli.results.labels import number_named
    from rsuq_cli.results.ood_queries import ood_runs
    from rsuq_cli.results.runs import run_row
    from rsuq_cli.results.selection import Selection
    from rsuq_cli.spelling import path_of

    with open_for_reading(db) as results:
        row = checkpoint_by_number(results, number_named(results, "checkpoint", checkpoint))
        check_network(row)
        runs = runs_by_checkpoint(results).get(row.id, ())
        others = (PROGRAM, CONFIGURATION)
        weights, card = export_targets(row, output or Path(path_of(row.file).stem), others, force=force)
        found = described(row)
        extra = exported(row, found, [run_row(results, run) for run in runs], weights.name)
        radii = parse_radii(None, [row.sigma or 0.25])
        content = CardContent(
            row, found, weights.name,
            selected_figures(results, Selection(runs=runs), radii) if runs else [],
            audits_of(results, runs), ood_runs(results, runs=runs) if runs else [],
            PROGRAM if extra.program else None, extra.reason, extra.preprocessing,
        )  # fmt: skip
    export_weights(row, weights, force=force)
    parts = {CONFIGURATION: extra.configuration_text.encode(errors="backslashreplace"), PROGRAM: extra.program}
    for name, content_of in parts.items():
        if content_of is not None:
            with new_file(weights.parent / name, force=force) as stream:
                stream.write(content_of)
    if extra.program is None:
        say(f"no {PROGRAM} is written: {extra.reason}")
    with new_file(card, force=force) as stream:
        stream.write(model_card(content).encode(errors="backslashreplace"))
    typer.echo(str(weights.parent))


@app.command("import")
def import_(
    file: Annotated[Path, options.argument(metavar="FILE", help="A checkpoint of rsuq, or other weights.")],
    model: Annotated[
        str | None, options.what(metavar="NAME", help="What the weights are for, where the file does not say it.")
    ] = None,
    sigma: Annotated[float | None, options.what(metavar="NUMBER", help="The noise of their training.")] = None,
    dataset: Annotated[
        str | None, options.what(metavar="NAME", help="The data that they were trained for, as for `train`.")
    ] = None,
    image_size: options.ImageSize = None,
    objective: Annotated[str | None, options.training(metavar="NAME", help="What was minimised, if you know.")] = None,
    data_dir: options.DataDir = None,
    name: options.Name = None,
    tag: options.Tags = None,
    db: options.Database = None,
) -> None:
    """Bring a model in: its file is copied beside the results and recorded, so that `certify` finds it.

    The same file twice is the same checkpoint.
    """
    from rsuq_cli.console import Reporter
    from rsuq_cli.jobs.models import ImportRequest, import_model
    from rsuq_cli.results.names import Labels

    labels = Labels(name, tuple(tag or ()))
    request = ImportRequest(file, model, dataset, sigma, objective, image_size, data_dir, labels)
    typer.echo(f"checkpoint {import_model(request, db, Reporter())}")


@app.command("name")
def name_(
    checkpoint: options.CheckpointNamed,
    name: Annotated[str | None, options.argument(help="What to call it.", show_default=False)] = None,
    clear: options.Clear = False,
    db: options.Database = None,
) -> None:
    """Give a checkpoint a name, in place of the one it has, or take it away."""
    from rsuq_cli.commands.labelling import set_name

    set_name("checkpoint", checkpoint, name, clear, db)


@app.command()
def note(
    checkpoint: options.CheckpointNamed,
    note: Annotated[str | None, options.argument(help="What to remember about it.", show_default=False)] = None,
    clear: options.Clear = False,
    db: options.Database = None,
) -> None:
    """Write a note to a checkpoint, in place of the one it has, or take it away."""
    from rsuq_cli.commands.labelling import set_note

    set_note("checkpoint", checkpoint, note, clear, db)


@app.command("tag")
def tag_(
    checkpoint: options.CheckpointNamed,
    add: Annotated[list[str] | None, options.argument(metavar="TAG", help="Words to add.", show_default=False)] = None,
    remove: options.RemovedTags = None,
    db: options.Database = None,
) -> None:
    """Add tags to a checkpoint, and take others away."""
    from rsuq_cli.commands.labelling import set_tags

    set_tags("checkpoint", checkpoint, add or [], remove or [], db)
