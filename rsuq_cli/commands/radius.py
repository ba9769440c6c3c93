"""`rsuq radius`."""

from __future__ import annotations

from typing import Annotated

from rsuq_cli.commands import options


def radius(
    sigma: options.Sigma = 0.25,
    certain: Annotated[
        list[str] | None,
        options.what(metavar="VOTES", help="CLASS:COUNT of certain votes; may be repeated, or separated by commas."),
    ] = None,
    uncertain: Annotated[
        list[str] | None, options.what(metavar="VOTES", help="CLASS:COUNT of uncertain votes; likewise.")
    ] = None,
    masses: Annotated[
        bool, options.what("--masses", help="The values are probabilities; the rest is the worst rival's.")
    ] = False,
    class_index: Annotated[
        int | None,
        options.what("--class", metavar="CLASS", help="The class to certify.", show_default="most certain votes"),
    ] = None,
    rule: options.Rule = "majority",
    competitors: options.Competitors = None,
    alpha: options.Alpha = 0.001,
    family_wise: options.FamilyWise = False,
    format: options.OutputFormat = "table",
) -> None:
    """Print the three radii of given estimation counts, or of exact masses."""
    from rsuq_cli.jobs.radius import RadiusRequest, parse_votes, single_certificate
    from rsuq_cli.reports.radius import single_table

    request = RadiusRequest(
        sigma=sigma,
        certain=parse_votes(certain or [], "--certain", masses=masses),
        uncertain=parse_votes(uncertain or [], "--uncertain", masses=masses),
        class_index=class_index,
        rule=rule,
        competitors=competitors,
        alpha=alpha,
        family_wise=family_wise,
        masses=masses,
    )
    single_table(single_certificate(request)).print(format)
