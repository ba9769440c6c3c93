"""Everything that is written to the database, one function and one transaction each.

Invariant: natural keys make every function safe to repeat: what is stored already stays as it is, so a resumed run or a
second process adds only what is missing. Evidence and the certificates made from it enter together or not at all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from sqlalchemy import Connection, RowMapping, Table, bindparam, case, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from rsuq_cli.results.columns import column_values, finite
from rsuq_cli.results.database import Database
from rsuq_cli.results.evidence import edges_of, evidence_without_samples, load_edges, load_evidence
from rsuq_cli.results.names import REJECTER
from rsuq_cli.results.numbering import next_number
from rsuq_cli.results.rows import (
    Array,
    AuditBallRow,
    AuditHandle,
    CheckpointRow,
    EvidenceRow,
    MeasureEdges,
    NewAudit,
    NewCheckpoint,
    NewRun,
    NewScoring,
    RunHandle,
    SampleRow,
    Status,
    StoredEdges,
)
from rsuq_cli.results.tables import (
    Audit,
    AuditBall,
    BinEdges,
    CertifiedSample,
    Checkpoint,
    Evidence,
    Run,
    Scoring,
    table_of,
)

__all__ = [
    "CheckpointRow",
    "EvidenceRow",
    "NewCheckpoint",
    "NewRun",
    "NewScoring",
    "RunHandle",
    "SampleRow",
    "StoredEdges",
    "add_scoring",
    "add_warnings",
    "checkpoints_of_data",
    "configurations_of",
    "count_finished",
    "evidence_without_samples",
    "find_runs",
    "finish_run",
    "load_edges",
    "load_evidence",
    "record_checkpoint",
    "replace_samples",
    "start_audit",
    "start_run",
    "store_balls",
    "store_inputs",
    "store_samples",
]

CHECKPOINT, RUN, BIN_EDGES = table_of(Checkpoint), table_of(Run), table_of(BinEdges)
EVIDENCE, SCORING, CERTIFIED_SAMPLE = table_of(Evidence), table_of(Scoring), table_of(CertifiedSample)
AUDIT, AUDIT_BALL = table_of(Audit), table_of(AuditBall)


def record_checkpoint(db: Database, new: NewCheckpoint, *, renewed: Sequence[str] = ()) -> int:
    """Returns the id of the checkpoint with these bytes, recorded now unless it is known.

    Of a known one it is noted where its file is now, what was not recorded of it before, and what of its configuration
    is `renewed`, since the same bytes may have been made again in another way.
    """
    values = column_values(new)
    with db.transaction() as connection:
        _insert_missing(connection, CHECKPOINT, [values | {"created_at": _now()}])
        same = CHECKPOINT.c.sha256 == new.sha256
        history = func.coalesce(CHECKPOINT.c.history, values["history"])
        known = json.loads(connection.execute(select(CHECKPOINT.c.configuration).where(same)).scalar_one())
        given = json.loads(values["configuration"])
        again = {name: given[name] for name in renewed if name in given}
        configuration = json.dumps({**given, **known, **again}, sort_keys=True)
        changes = {"file": values["file"], "history": history, "configuration": configuration}
        connection.execute(update(CHECKPOINT).where(same).values(changes))
        return int(connection.execute(select(CHECKPOINT.c.id).where(same)).scalar_one())


def checkpoints_of_data(db: Database, dataset: str, sigma: float) -> list[CheckpointRow]:
    """Returns every network recorded for (dataset, sigma), whatever its model, the newest first."""
    c = CHECKPOINT.c
    wanted = select(CHECKPOINT).where(
        c.dataset == dataset, c.sigma == finite("sigma", sigma), c.objective != REJECTER
    )  # fmt: skip
    with db.read() as connection:
        rows = connection.execute(wanted.order_by(c.created_at.desc(), c.id.desc())).mappings().all()
    return [checkpoint_row(row) for row in rows]


def checkpoint_row(row: RowMapping) -> CheckpointRow:
    """Returns a row of the table as it was recorded, without its tags."""
    parsed = {name: json.loads(row[name]) for name in ("configuration", "history") if row[name] is not None}
    return CheckpointRow(**{**row, **parsed})


def start_run(
    db: Database, new: NewRun, *, fresh: bool = False,
    serves: Callable[[Mapping[str, StoredEdges]], bool] | None = None,
) -> RunHandle:  # fmt: skip
    """Returns the newest run of this configuration and these edges, or a new one; `fresh` always makes a new one.

    Where no run has these edges, the newest of this configuration whose bins are said to serve is taken: whoever began
    first has fixed the bins of all that begin at once. An interrupted run is marked running again; the handle has the
    status as it was found. Older attempts are kept.
    """
    values = column_values(new)
    edges = {measure: _stored(measure, given) for measure, given in new.edges.items()}
    key = {"configuration_hash": new.configuration_hash, "edges_hash": _edges_hash(edges)}
    with db.transaction() as connection:
        same = select(RUN).where(*(RUN.c[name] == value for name, value in key.items()))
        known = connection.execute(same.order_by(RUN.c.attempt.desc()).limit(1)).mappings().first()
        if known is None and serves is not None and not fresh:
            known = _with_other_bins(connection, new.configuration_hash, serves)
        if known and not fresh:
            if known["status"] == "interrupted":
                resumed = update(RUN).where(RUN.c.id == known["id"])
                connection.execute(resumed.values(status="running", updated_at=_now()))
            return _handle(connection, known)
        attempt = known["attempt"] + 1 if known else 1
        moment = _now()
        times = {"created_at": moment, "updated_at": moment, "seconds": 0.0}
        row = values | key | times | {"attempt": attempt, "status": "running"}
        row |= _numbered(connection, RUN)
        (run_id,) = connection.execute(RUN.insert().values(row)).inserted_primary_key or (0,)
        bins = [
            {"run_id": run_id, "measure": measure, "edges": _to_blob(e.edges), "coverages": _to_blob(e.coverages)}
            for measure, e in edges.items()
        ]
        if bins:
            connection.execute(BIN_EDGES.insert(), bins)
        return RunHandle(int(run_id), attempt, "running", frozenset(), edges, created=True)


def _with_other_bins(
    connection: Connection, configuration_hash: str, serves: Callable[[Mapping[str, StoredEdges]], bool]
) -> RowMapping | None:
    """Returns the newest run of a configuration whose bins serve, None where there is none."""
    every = select(RUN).where(RUN.c.configuration_hash == configuration_hash).order_by(RUN.c.id.desc())
    rows = connection.execute(every).mappings().all()
    return next((row for row in rows if serves(edges_of(connection, row["id"]))), None)


def find_runs(db: Database, configuration_hash: str) -> list[RunHandle]:
    """Returns every run of this configuration, whatever its edges, the newest first."""
    wanted = select(RUN).where(RUN.c.configuration_hash == configuration_hash).order_by(RUN.c.id.desc())
    with db.read() as connection:
        return [_handle(connection, row) for row in connection.execute(wanted).mappings().all()]


def configurations_of(db: Database, kind: str, model: str, sigma: float) -> list[tuple[int, dict[str, Any]]]:
    """Returns id and configuration of every run of this kind, model and sigma, the newest first."""
    r = RUN.c
    wanted = select(r.id, r.configuration).where(r.kind == kind, r.model == model, r.sigma == finite("sigma", sigma))
    with db.read() as connection:
        return [(row.id, json.loads(row.configuration)) for row in connection.execute(wanted.order_by(r.id.desc()))]


def add_scoring(db: Database, new: NewScoring) -> int:
    """Returns the id of this scoring, added now unless the run has it; `coverage` is no part of what makes it one."""
    values = column_values(new)
    key = {name: value for name, value in values.items() if name != "coverage"}
    with db.transaction() as connection:
        _insert_missing(connection, SCORING, [values | {"created_at": _now()}])
        same = (SCORING.c[name].is_not_distinct_from(value) for name, value in key.items())
        return int(connection.execute(select(SCORING.c.id).where(*same)).scalar_one())


def store_inputs(db: Database, run_id: int, evidence: Sequence[EvidenceRow], samples: Sequence[SampleRow] = ()) -> None:
    """Stores the evidence of some inputs and the certificates made from it, together; what is stored already stays.

    Raises:
        ValueError: a value that cannot be stored, naming the column; nothing is stored then.
    """
    rows = [{"run_id": run_id} | column_values(row) for row in evidence]
    certificates = [column_values(row) for row in samples]
    with db.transaction() as connection:
        _insert_missing(connection, EVIDENCE, rows)
        _insert_missing(connection, CERTIFIED_SAMPLE, certificates)
        # Of several shards one may have been interrupted: the run is under way as long as any of them stores inputs.
        under_way = case((RUN.c.status == "interrupted", "running"), else_=RUN.c.status)
        connection.execute(update(RUN).where(RUN.c.id == run_id).values(updated_at=_now(), status=under_way))


def store_samples(db: Database, samples: Sequence[SampleRow]) -> None:
    """Stores certificates made from evidence that is stored already; raises ValueError as `store_inputs` does."""
    certificates = [column_values(row) for row in samples]
    with db.transaction() as connection:
        _insert_missing(connection, CERTIFIED_SAMPLE, certificates)


def replace_samples(db: Database, samples: Sequence[SampleRow]) -> None:
    """Puts certificates in the place of those of the same scoring and input; all of them, or none where one is refused.

    Raises ValueError as `store_inputs` does.
    """
    key = ("scoring_id", "input_index")
    values = [{f"new_{name}": value for name, value in column_values(row).items()} for row in samples]
    if not values:
        return
    columns = CERTIFIED_SAMPLE.c
    same = (columns[name] == bindparam(f"new_{name}") for name in key)
    changes: dict[str, Any] = {c.name: bindparam(f"new_{c.name}") for c in columns if c.name not in key}
    with db.transaction() as connection:
        connection.execute(update(CERTIFIED_SAMPLE).where(*same).values(changes), values)


def finish_run(
    db: Database, run_id: int, status: Status, seconds_added: float, warnings: Sequence[str] = (),
    *, planned: int | None = None,
) -> None:  # fmt: skip
    """Sets how a run ended, and adds the seconds it took this time and what should be known about it.

    With fewer inputs than `planned` it is not complete, only interrupted: other shards have not finished theirs.
    One that was deleted meanwhile stays deleted.
    """
    with db.transaction() as connection:
        if status == "complete" and planned is not None and count_finished(connection, run_id) < planned:
            status = "interrupted"
        changes = {
            "status": status,
            "seconds": RUN.c.seconds + finite("seconds", seconds_added),
            "warnings": _with_warnings(connection, run_id, warnings),
            "updated_at": _now(),
        }
        connection.execute(update(RUN).where(RUN.c.id == run_id).values(changes))


def count_finished(connection: Connection, run_id: int) -> int:
    """Returns how many inputs of a run have evidence."""
    counted = select(func.count()).select_from(EVIDENCE).where(EVIDENCE.c.run_id == run_id)
    return int(connection.execute(counted).scalar_one())


def add_warnings(db: Database, run_id: int, warnings: Sequence[str]) -> None:
    """Stores what should be known about a run, as soon as it is known: one that is killed keeps it. Repeats are one."""
    if not warnings:
        return
    with db.transaction() as connection:
        every = _with_warnings(connection, run_id, warnings)
        connection.execute(update(RUN).where(RUN.c.id == run_id).values(warnings=every))


def _with_warnings(connection: Connection, run_id: int, warnings: Sequence[str]) -> str | None:
    stored = connection.execute(select(RUN.c.warnings).where(RUN.c.id == run_id)).scalar()
    known = json.loads(stored) if stored else []
    every = list(dict.fromkeys([*known, *warnings]))
    return json.dumps(every) if every else None


def start_audit(db: Database, new: NewAudit) -> AuditHandle:
    """Returns the audit with these settings, made now unless it is known, and what it has attacked already."""
    values = column_values(new)
    with db.transaction() as connection:
        _insert_missing(connection, AUDIT, [values | {"created_at": _now()}])
        same = (AUDIT.c[name] == value for name, value in values.items())
        audit_id = int(connection.execute(select(AUDIT.c.id).where(*same)).scalar_one())
        attacked = select(AUDIT_BALL.c.input_index, AUDIT_BALL.c.guarantee).where(AUDIT_BALL.c.audit_id == audit_id)
        return AuditHandle(audit_id, frozenset((row[0], row[1]) for row in connection.execute(attacked)))


def store_balls(db: Database, audit_id: int, balls: Sequence[AuditBallRow]) -> None:
    """Stores what became of some balls; raises ValueError as `store_inputs` does."""
    rows = [{"audit_id": audit_id} | column_values(ball) for ball in balls]
    with db.transaction() as connection:
        _insert_missing(connection, AUDIT_BALL, rows)


def _handle(connection: Connection, row: RowMapping) -> RunHandle:
    run_id = row["id"]
    finished = connection.execute(select(EVIDENCE.c.input_index).where(EVIDENCE.c.run_id == run_id)).scalars()
    return RunHandle(
        run_id, row["attempt"], row["status"], frozenset(finished), edges_of(connection, run_id), created=False
    )


def _stored(measure: str, given: MeasureEdges) -> StoredEdges:
    stored = StoredEdges(np.asarray(given.edges, dtype="<f8"), np.asarray(given.coverages, dtype="<f8"))
    for name, values in stored._asdict().items():
        if values.ndim != 1 or not np.isfinite(values).all():
            raise ValueError(f"{name} of {measure} must be a row of finite numbers")
    if stored.edges.shape != stored.coverages.shape or (np.diff(stored.edges) <= 0).any():
        raise ValueError(f"edges of {measure} must increase, with a coverage each")
    return stored


def _edges_hash(edges: Mapping[str, StoredEdges]) -> str:
    digest = hashlib.sha256()
    for measure, stored in sorted(edges.items()):
        digest.update(f"{measure}:{len(stored.edges)}:".encode())
        digest.update(_to_blob(stored.edges) + _to_blob(stored.coverages))
    return digest.hexdigest()


def _to_blob(values: Array) -> bytes:
    return np.ascontiguousarray(values, dtype="<f8").tobytes()


def _insert_missing(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Inserts the rows whose key is new. Unlike INSERT OR IGNORE, a row that violates a CHECK raises."""
    if not rows:
        return
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    numbered = _numbered(connection, table)
    connection.execute(insert(table).on_conflict_do_nothing(), [{**row, **numbered} for row in rows])


def _numbered(connection: Connection, table: Table) -> dict[str, int]:
    """Returns the number that the next row of a table has to take, nothing where it gets the right one by itself."""
    number = next_number(connection, table)
    return {} if number is None else {"id": number}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
