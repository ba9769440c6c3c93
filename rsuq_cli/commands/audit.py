"""`rsuq audit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rsuq_cli.commands import options


def audit(
    run: Annotated[int, typer.Argument(help="Run number.")],
    inputs: Annotated[int, typer.Option(help="Attack the balls of at most N inputs, evenly chosen.")] = 10,
    attack: Annotated[
        str, typer.Option(help="pgd (gradients), random (decisions only, for any network) or both.")
    ] = "both",
    steps: Annotated[int, typer.Option(help="Steps of an attack on one ball.")] = 20,
    radius_scale: Annotated[float, typer.Option(help="Attack balls of so many times the certified radius.")] = 1.0,
    scoring: Annotated[list[int] | None, typer.Option(help="Only this scoring; repeat.", show_default="all")] = None,
    n: Annotated[
        int | None, typer.Option("--n", help="Samples to judge a point with.", show_default="the run's")
    ] = None,
    alpha: Annotated[float, typer.Option(help="Probability of any false break in a scoring.")] = 0.001,
    seed: options.Seed = 0,
    weights: Annotated[Path | None, typer.Option(help="Where the weights are now.", show_default="the run's")] = None,
    data_dir: options.DataDir = None,
    device: Annotated[str | None, typer.Option(help="Another device.", show_default="the run's")] = None,
    db: options.Database = None,
    format: options.OutputFormat = "table",
) -> None:
    """Try to break what a run has certified.

    Inside every ball it searches for a point where the smoothed decision violates the guarantee, and judges the worst
    one with fresh noise. None should be found. The same command again goes on, or shows what was found.
    """
    from rsuq_cli.auditing.statement import GUARANTEES
    from rsuq_cli.console import Reporter
    from rsuq_cli.jobs.audit import AuditRequest, audit_run
    from rsuq_cli.reports.audit import audit_table
    from rsuq_cli.results.audits import audit_summaries
    from rsuq_cli.results.database import open_for_reading

    request = AuditRequest(
        run_id=run,
        scorings=tuple(scoring or ()),
        inputs=inputs,
        attack=attack,  # type: ignore[arg-type]
        steps=steps,
        radius_scale=radius_scale,
        n=n,
        alpha=alpha,
        seed=seed,
        weights=weights,
        data_dir=data_dir,
        device=device,
    )
    audit_ids = audit_run(request, db, Reporter())
    with open_for_reading(db) as results:
        found = audit_summaries(results, audit_ids, GUARANTEES)
    audit_table(found).print(format)
