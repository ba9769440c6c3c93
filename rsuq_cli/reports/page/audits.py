"""The audits on the page: what attacked the certificates that are shown, and what came of it.

Invariant: that nothing was tried is said, and an attack beyond the certified radius is told apart from one within it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from rsuq_cli.console import number_text
from rsuq_cli.readings.dossier import Dossier
from rsuq_cli.reports.audit import NAMES
from rsuq_cli.reports.markup import Cell, Html, joined, listing, paragraph, rows_table
from rsuq_cli.results.audits import AuditSummary

ATTACKS = {
    "pgd": "gradient ascent (PGD)",
    "random": "random directions",
    "both": "gradient ascent (PGD) and random directions",
}
MOST_AUDITS = 20
# Audits that the first screen tells of; all of them are in the table.
_TOLD = 3
_NONE = "None was tried: no audit of these certificates is recorded (rsuq audit attacks them)."
_OF_A_LOG = "None was tried: the certificates are those of a log, and its network is not here to be attacked."
_TITLES = ("audit", "scoring", "attack", "steps", "at × radius", "guarantee", "balls", "broken", "worst excess",
           "at least", "of input")  # fmt: skip
_NOTES = (
    "broken: at the worst point found in the ball, fresh noise contradicts the guarantee with confidence; expected: "
    "none at 1 × the radius, some beyond",
    "worst excess: by how much the votes at that point go beyond one half against the guarantee; below 0 they do not "
    "contradict it. At least: its lower confidence bound, α over all balls of the audit together",
    "an attack that breaks nothing proves nothing by itself: the certificates do, an attack tests them",
)


def audits_html(dossiers: Iterable[Dossier]) -> Html:
    """Returns the table of every audit of the scorings shown; of many the newest."""
    found = sorted({one.audit_id: part for part in _each(dossiers) for one in part}.items())
    if not found:
        return paragraph(_NONE)
    shown = found[-MOST_AUDITS:]
    rows = [_row(one) for _, part in shown for one in part]
    left = len(found) - len(shown)
    return joined([
        rows_table(_TITLES, rows, caption="Audits of the scorings on this page"),
        listing([*_NOTES, *([f"{left} older audits are left out"] if left else [])]),
    ])  # fmt: skip


def audit_sentences(dossier: Dossier) -> list[str]:
    """Returns what was tried against the certificates of a run, one sentence for each audit, the newest first."""
    told = [_sentence(part) for part in _each([dossier])][::-1]
    left = len(told) - _TOLD
    more = [f"{left} more {'audit is' if left == 1 else 'audits are'} in the table below."] if left > 0 else []
    return [*told[:_TOLD], *more] or [_OF_A_LOG if dossier.run.kind == "import" else _NONE]


def _each(dossiers: Iterable[Dossier]) -> list[list[AuditSummary]]:
    """Returns the summaries of each audit together."""
    return [list(part) for one in dossiers for _, part in groupby(one.audits, lambda audit: audit.audit_id)]


def _sentence(part: Sequence[AuditSummary]) -> str:
    first, broken = part[0], sum(one.broken for one in part)
    balls = sum(one.attacked for one in part)
    kinds = ", ".join(f"{one.attacked:,} {NAMES[one.guarantee]}" for one in part)
    told = (
        f"Audit {first.audit_id} of scoring {first.scoring_id} searched {balls:,} balls ({kinds}) at "
        f"{number_text(first.radius_scale)} × their radius by {ATTACKS[first.attack]}, {first.steps} steps: "
    )
    if not broken:
        return f"{told}none was broken."
    beyond = "more than is certified, where breaks are to be expected" if first.radius_scale > 1 else "a fault"
    return f"{told}{broken:,} broken ({beyond})."


def _row(one: AuditSummary) -> list[Cell]:
    lower = "-" if one.worst_excess_lower is None else f"{one.worst_excess_lower:+.4f}"
    return [
        Cell(str(one.audit_id)), Cell(str(one.scoring_id)), Cell(one.attack, words=True), Cell(str(one.steps)),
        Cell(number_text(one.radius_scale)), Cell(NAMES[one.guarantee], words=True),
        Cell(f"{one.attacked:,}"), Cell(f"{one.broken:,}"),
        Cell("-" if one.worst_excess is None else f"{one.worst_excess:+.4f}"), Cell(lower),
        Cell(number_text(one.worst_input)),
    ]  # fmt: skip
