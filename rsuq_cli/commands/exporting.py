"""`rsuq export`."""

from __future__ import annotations

from typing import Annotated, Literal

from rsuq_cli.commands import options
from rsuq_cli.errors import BadInput

ExportFormat = Literal["certify-tsv", "csv", "jsonl", "parquet"]


def export(
    run: Annotated[int, options.argument(help="Run number.")],
    scoring: Annotated[
        int | None,
        options.what(metavar="SCORING", help="Only this scoring (first column of the report).", show_default="all"),
    ] = None,
    guarantee: Annotated[
        Literal["standard", "cc", "ncl"],
        options.view(metavar="NAME", help="The radius of a certify-tsv log: standard, cc or ncl."),
    ] = "standard",
    db: options.Database = None,
    format: Annotated[
        ExportFormat,
        options.output(
            metavar="FORMAT",
            help="certify-tsv: the log that the field's scripts read, radii rounded down; else every column as csv, "
            "jsonl or parquet.",
        ),
    ] = "certify-tsv",
    output: options.Output = None,
    force: options.Force = False,
) -> None:
    """Export the certificate of every input of a run."""
    from rsuq_cli.console import destination
    from rsuq_cli.formats import write_records
    from rsuq_cli.reports.certification_log import log_lines
    from rsuq_cli.results.database import open_for_reading
    from rsuq_cli.results.inputs import stream_inputs
    from rsuq_cli.results.runs import run_row
    from rsuq_cli.results.selection import Selection, chosen_scorings

    with open_for_reading(db) as results:
        run_row(results, run)
        with results.read() as connection:
            known = [row["scoring_id"] for row in chosen_scorings(connection, Selection(runs=[run]))]
        chosen = _chosen(run, scoring, known, one=format == "certify-tsv")
        selection = Selection(scorings=chosen)
        with destination(output, force=force, binary=format == "parquet") as stream:
            rows = stream_inputs(results, selection, timed=True)
            if format == "certify-tsv":
                for line in log_lines(rows, guarantee):
                    stream.write(f"{line}\n".encode())
            else:
                write_records(rows, format, stream)


def _chosen(run: int, scoring: int | None, known: list[int], *, one: bool) -> list[int]:
    """Returns the scorings to export; a log is about one."""
    if not known:
        raise BadInput(f"run {run} has no certificates", "rsuq report shows the runs that have some")
    listed = ", ".join(str(each) for each in known)
    if scoring is not None and scoring not in known:
        raise BadInput(f"run {run} has no scoring {scoring}", f"it has {listed}")
    if scoring is None and one and len(known) > 1:
        raise BadInput(f"run {run} has {len(known)} scorings, a log is about one", f"give --scoring, one of {listed}")
    return known if scoring is None else [scoring]
