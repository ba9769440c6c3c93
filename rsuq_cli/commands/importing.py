"""`rsuq import`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from rsuq_cli.commands import options


def import_logs(
    files: Annotated[list[Path], options.argument(help="Logs; each becomes a run.")],
    model: Annotated[str, options.what(metavar="NAME", help="A name for the model, such as resnet110.")],
    sigma: options.Sigma,
    dataset: Annotated[str, options.what(metavar="NAME", help="The data set that the log is about, such as cifar10.")],
    source: Annotated[
        str | None, options.what(metavar="TEXT", help="Where the log is from.", show_default="the file's name")
    ] = None,
    format: Annotated[
        Literal["certify-tsv"],
        options.what(metavar="FORMAT", help="certify-tsv: tab-separated idx, label, predict, radius, correct, time."),
    ] = "certify-tsv",
    alpha: options.Alpha = 0.001,
    n0: Annotated[
        int, options.sampling("--n0", metavar="N", help="Selection samples that the log was made with.")
    ] = 100,
    n: Annotated[int, options.sampling("--n", metavar="N", help="Estimation samples that it was made with.")] = 100_000,
    db: options.Database = None,
) -> None:
    """Import published certification logs, so that they stand in reports beside your own results.

    Odd rows are imported with a warning, which stays with the run. The same log again changes nothing.
    """
    from dataclasses import replace

    from rsuq_cli.console import say, warn
    from rsuq_cli.jobs.importing import ImportRequest
    from rsuq_cli.jobs.importing import import_logs as store
    from rsuq_cli.reports.comparison import comparison_table
    from rsuq_cli.results.database import open_for_reading
    from rsuq_cli.results.figures import figures

    imported = store(ImportRequest(tuple(files), dataset, model, sigma, n0, n, alpha, source), db)
    for one in imported:
        step = "" if one.skip == 1 else f", every {one.skip}th"
        known = "" if one.added else " (it was there already)"
        say(f"{one.file.name}: run {one.run_id}, {one.inputs:,} inputs{step}{known}")
        for warning in one.warnings:
            warn(f"{one.file.name}, {warning}")
    with open_for_reading(db) as results:
        table = comparison_table(figures(results, runs=[one.run_id for one in imported]), title="imported")
    said = {f"run {one.run_id}: {warning}" for one in imported for warning in one.warnings}
    replace(table, notes=[note for note in table.notes if note not in said]).print("table")
