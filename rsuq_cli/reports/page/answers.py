"""The first screen of the page: can it be trusted, how far, and what was tried against it, for each run.

Invariant: every figure is one of the database's; a share stands with its interval, a promise with what it holds about.
What was not tried is said as plainly as what was.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rsuq_cli.certificates.definitions import TITLES
from rsuq_cli.certificates.intervals import Share
from rsuq_cli.console import number_text, percent_text, radius_text
from rsuq_cli.readings.dossier import Dossier
from rsuq_cli.reports.comparison import figure_record, predictor_text
from rsuq_cli.reports.markup import Cell, Html, element, joined, listing, measured, paragraph, rows_table
from rsuq_cli.reports.names import short_name
from rsuq_cli.reports.page.audits import audit_sentences
from rsuq_cli.reports.page.detection import detection_sentences
from rsuq_cli.reports.page.wording import (
    NOT_COVERED,
    PROMISES,
    probability_text,
    shows_rejection,
    threshold_text,
    units_text,
)
from rsuq_cli.results.figures import CurvePoint
from rsuq_cli.results.reach import SHARES, Reach

# Runs that get an answer of their own: more would be no screen any more.
MOST_ANSWERS = 6
# From this share on, a typical radius says how many samples were drawn.
_MEASURES_N = 0.5
_SHARE_TITLES = {0.9: "9 in 10 have", 0.5: "half have", 0.1: "1 in 10 has"}


def answers_html(dossiers: Sequence[Dossier]) -> Html:
    """Returns the first screen; of many runs the first, and a line that says how many were left out."""
    shown = [_answer(one) for one in dossiers[:MOST_ANSWERS]]
    left = len(dossiers) - len(shown)
    more = f"{left} more runs are in the tables below; a page of fewer runs answers for each of them." if left else ""
    limits = element("h3", "What all of this does not cover")
    return joined([*shown, paragraph(more) if left else Html(""), limits, listing(NOT_COVERED, "plain")])


def run_title(dossier: Dossier) -> str:
    """Returns the name of a run: its own where somebody gave it one, then model, data set and noise."""
    run = dossier.run
    own = f"{run.name}: " if run.name else ""
    return f"{own}run {run.id}, {run.model} on {short_name(run.dataset)} at σ = {number_text(run.sigma)}"


def _answer(dossier: Dossier) -> Html:
    run = dossier.run
    words = [f"note: {run.note}"] if run.note else []
    words += [f"tags: {', '.join(dossier.run.tags)}"] if dossier.run.tags else []
    parts = (
        ("Can it be trusted?", _trusted(dossier)),
        ("How far?", _far(dossier)),
        ("What was tried against it?", _tried(dossier)),
    )
    return element(
        "article",
        element("h3", run_title(dossier)),
        *(paragraph(line, class_="settings") for line in (*words, _about(dossier))),
        element("div", *(element("section", element("h4", title), part) for title, part in parts), class_="answer"),
        element("h4", "What the radii promise"),
        listing(_promises(dossier), "plain"),
        data_answer=dossier.figures.scoring_id,
    )  # fmt: skip


def _about(dossier: Dossier) -> str:
    one = dossier.figures
    told = f"Scoring {one.scoring_id}" + (f", by {one.measure}" if shows_rejection(one) else "")
    if dossier.others:
        plural = "s" if dossier.others > 1 else ""
        told += f"; {dossier.others} other scoring{plural} of this run in the table below"
    asked = f" Asked for every noise sample: {predictor_text(figure_record(one))}." if one.predictor else ""
    return f"{told}. {threshold_text(one)}{asked}"


def _trusted(dossier: Dossier) -> Html:
    one = dossier.figures
    answered, right = round(one.coverage * one.inputs), round(one.accuracy * one.inputs)
    certainty = " with certainty" if shows_rejection(one) else ""
    wrong = "and all of these answers were right" if answered == right else f"{answered - right:,} of them wrongly"
    lead = f"Of {one.inputs:,} {one.split} inputs it answered {answered:,}{certainty}"
    lead += f", {wrong}." if answered else "."
    rows = [
        _share_row(title, name, one.intervals.get(name))
        for title, name in (
            ("right and certain" if certainty else "right", "accuracy"),
            ("right, without rejection", "clean_accuracy"),
            ("answered with certainty" if certainty else "answered", "coverage"),
            ("right among the answered", "accuracy_answered"),
            ("undecided: n samples too few", "undecided"),
        )
        if certainty or name != "clean_accuracy"
    ]
    table = rows_table(("of the inputs", "%, with 95 % interval"), [*rows, *_network_rows(dossier)])
    return joined([paragraph(lead), table, listing(_flags(dossier), "flags")])


def _share_row(title: str, name: str, share: Share | None) -> tuple[Cell, Cell]:
    if share is None:
        return Cell(title), Cell("-")
    value = element("span", percent_text(share.value, 2), data_figure=name, data_value=repr(share.value))
    return Cell(title), Cell(measured(value, f"{percent_text(share.low, 2)} to {percent_text(share.high, 2)}"))


def _network_rows(dossier: Dossier) -> Iterator[tuple[Cell, Cell]]:
    """Yields the accuracies of the network alone, as its training recorded them."""
    if (checkpoint := dossier.checkpoint) is None:
        return
    for title, share in (
        ("the network alone, clean, as trained", checkpoint.accuracy_clean),
        ("the network alone, one noise sample", checkpoint.accuracy_noisy),
    ):
        if share is not None:
            yield Cell(title), Cell(percent_text(share, 2))


def _flags(dossier: Dossier) -> list[str]:
    """Returns what limits the trust in these figures, the gravest first; that nothing was recorded is said, too."""
    one = dossier.figures
    flags = [f"Warning: {warning}" for warning in dossier.run.warnings or ()]
    missing = one.planned - one.inputs
    if missing > 0 or one.status != "complete":
        flags.append(f"Not complete: {one.inputs:,} of {one.planned:,} inputs are certified.")
    lost = dossier.answers
    if lost.unanswered:
        flags.append(
            f"{lost.unanswered:,} of {lost.samples:,} samples, of {lost.touched:,} inputs, had outputs that are no "
            "numbers; they count as uncertain, and against every class."
        )
    elif lost.samples:
        flags.append(f"Of {lost.samples:,} samples, none is recorded as one without an answer.")
    if one.kind == "import":
        flags.append(f"Imported from {one.source}: the certificates are those of the log, nothing was sampled here.")
    if not dossier.run.warnings:
        flags.append("No warning was recorded with the run.")
    return flags


def _far(dossier: Dossier) -> Html:
    one = dossier.figures
    names = [name for name in TITLES if name == "standard" or shows_rejection(one)]
    reached = [
        [Cell(f"{_SHARE_TITLES[share]} at least"), *(Cell(_reached(dossier.reach, name, at)) for name in names)]
        for at, share in enumerate(SHARES)
    ]
    asked = [at for at, point in enumerate(one.certified_standard) if point.radius > 0][:2]
    certified = [
        [
            Cell(f"certified at {number_text(one.certified_standard[at].radius)}, % of all"),
            *(_certified(getattr(one, f"certified_{name}")[at], name) for name in names),
        ]
        for at in asked
    ]
    return joined([
        paragraph(_reach_text(dossier, "cc" if "cc" in names else "standard")),
        rows_table(("radius", *(TITLES[name] for name in names)), [*reached, *certified]),
        paragraph(f"The first rows are over the {dossier.reach.right:,} right answers, the others over all inputs, "
                  "with 95 % intervals.", class_="settings"),
        paragraph(_ceiling_text(dossier)) if one.n else Html(""),
    ])  # fmt: skip


def _reached(reach: Reach, name: str, at: int) -> Html:
    radius = reach.radii[name][at] if reach.right else None
    return element("span", radius_text(radius), data_reach=name, data_value=repr(radius))


def _reach_text(dossier: Dossier, name: str) -> str:
    reach = dossier.reach
    if not reach.right:
        return "No input is answered rightly, so there is no radius to speak of."
    half = radius_text(reach.radii[name][SHARES.index(0.5)])
    return f"At least half of the {reach.right:,} right answers have a {TITLES[name]} radius of {half} or more."


def _ceiling_text(dossier: Dossier) -> str:
    one = dossier.figures
    told = f"With n = {one.n:,} no radius can exceed {radius_text(dossier.ceiling.ceiling)}, the ceiling"
    if one.kind == "certify" and one.draws_at_max < 1:
        return (
            f"{told}. Sampling stopped before; {percent_text(one.at_ceiling, 2)} % of the inputs had every sample "
            "speak for the class until then, and their radius measures where it stopped, not the network."
        )
    told += f"; {percent_text(one.at_ceiling, 2)} % of the inputs are at it"
    return f"{told}, so a typical radius measures n, not the network." if one.at_ceiling >= _MEASURES_N else f"{told}."


def _promises(dossier: Dossier) -> list[str]:
    one = dossier.figures
    within = [
        joined([element("b", TITLES[name]), f": anywhere within this radius of the input, {promise}."])
        for name, promise in PROMISES[one.rule].items()
    ]
    return [*within, probability_text(one), units_text(one, dossier.run)]


def _certified(point: CurvePoint, name: str) -> Cell:
    value = element("span", percent_text(point.value, 2), data_certified=name, data_value=repr(point.value))
    return Cell(measured(value, f"{percent_text(point.low)} to {percent_text(point.high)}"))


def _tried(dossier: Dossier) -> Html:
    return joined([
        element("h5", "Attacks on the certificates"), listing(audit_sentences(dossier), "plain"),
        element("h5", "Inputs from elsewhere"), listing(detection_sentences(dossier), "plain"),
    ])  # fmt: skip
