"""The recorded checkpoints, read back.

Invariant: nothing here writes; what a file holds is not looked at.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import select, text

from rsuq_cli.errors import BadInput
from rsuq_cli.results.database import Database
from rsuq_cli.results.filters import Condition, parse_condition
from rsuq_cli.results.labels import tags_by_number
from rsuq_cli.results.rows import CheckpointRow
from rsuq_cli.results.tables import Checkpoint, Run, table_of
from rsuq_cli.results.writer import checkpoint_row

_CHECKPOINT, _RUN = table_of(Checkpoint), table_of(Run)
# What `--where` may name of a checkpoint.
CHECKPOINT_COLUMNS = {
    name: name
    for name in (
        "id", "model", "dataset", "sigma", "objective", "file", "sha256", "accuracy_clean", "accuracy_noisy", "name",
        "note", "created_at",
    )
}  # fmt: skip


def list_checkpoints(
    db: Database, *, name: str | None = None, tags: Sequence[str] = (), where: Condition | None = None
) -> list[CheckpointRow]:
    """Returns every checkpoint that has this name, all these tags, and meets the condition, the oldest first."""
    wanted = select(_CHECKPOINT).order_by(_CHECKPOINT.c.id)
    if where is not None:
        wanted = wanted.where(text(where.keeps("id", "checkpoint AS every")))
    with db.read() as connection:
        labelled = tags_by_number(connection, "checkpoint")
        rows = [checkpoint_row(row) for row in connection.execute(wanted).mappings()]
    found = [replace(row, tags=labelled.get(row.id, ())) for row in rows]
    return [row for row in found if name in (None, row.name) and set(tags) <= set(row.tags)]


def _further(configuration: str) -> list[str]:
    """Returns the sha256 of an ensemble's further networks, of a rejecter and of a denoiser, as a run records them."""
    predictor = json.loads(configuration).get("predictor", {})
    return [*predictor.get("members", ()), *filter(None, [predictor.get("rejecter"), predictor.get("denoiser")])]


def checkpoint_by_number(db: Database, number: int) -> CheckpointRow:
    """Returns one checkpoint; raises BadInput where there is none of this number."""
    for row in list_checkpoints(db):
        if row.id == number:
            return row
    raise BadInput(f"there is no checkpoint {number}", "`rsuq models` lists them")


def where_checkpoints(written: str) -> Condition:
    """Returns the condition on checkpoints that a user wrote; raises BadInput for an unknown column or no condition."""
    return parse_condition(written, CHECKPOINT_COLUMNS)


def runs_by_checkpoint(db: Database) -> dict[int, tuple[int, ...]]:
    """Returns the numbers of the runs of each checkpoint that has any, as their network, member or denoiser."""
    found: dict[int, tuple[int, ...]] = {}
    with db.read() as connection:
        numbers = {row.sha256: row.id for row in connection.execute(select(_CHECKPOINT.c.sha256, _CHECKPOINT.c.id))}
        of_several = select(_RUN.c.id, _RUN.c.configuration).where(_RUN.c.configuration.contains('"predictor"'))
        others = {number: _further(configuration) for number, configuration in connection.execute(of_several)}
        for checkpoint_id, run_id in connection.execute(select(_RUN.c.checkpoint_id, _RUN.c.id).order_by(_RUN.c.id)):
            further = [numbers[one] for one in others.get(run_id, ()) if one in numbers]
            for number in filter(None, (checkpoint_id, *further)):
                found[number] = (*found.get(number, ()), run_id)
    return found
