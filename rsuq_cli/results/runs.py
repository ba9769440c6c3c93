"""The runs of a database.

Invariant: nothing here writes; what a user names enters the SQL as bound parameters only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import RowMapping, text

from rsuq_cli.errors import BadInput
from rsuq_cli.results.database import Database
from rsuq_cli.results.filters import Condition, parse_condition
from rsuq_cli.results.labels import tags_by_number
from rsuq_cli.results.rows import RunRow

_RUNS = """
SELECT run.*, CASE WHEN run.kind = 'import'
                   THEN (SELECT COUNT(*) FROM certified_sample AS sample JOIN scoring ON scoring.id = sample.scoring_id
                         WHERE scoring.run_id = run.id)
                   ELSE (SELECT COUNT(*) FROM evidence WHERE evidence.run_id = run.id) END AS finished,
       (SELECT COUNT(*) FROM scoring WHERE scoring.run_id = run.id) AS scorings
FROM run
"""
# What `--where` may name of a run.
RUN_COLUMNS = {
    name: name
    for name in (
        "id", "kind", "status", "checkpoint_id", "model", "dataset", "split", "skip", "subset_limit", "inputs", "sigma",
        "n0", "n", "seed", "device", "precision", "source", "name", "note", "created_at", "updated_at", "seconds",
        "finished", "scorings",
    )
} | {"run": "id", "run_id": "id"}  # fmt: skip


class AnswerCount(NamedTuple):
    """How many of the samples of a run's inputs had no answer, and on how many of the inputs."""

    unanswered: int
    samples: int
    touched: int
    inputs: int


def answer_count(db: Database, run_id: int) -> AnswerCount:
    """Returns how many of a run's stored samples had logits that were not all finite."""
    statement = text("""
        SELECT COALESCE(SUM(unanswered), 0), COALESCE(SUM(n0 + n), 0), COUNT(*) FILTER (WHERE unanswered > 0), COUNT(*)
        FROM evidence WHERE run_id = :run_id
    """)
    with db.read() as connection:
        return AnswerCount(*(int(count) for count in connection.execute(statement, {"run_id": run_id}).one()))


def list_runs(
    db: Database, *, name: str | None = None, tags: Sequence[str] = (), where: Condition | None = None
) -> list[RunRow]:
    """Returns every run that has this name, all these tags, and meets the condition, the oldest first."""
    condition = "" if where is None else f"WHERE {where.keeps('id', f'({_RUNS}) AS every')}"
    statement = f"SELECT * FROM ({_RUNS}) AS run {condition} ORDER BY id"
    with db.read() as connection:
        labelled = tags_by_number(connection, "run")
        found = [_run_row(row, labelled) for row in connection.execute(text(statement)).mappings()]
    return [run for run in found if name in (None, run.name) and set(tags) <= set(run.tags)]


def where_runs(written: str) -> Condition:
    """Returns the condition on runs that a user wrote; raises BadInput for an unknown column or no condition."""
    return parse_condition(written, RUN_COLUMNS)


def run_row(db: Database, run_id: int) -> RunRow:
    """Returns one run.

    Raises:
        BadInput: there is no such run.
    """
    with db.read() as connection:
        row = connection.execute(text(f"{_RUNS} WHERE run.id = :run_id"), {"run_id": run_id}).mappings().first()
        labelled = tags_by_number(connection, "run", run_id)
    if row is None:
        raise BadInput(f"there is no run {run_id}", "`rsuq runs` lists them")
    return _run_row(row, labelled)


def _run_row(row: RowMapping, labelled: Mapping[int, tuple[str, ...]]) -> RunRow:
    values: dict[str, Any] = {name: value for name, value in row.items() if name != "edges_hash"}
    for name in ("versions", "configuration", "warnings", "class_names"):
        values[name] = json.loads(values[name]) if values[name] is not None else None
    return RunRow(**values, tags=labelled.get(row["id"], ()))
