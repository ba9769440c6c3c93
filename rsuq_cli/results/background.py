"""What a run rests on beside its certificates: its checkpoint, its tags, and the samples that had no answer.

Invariant: nothing here writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, select, text

from rsuq_cli.results.database import Database
from rsuq_cli.results.labels import tags_of
from rsuq_cli.results.rows import CheckpointRow, RunRow
from rsuq_cli.results.tables import Checkpoint, table_of
from rsuq_cli.results.writer import checkpoint_row


class Unanswered(NamedTuple):
    """How many of a run's `samples` had outputs that were not all finite, and how many `inputs` had any such sample."""

    unanswered: int
    samples: int
    inputs: int


@dataclass(frozen=True)
class Background:
    """The checkpoint of a run if it is recorded, the tags of both, and what was not answered."""

    checkpoint: CheckpointRow | None
    tags: tuple[str, ...]
    checkpoint_tags: tuple[str, ...]
    unanswered: Unanswered


def background(db: Database, run: RunRow) -> Background:
    """Returns what a run rests on."""
    with db.read() as connection:
        checkpoint = _checkpoint(connection, run)
        return Background(
            checkpoint,
            tags_of(connection, "run", run.id),
            tags_of(connection, "checkpoint", checkpoint.id) if checkpoint else (),
            _unanswered(connection, run.id),
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
