"""`rsuq audit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from rsuq_cli.commands import options


def audit(
    run: Annotated[int, options.argument(help="Run number.")],
    scoring: Annotated[
        list[int] | None,
        options.what(metavar="SCORING", help="Only this scoring; may be repeated.", show_default="all"),
    ] = None,
    weights: Annotated[
        Path | None, options.what(metavar="FILE", help="Where the weights are now.", show_default="the run's")
    ] = None,
    inputs: Annotated[int, options.what(metavar="N", help="Attack the balls of at most N inputs, evenly chosen.")] = 10,
    alpha: Annotated[
        float, options.reading(metavar="SHARE", help="Probability of any false break in a scoring.")
    ] = 0.001,
    attack: Annotated[
        str,
        options.attack(metavar="KIND", help="pgd (gradients), random (decisions only, for any network) or both."),
    ] = "both",
    steps: Annotated[int, options.attack(metavar="N", help="Steps of an attack on one ball.")] = 20,
    radius_scale: Annotated[
        float, options.attack(metavar="NUMBER", help="Attack balls of so many times the certified radius.")
    ] = 1.0,
    n: Annotated[
        int | None,
        options.sampling("--n", metavar="N", help="Samples to judge a point with.", show_default="the run's"),
    ] = None,
    seed: options.Seed = 0,
    device: Annotated[
        str | None, options.place(metavar="NAME", help="Another device.", show_default="the run's")
    ] = None,
    data_dir: options.DataDir = None,
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
    # Few decisions are certified to stay uncertain, and under some rules none.
    audit_table([one for one in found if one.guarantee != "uncertain" or one.attacked]).print(format)
