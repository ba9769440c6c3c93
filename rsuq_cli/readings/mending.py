"""Stored certificates that are wrong: finding them, and putting the right ones in their place.

Invariant: a certificate is wrong when the evidence, read by its own scoring today, gives another one. Only those that a
wrong bound can be behind are made again (`results.suspects`). What is mended keeps its scoring and its input; all of a
run is replaced in one transaction, after a copy of the database, and nothing else is touched.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rsuq_cli.certificates.evidence import MeasureEdges
from rsuq_cli.certificates.method import Method
from rsuq_cli.errors import DatabaseError
from rsuq_cli.readings.pages import decoded
from rsuq_cli.readings.scoring import Scored, sample_rows
from rsuq_cli.results.database import Database
from rsuq_cli.results.rows import SampleRow
from rsuq_cli.results.schema import SCHEMA_HEAD, back_up
from rsuq_cli.results.suspects import Suspect, suspects, suspicious_scorings
from rsuq_cli.results.writer import load_edges, replace_samples

# Rounding of another release of a library is no error.
_ROUNDING = 1e-9
_RADII = ("radius_standard", "radius_cc", "radius_ncl", "radius_uncertain")


class Wrong(NamedTuple):
    """The wrong certificates of a scoring, as they should be; `too_far` of them claim more than is proven."""

    run_id: int
    scoring_id: int
    measure: str
    threshold: float
    rule: str
    too_far: int
    right: tuple[SampleRow, ...]

    def __str__(self) -> str:
        count, near = len(self.right), len(self.right) - self.too_far
        return (
            f"run {self.run_id}, scoring {self.scoring_id} ({self.measure} at {self.threshold:.4g}, {self.rule}): "
            f"{count:,} {'certificate is' if count == 1 else 'certificates are'} wrong, {self.too_far:,} claiming more "
            f"than is proven and {near:,} less than could be; rsuq rescore {self.run_id} mends them"
        )


class Mended(NamedTuple):
    """What was put right, and the copy of the database that was made before; None on a server."""

    wrong: tuple[Wrong, ...]
    backup: Path | None


def wrong_certificates(db: Database, run_id: int | None = None) -> list[Wrong]:
    """Returns the scorings, of one run or of all, with wrong certificates; raises DatabaseError if one is damaged."""
    found = []
    edges: dict[int, dict[str, MeasureEdges]] = {}
    for scoring in suspicious_scorings(db, run_id):
        run = scoring["run_id"]
        if run not in edges:
            edges = {run: {measure: MeasureEdges(*stored) for measure, stored in load_edges(db, run).items()}}
        if one := _wrong(db, scoring, edges[run]):
            found.append(one)
    return found


def mend(db: Database, run_id: int) -> Mended | None:
    """Replaces the wrong certificates of a run, if it has any, after a copy of the database; returns what was done.

    Raises DatabaseError where the copy or the change cannot be made; nothing is changed then.
    """
    wrong = wrong_certificates(db, run_id)
    if not wrong:
        return None
    backup = back_up(db.path, SCHEMA_HEAD) if db.path else None
    replace_samples(db, [row for one in wrong for row in one.right])
    return Mended(tuple(wrong), backup)


def mended_scorings(db: Database, run_ids: Sequence[int], tell: Callable[[str], None]) -> list[int]:
    """Mends these runs, tells what was done, and returns the scorings that it was done to."""
    found = []
    for run_id in dict.fromkeys(run_ids):
        mended = mend(db, run_id)
        if mended is None:
            continue
        for one in mended.wrong:
            tell(f"run {run_id}, scoring {one.scoring_id}: wrong certificates mended: {len(one.right):,}")
            found.append(one.scoring_id)
        if mended.backup:
            tell(f"a copy of the database before that is {mended.backup}")
    return found


def _wrong(db: Database, scoring: Mapping[str, Any], edges: Mapping[str, MeasureEdges]) -> Wrong | None:
    method = Method.of_scoring(scoring["sigma"], scoring, scoring["configuration"])
    scored = Scored(scoring["scoring_id"], scoring["measure"], scoring["threshold"], method)
    too_far, right = 0, []
    for page in suspects(db, dict(scoring)):
        for suspect, row in zip(page, _again(page, scored, edges, scoring["run_id"]), strict=True):
            if _differs(suspect.stored, row):
                right.append(row)
                too_far += _claims_more(suspect.stored, row)
    if not right:
        return None
    return Wrong(
        scoring["run_id"], scored.scoring_id, scored.measure, scored.threshold, scoring["rule"], too_far, tuple(right)
    )


def _again(page: list[Suspect], scored: Scored, edges: Mapping[str, MeasureEdges], run_id: int) -> list[SampleRow]:
    try:
        inputs = [decoded(one.stored.input_index, one.stored.label, one.counts, {scored.measure}) for one in page]
        return sample_rows(inputs, [scored], edges)
    except (ValueError, LookupError) as error:
        raise DatabaseError(f"the evidence of run {run_id} is damaged: {error}", "restore a backup") from error


def _differs(stored: SampleRow, right: SampleRow) -> bool:
    proven = ("decision", "standard_decided")
    return any(getattr(stored, name) != getattr(right, name) for name in proven) or any(
        not math.isclose(getattr(stored, name), getattr(right, name), rel_tol=_ROUNDING, abs_tol=_ROUNDING)
        for name in _RADII
    )


def _claims_more(stored: SampleRow, right: SampleRow) -> bool:
    return any(getattr(stored, name) > getattr(right, name) * (1 + _ROUNDING) + _ROUNDING for name in _RADII)
