"""Deleting runs and checkpoints with what hangs on them.

Invariant: a deletion is one transaction, and nothing of it stays behind; a run that is being written is refused. The
evidence outlives a checkpoint: runs that used it stay, and have none. Numbers are not given again (`numbering`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, delete, select, text

from rsuq_cli.errors import BadInput
from rsuq_cli.results.database import Database
from rsuq_cli.results.numbering import numbers_kept
from rsuq_cli.results.tables import Checkpoint, Run, table_of

_RUN, _CHECKPOINT = table_of(Run), table_of(Checkpoint)


@dataclass(frozen=True)
class Hanging:
    """How many rows hang on some runs, and the bytes of the counts among them; `inputs` have evidence.

    `certificates` are those of all scorings, `balls` were attacked by audits; `ood_scores` and `metrics` are of
    out-of-distribution runs.
    """

    inputs: int
    bytes: int
    scorings: int
    certificates: int
    audits: int
    balls: int
    ood_scores: int
    metrics: int


_HANGING = text("""
SELECT (SELECT COUNT(*) FROM evidence WHERE run_id IN :runs) AS inputs,
       (SELECT COALESCE(SUM(LENGTH(counts)), 0) FROM evidence WHERE run_id IN :runs) AS bytes,
       (SELECT COUNT(*) FROM scoring WHERE run_id IN :runs) AS scorings,
       (SELECT COUNT(*) FROM certified_sample WHERE scoring_id IN
           (SELECT id FROM scoring WHERE run_id IN :runs)) AS certificates,
       (SELECT COUNT(*) FROM audit WHERE scoring_id IN (SELECT id FROM scoring WHERE run_id IN :runs)) AS audits,
       (SELECT COUNT(*) FROM audit_ball WHERE audit_id IN
           (SELECT audit.id FROM audit JOIN scoring ON scoring.id = audit.scoring_id
            WHERE scoring.run_id IN :runs)) AS balls,
       (SELECT COUNT(*) FROM ood_score WHERE run_id IN :runs) AS ood_scores,
       (SELECT COUNT(*) FROM metric WHERE run_id IN :runs) AS metrics
""").bindparams(bindparam("runs", expanding=True))

_OF_RUN = "(SELECT id FROM scoring WHERE run_id = :run)"
_WITHDRAWN = tuple(
    text(f"DELETE FROM {what}")
    for what in (
        f"audit WHERE scoring_id IN {_OF_RUN}",
        f"certified_sample WHERE scoring_id IN {_OF_RUN}",
        "ood_score WHERE run_id = :run",
        "metric WHERE run_id = :run",
        "evidence WHERE run_id = :run",
    )
)


def hanging_on(db: Database, runs: Sequence[int]) -> Hanging:
    """Returns what would be deleted with these runs."""
    with db.read() as connection:
        return Hanging(**connection.execute(_HANGING, {"runs": list(runs)}).mappings().one())


def check_deletable(db: Database, runs: Sequence[int], *, force: bool = False) -> None:
    """Raises BadInput for a run that is not there, or is marked as running and `force` is not given."""
    with db.read() as connection:
        found = {row.id: row for row in connection.execute(select(_RUN).where(_RUN.c.id.in_(list(runs))))}
    for number in runs:
        if number not in found:
            raise BadInput(f"there is no run {number}", "`rsuq runs` lists them")
        if found[number].status == "running" and not force:
            raise BadInput(
                f"run {number} is being written (last at {found[number].updated_at[:19].replace('T', ' ')} UTC)",
                "stop the command that writes it first; if that was killed and no longer runs, give --force",
            )


def delete_runs(db: Database, runs: Sequence[int], *, force: bool = False) -> None:
    """Deletes runs with everything that hangs on them; a command that still writes one of them ends with an error.

    Raises:
        BadInput: as `check_deletable` does; nothing is deleted then.
    """
    check_deletable(db, runs, force=force)
    with db.transaction() as connection, numbers_kept(connection):
        # One that was begun again since is kept from harm by the same condition.
        chosen = _RUN.c.id.in_(list(runs)) if force else _RUN.c.id.in_(list(runs)) & (_RUN.c.status != "running")
        connection.execute(delete(_RUN).where(chosen))


def withdraw_inputs(db: Database, run: int) -> None:
    """Deletes the evidence of a run that is being written, and all that was made from it; the run itself stays."""
    with db.transaction() as connection:
        for statement in _WITHDRAWN:
            connection.execute(statement, {"run": run})


def delete_checkpoint(db: Database, number: int) -> None:
    """Deletes the row of a checkpoint; runs that were made with it keep their evidence, and have no checkpoint."""
    with db.transaction() as connection, numbers_kept(connection):
        connection.execute(delete(_CHECKPOINT).where(_CHECKPOINT.c.id == number))
