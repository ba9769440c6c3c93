"""`rsuq rescore`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from rsuq_cli.commands import options
from rsuq_cli.errors import BadInput
from rsuq_cli.uncertainty.measures import MEASURES

ALPHA = 0.001


class Criterion(StrEnum):
    """What a threshold can be chosen by."""

    gain = "gain"
    acr_ncl = "acr_ncl"
    acr_cc = "acr_cc"


def rescore(
    runs: Annotated[list[int], options.argument(help="Run numbers.")],
    uncertainty: Annotated[
        list[str] | None,
        options.reading(
            metavar="MEASURE",
            help=f"{options.listed(list(MEASURES))}; may be repeated.",
            show_default="entropy; all with --best",
        ),
    ] = None,
    coverage: options.Coverages = None,
    threshold: Annotated[
        list[float] | None, options.reading(metavar="NUMBER", help="A bin edge of the run; may be repeated.")
    ] = None,
    sweep: Annotated[bool, options.reading("--sweep", help="Figures at every bin edge; nothing is stored.")] = False,
    best: Annotated[
        Criterion | None,
        options.reading(
            metavar="FIGURE",
            help=f"Choose the threshold on one half of the inputs by {options.listed(list(Criterion))}, and report on "
            "the other.",
        ),
    ] = None,
    at_coverage: Annotated[
        float | None,
        options.reading(
            metavar="SHARE", help="With --best: answer at least this share of samples.", show_default="0.9"
        ),
    ] = None,
    rule: Annotated[
        list[str] | None,
        options.reading(
            metavar="RULE",
            help=f"How votes decide: {options.listed(options.RULES)}; may be repeated.",
            show_default="majority",
        ),
    ] = None,
    competitors: options.Competitors = None,
    alpha: options.Alpha = ALPHA,
    family_wise: options.FamilyWise = False,
    radii: options.Radii = None,
    db: options.Database = None,
    format: options.OutputFormat = "table",
) -> None:
    """Read stored evidence anew: other measures, thresholds, rules or alpha, without the model and without sampling.

    Certificates of the runs that are wrong (`rsuq db check` finds them) are put right first.
    """
    from rsuq_cli.console import say
    from rsuq_cli.jobs.rescore import check_complete, store_scorings, sweep_points
    from rsuq_cli.readings.mending import mended_scorings
    from rsuq_cli.readings.request import Best, RescoreRequest
    from rsuq_cli.reports.comparison import comparison_table, parse_radii
    from rsuq_cli.reports.rescore import best_table, sweep_table
    from rsuq_cli.results.database import open_for_reading, open_for_writing
    from rsuq_cli.results.figures import selected_figures
    from rsuq_cli.results.runs import run_row
    from rsuq_cli.results.selection import Selection

    if best is None and at_coverage is not None:
        raise BadInput("--at-coverage is given without --best", "say what to choose by, such as --best gain")
    request = RescoreRequest(
        measures=tuple(dict.fromkeys(uncertainty or ([] if best and not threshold else ["entropy"]))),
        thresholds=tuple(dict.fromkeys(threshold or [])),
        coverages=tuple(dict.fromkeys(coverage or [])),
        every_edge=sweep,
        rules=tuple(dict.fromkeys(rule or ["majority"])),  # type: ignore[arg-type]
        competitors=competitors,  # type: ignore[arg-type]
        alpha=alpha,
        family_wise=family_wise,
        best=Best(best.value, 0.9 if at_coverage is None else at_coverage) if best else None,
    )
    with open_for_reading(db) as results:
        wanted = parse_radii(radii, [run_row(results, run_id).sigma for run_id in runs])
        if request.over_edges:
            points = sweep_points(results, runs, request, wanted)
            (best_table if best else sweep_table)(points).print(format)
            check_complete(results, runs)
            return
    with open_for_writing(db) as results:
        mended = mended_scorings(results, runs, say)
        # Without any setting it is about what was wrong, and no other reading is asked for.
        asked = any((uncertainty, coverage, threshold, rule, competitors, family_wise, alpha != ALPHA))
        scoring_ids = mended if mended and not asked else store_scorings(results, runs, request)
        found = selected_figures(results, Selection(scorings=scoring_ids), wanted)
        comparison_table(found, title="rescored").print(format)
        check_complete(results, runs)
