"""What is recorded about a run beside its certificates: where its network comes from, and what was tried against it.

Invariant: nothing here writes. What is gathered is about this very network: out-of-distribution runs of the same
weights and source, on the same data set and with the same noise; audits of the scorings that are asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, select, text

from rsuq_cli.results.audits import AuditSummary, audit_summaries
from rsuq_cli.results.database import Database
from rsuq_cli.results.inputs import CeilingShare, ceiling_shares
from rsuq_cli.results.labels import tags_of
from rsuq_cli.results.networks import runs_with_scores
from rsuq_cli.results.ood_queries import OodRun, ood_runs
from rsuq_cli.results.queries import Figures, run_row
from rsuq_cli.results.reach import Reach, reach
from rsuq_cli.results.rows import CheckpointRow, RunRow
from rsuq_cli.results.selection import Selection
from rsuq_cli.results.tables import Checkpoint, table_of
from rsuq_cli.results.writer import checkpoint_row

GUARANTEES = ("standard", "cc", "ncl")


class Unanswered(NamedTuple):
    """How many of a run's `samples` had outputs that were not all finite, and how many `inputs` had any such sample."""

    unanswered: int
    samples: int
    inputs: int


@dataclass(frozen=True)
class Dossier:
    """A run with one of its scorings, its checkpoint if it is recorded, its tags, and what was tried: the oldest first.

    `figures`, `reach` and `ceiling` are of the first scoring that is chosen; `others` more are. `detections` are
    out-of-distribution runs of the same network, `audits` those of all chosen scorings, one summary for each guarantee
    that an audit attacked.
    """

    run: RunRow
    figures: Figures
    others: int
    reach: Reach
    ceiling: CeilingShare
    checkpoint: CheckpointRow | None
    tags: tuple[str, ...]
    checkpoint_tags: tuple[str, ...]
    unanswered: Unanswered
    detections: tuple[OodRun, ...]
    audits: tuple[AuditSummary, ...]


def dossiers(db: Database, figures: Sequence[Figures]) -> list[Dossier]:
    """Returns one dossier for each run of the chosen scorings, in their order."""
    chosen: dict[int, list[Figures]] = {}
    for one in figures:
        chosen.setdefault(one.run_id, []).append(one)
    return [_dossier(db, run_id, found) for run_id, found in chosen.items()]


def _dossier(db: Database, run_id: int, chosen: Sequence[Figures]) -> Dossier:
    run, first = run_row(db, run_id), min(chosen, key=lambda one: one.scoring_id)
    with db.read() as connection:
        checkpoint = _checkpoint(connection, run)
        tags = tags_of(connection, "run", run.id)
        checkpoint_tags = tags_of(connection, "checkpoint", checkpoint.id) if checkpoint else ()
        unanswered = _unanswered(connection, run.id)
        audit_ids = _audits(connection, [one.scoring_id for one in chosen])
    (ceiling,) = ceiling_shares(db, Selection(scorings=[first.scoring_id], kinds=None))
    scored = runs_with_scores(db, run)
    return Dossier(
        run=run,
        figures=first,
        others=len(chosen) - 1,
        reach=reach(db, first.scoring_id),
        ceiling=ceiling,
        checkpoint=checkpoint,
        tags=tags,
        checkpoint_tags=checkpoint_tags,
        unanswered=unanswered,
        detections=tuple(ood_runs(db, runs=scored)) if scored else (),
        audits=tuple(one for one in audit_summaries(db, audit_ids, GUARANTEES) if one.attacked),
    )


def _checkpoint(connection: Connection, run: RunRow) -> CheckpointRow | None:
    """Returns the checkpoint that a run names, or the one whose file has the hash of its weights."""
    table = table_of(Checkpoint)
    same = table.c.id == run.checkpoint_id
    if run.checkpoint_id is None:
        same = table.c.sha256 == str(run.configuration.get("weights_sha256") or "none")
    row = connection.execute(select(table).where(same)).mappings().first()
    return None if row is None else checkpoint_row(row)


def _unanswered(connection: Connection, run_id: int) -> Unanswered:
    statement = text("""
        SELECT COALESCE(SUM(unanswered), 0), COALESCE(SUM(n0 + n), 0), COUNT(*) FILTER (WHERE unanswered > 0)
        FROM evidence WHERE run_id = :run_id AND label >= 0
    """)
    return Unanswered(*connection.execute(statement, {"run_id": run_id}).one())


def _audits(connection: Connection, scorings: Sequence[int]) -> list[int]:
    statement = text("SELECT id FROM audit WHERE scoring_id IN :scorings ORDER BY id")
    statement = statement.bindparams(bindparam("scorings", expanding=True))
    return list(connection.execute(statement, {"scorings": list(scorings)}).scalars())
