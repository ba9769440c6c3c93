"""`rsuq study`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from rsuq_cli.commands import options
from rsuq_cli.errors import BadInput, RunIncomplete


def study(
    plan: Annotated[
        Path | None, options.argument(metavar="PLAN", help="The plan, a TOML file.", show_default=False)
    ] = None,
    init: Annotated[
        Path | None, options.what("--init", metavar="FILE", help="Write a plan to begin with, and do nothing else.")
    ] = None,
    dry_run: options.DryRun = False,
    device: options.Device = "auto",
    precision: options.Precision = "fp32",
    batch_size: options.BatchSize = "auto",
    workers: options.Workers = 1,
    compile: options.Compile = None,
    data_dir: options.DataDir = None,
    checkpoint_dir: Annotated[
        Path | None,
        options.output(metavar="FOLDER", help="Where checkpoints go.", show_default="beside the database"),
    ] = None,
    db: options.Database = None,
    format: options.OutputFormat = "table",
) -> None:
    """Train, certify and compare a whole grid of networks, objectives, noise levels and uncertainty sources.

    Interrupted, the same command goes on; complete, it samples nothing and shows what was found.
    """
    if init is not None:
        if plan is not None:
            raise BadInput("both a plan and --init are given", "write one first: rsuq study --init plan.toml")
        _write(init)
        return
    if plan is None:
        raise BadInput("no plan is named", "rsuq study --init plan.toml writes one, rsuq study plan.toml runs it")
    from rsuq_cli.console import Reporter
    from rsuq_cli.jobs.study.grid import Surroundings, cells_of
    from rsuq_cli.jobs.study.plan import read_plan
    from rsuq_cli.run.request import Machine

    read, written = read_plan(plan)
    machine = Machine(device, precision, options.batch_size_of(batch_size), workers, compile)
    cells = cells_of(read, Surroundings(machine, data_dir, checkpoint_dir), str(plan))
    if dry_run:
        from rsuq_cli.jobs.study.forecast import forecast
        from rsuq_cli.reports.study.forecast import forecast_table

        forecast_table(forecast(cells, db)).print(format)
        return
    from rsuq_cli.console import is_machine, print_tables
    from rsuq_cli.jobs.study.run import study_run
    from rsuq_cli.reports.study.tables import study_tables
    from rsuq_cli.results.database import open_for_reading
    from rsuq_cli.results.studies import study_named

    outcome = study_run(read, written, cells, db, Reporter())
    with open_for_reading(db) as results:
        tables = study_tables(results, study_named(results, read.name), machine=is_machine(format))
    if tables:
        print_tables(tables, format)
    if outcome.failed:
        raise RunIncomplete(
            f"{len(outcome.failed)} jobs of the study failed: {', '.join(outcome.failed[:3])}"
            + (", …" if len(outcome.failed) > 3 else ""),
            "what is said above says why; the same command tries them again",
        )


def _write(path: Path) -> None:
    from rsuq_cli.console import say
    from rsuq_cli.files import new_file
    from rsuq_cli.jobs.study.template import TEMPLATE

    with new_file(path) as stream:
        stream.write(TEMPLATE.encode())
    say(f"wrote {path}; next: rsuq study {path} --dry-run, then rsuq study {path}")
