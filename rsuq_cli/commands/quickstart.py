"""`rsuq quickstart`."""

from __future__ import annotations

from typing import Annotated

import typer

from rsuq_cli.commands import options


def quickstart(
    limit: Annotated[
        int | None, options.what(metavar="N", help="Certify at most so many digits.", show_default="all 360")
    ] = None,
    n: Annotated[int, options.sampling("--n", metavar="N", help="Samples for an input.")] = 2000,
    device: options.OneDevice = "auto",
    db: options.Database = None,
) -> None:
    """Train, certify, tell inputs from elsewhere and report on the embedded digits: a minute or two on a laptop.

    Run again, it shows what is there and samples nothing twice.
    """
    from dataclasses import replace

    from rsuq_cli.console import Reporter, print_text
    from rsuq_cli.jobs.certify import certify_run
    from rsuq_cli.jobs.ood.run import ood_run
    from rsuq_cli.jobs.quickstart import (
        certify_request,
        of_checkpoint,
        ood_request,
        trained,
        trained_without_classes,
    )
    from rsuq_cli.reports.comparison import comparison_table, curve_table
    from rsuq_cli.reports.ood.summary import MORE, reading, summary_table
    from rsuq_cli.reports.ood.view import View
    from rsuq_cli.reports.quickstart import guide
    from rsuq_cli.results.database import open_for_reading
    from rsuq_cli.results.figures import figures
    from rsuq_cli.results.ood_queries import ood_runs

    reporter = Reporter()
    # Both are refused, where they have to be, before anything is trained.
    certify, ood = certify_request(n, limit, device), ood_request(n, limit, device)
    outcome = certify_run(of_checkpoint(certify, trained(device, db, reporter)), db, reporter)
    without_classes = of_checkpoint(ood.certify, trained_without_classes(device, db, reporter))
    detection = ood_run(replace(ood, certify=without_classes), db, reporter)
    with open_for_reading(db) as results:
        every = figures(results, runs=[outcome.run_id], radii=[0, 0.25, 0.5, 0.75])
        (told,) = ood_runs(results, runs=[detection.run_id])
    found = [one for one in every if one.scoring_id in outcome.scoring_ids]
    comparison_table(found, title="quickstart").print("table")
    typer.echo()
    curve_table(found).print("table")
    typer.echo()
    elsewhere_table = summary_table(View([told]))
    # Where more is to be had is said below, by commands that know of --details.
    replace(elsewhere_table, notes=[note for note in elsewhere_table.notes if note != MORE]).print("table")
    print_text(["", reading(told), "", *guide(found)])
