"""Bringing the runs of one database into another.

Invariant: nothing that is stored here changes but how far a run is, and merging twice adds nothing the second time. A
run is the same run where configuration, bins and attempt are; each comes in one transaction, or not at all where
something that both databases have is not the same in both (a conflict, which is named). Labels never conflict: a name
or note that is here stays, one that is missing here comes, and tags of both are kept.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, Table, func, select, update
from sqlmodel import SQLModel

from rsuq_cli.certificates.evidence import decode, decode_sums
from rsuq_cli.errors import BadInput
from rsuq_cli.results.database import Database, open_for_reading, open_for_writing
from rsuq_cli.results.labels import Subject, add_tags, tags_of
from rsuq_cli.results.location import locate
from rsuq_cli.results.numbering import next_number
from rsuq_cli.results.tables import Checkpoint, Evidence, Run, Study, StudyRun, table_of
from rsuq_cli.results.writer import count_finished

PAGE = 1024
CHECKPOINT, RUN, EVIDENCE = table_of(Checkpoint), table_of(Run), table_of(Evidence)
STUDY, STUDY_RUN = table_of(Study), table_of(StudyRun)
# What makes a row with a number of its own the same row in both databases; otherwise all its other columns do.
_IDENTITY = {
    "scoring": ("run_id", "measure", "threshold", "rule", "competitors", "alpha", "family_size", "bounds_version")
}
# When and how long, not what was found.
_INCIDENTAL = {"created_at", "seconds"}
# Two versions of scipy may differ in the last digits of a radius.
_TOLERANCE = 1e-9

Ids = dict[str, dict[int, int]]


@dataclass(frozen=True)
class Merged:
    """What became of a run of the other database: its number there and here, and how many rows came.

    `outcome` is "added" (new here), "completed" (known here, rows were missing), "same", or "conflict" (nothing was
    taken; `conflict` says what differs).
    """

    other_run_id: int
    run_id: int
    model: str
    dataset: str
    sigma: float
    outcome: Literal["added", "completed", "same", "conflict"]
    rows: int
    conflict: str | None = None


class _Conflict(Exception):  # noqa: N818
    """Something that both databases have, and that differs."""


def merge(database: str | Path | None, other: str | Path) -> list[Merged]:
    """Brings every run and checkpoint of `other` into `database`, and returns what became of each run.

    Raises:
        BadInput: both are the same database.
        DatabaseError: one of them cannot be used, or `other` is of a newer or older schema.
    """
    if _same(database, other):
        raise BadInput(f"{locate(other)} is the database itself", "name another one")
    with open_for_reading(other) as source, open_for_writing(database) as target, source.read() as reading:
        checkpoints = _copy_checkpoints(reading, target)
        runs = reading.execute(select(RUN).order_by(RUN.c.id)).mappings().all()
        merged = [_merge_run(reading, target, dict(run), checkpoints) for run in runs]
        _bring_studies(reading, target, {one.other_run_id: one.run_id for one in merged if one.outcome != "conflict"})
        return merged


def _same(database: str | Path | None, other: str | Path) -> bool:
    here, there = locate(database), locate(other)
    if here.path and there.path:
        return here.path.exists() and there.path.exists() and here.path.samefile(there.path)
    return here.url == there.url


def _copy_checkpoints(reading: Connection, target: Database) -> dict[int, int]:
    """Returns the number here of each checkpoint there; the same bytes are the same checkpoint."""
    with target.transaction() as writing:
        known = {row.sha256: row.id for row in writing.execute(select(CHECKPOINT.c.id, CHECKPOINT.c.sha256))}
        numbers = {}
        for row in reading.execute(select(CHECKPOINT)).mappings():
            if row["sha256"] not in known:
                known[row["sha256"]] = _insert(writing, CHECKPOINT, row)
            numbers[row["id"]] = known[row["sha256"]]
            _bring_labels(reading, writing, "checkpoint", row, numbers[row["id"]])
        return numbers


def _merge_run(reading: Connection, target: Database, run: dict[str, Any], checkpoints: Mapping[int, int]) -> Merged:
    key = [RUN.c[name] == run[name] for name in ("configuration_hash", "edges_hash", "attempt")]
    about = {"other_run_id": run["id"]} | {name: run[name] for name in ("model", "dataset", "sigma")}
    run_id = 0
    try:
        with target.transaction() as writing:
            known = writing.execute(select(RUN).where(*key)).mappings().first()
            if known is None:
                # Nobody is working on it here, whatever its status there.
                status = "interrupted" if run["status"] == "running" else run["status"]
                run_id = _insert(writing, RUN, _translated(RUN, run, {"checkpoint": checkpoints}) | {"status": status})
            else:
                run_id = known["id"]
            before = _seconds(writing, run_id)
            rows = _copy_rows(reading, writing, {"run": {run["id"]: run_id}})
            _bring_labels(reading, writing, "run", run, run_id)
            if known is None:
                return Merged(**about, run_id=run_id, outcome="added", rows=rows)
            if rows:
                _bring_progress(writing, run, known, _seconds(writing, run_id) - before)
            return Merged(**about, run_id=run_id, outcome="completed" if rows else "same", rows=rows)
    except _Conflict as conflict:
        return Merged(**about, run_id=run_id, outcome="conflict", rows=0, conflict=str(conflict))


def _seconds(connection: Connection, run_id: int) -> float:
    """Returns how long the inputs of a run took that have evidence."""
    total = select(func.coalesce(func.sum(EVIDENCE.c.seconds), 0.0)).where(EVIDENCE.c.run_id == run_id)
    return float(connection.execute(total).scalar_one())


def _bring_progress(writing: Connection, there: Mapping[Any, Any], here: Mapping[Any, Any], seconds: float) -> None:
    """Says of a run that got rows from there, which took so many seconds, how far it is: halves make a complete run.

    What an out-of-distribution run is evaluated to needs all of it at once, so halves of one are not complete.
    """
    whole = here["kind"] == "certify" and count_finished(writing, here["id"]) >= here["inputs"]
    complete = whole or "complete" in (there["status"], here["status"])
    lines = [json.loads(run["warnings"]) for run in (here, there) if run["warnings"]]
    every = list(dict.fromkeys(line for run in lines for line in run))
    changes = {
        "status": "complete" if complete else here["status"],
        "seconds": here["seconds"] + seconds,
        "warnings": json.dumps(every) if every else None,
    }
    writing.execute(update(RUN).where(RUN.c.id == here["id"]).values(changes))


def _bring_labels(
    reading: Connection, writing: Connection, subject: Subject, there: Mapping[Any, Any], here: int
) -> None:
    """Fills what nobody wrote here: name, note, the history of a training; and adds the tags."""
    table = {"run": RUN, "checkpoint": CHECKPOINT}[subject]
    for name in ("name", "note", "history"):
        if name in table.c and there[name] is not None:
            missing = (table.c.id == here) & table.c[name].is_(None)
            writing.execute(update(table).where(missing).values({name: there[name]}))
    add_tags(writing, subject, here, tags_of(reading, subject, there["id"]))


def _bring_studies(reading: Connection, target: Database, runs: Mapping[int, int]) -> None:
    """Adds the runs of every study to the one of the same name here; a plan that is here already stays."""
    with target.transaction() as writing:
        here = {row.name: row.id for row in writing.execute(select(STUDY.c.id, STUDY.c.name))}
        for study in reading.execute(select(STUDY)).mappings():
            number = here[study["name"]] if study["name"] in here else _insert(writing, STUDY, study)
            known = set(writing.execute(select(STUDY_RUN.c.run_id).where(STUDY_RUN.c.study_id == number)).scalars())
            for row in reading.execute(select(STUDY_RUN).where(STUDY_RUN.c.study_id == study["id"])).mappings():
                run = runs.get(row["run_id"])
                if run is not None and run not in known:
                    writing.execute(STUDY_RUN.insert().values({**row, "study_id": number, "run_id": run}))


def _copy_rows(reading: Connection, writing: Connection, ids: Ids) -> int:
    """Copies what belongs to a run, parents before children, and returns how many rows were missing."""
    copied = 0
    for table in SQLModel.metadata.sorted_tables:
        parent = _parent(table, ids)
        if parent is None:
            continue
        column, there_to_here = parent
        for there, here in there_to_here.items():
            rows = reading.execute(select(table).where(table.c[column] == there)).mappings()
            translated = (_translated(table, row, ids) | {column: here} for row in rows)
            if "id" in table.c:
                copied += _copy_numbered(writing, table, translated, column, here, ids)
            else:
                copied += _copy_keyed(writing, table, translated, column, here)
    return copied


def _parent(table: Table, ids: Ids) -> tuple[str, dict[int, int]] | None:
    """Returns the column by which a table belongs to the run, and the numbers there and here that it may hold."""
    if table.name in ("run", "checkpoint", "run_tag", "checkpoint_tag", "study", "study_run"):
        return None
    parents = {key.column.table.name: key.parent.name for key in table.foreign_keys}
    # A row that names both its run and its scoring belongs to the run: the scoring may be missing.
    for name in ("run", *ids):
        if name in parents:
            return parents[name], ids[name]
    return None


def _copy_numbered(
    writing: Connection, table: Table, rows: Iterable[dict[str, Any]], column: str, here: int, ids: Ids
) -> int:
    """Copies rows that have a number of their own, and notes which number here each one there has."""
    names = _IDENTITY.get(table.name) or tuple(c.name for c in table.c if c.name not in {"id", *_INCIDENTAL})
    known = {
        tuple(row[name] for name in names): row["id"]
        for row in writing.execute(select(table).where(table.c[column] == here)).mappings()
    }
    numbers, copied = ids.setdefault(table.name, {}), 0
    for row in rows:
        identity = tuple(row[name] for name in names)
        if identity not in known:
            known[identity] = _insert(writing, table, row)
            copied += 1
        numbers[row["id"]] = known[identity]
    return copied


def _copy_keyed(writing: Connection, table: Table, rows: Iterable[dict[str, Any]], column: str, here: int) -> int:
    """Copies rows whose key says what they are; raises _Conflict where one that is here already differs."""
    key = [c.name for c in table.primary_key if c.name != column]
    known = {
        tuple(row[name] for name in key): row
        for row in writing.execute(select(table).where(table.c[column] == here)).mappings()
    }
    missing = []
    for row in rows:
        mine = known.get(tuple(row[name] for name in key))
        if mine is None:
            missing.append(row)
        elif differing := next((name for name in row if not _equal(name, row[name], mine[name])), None):
            where = ", ".join(f"{name} {row[name]}" for name in key)
            raise _Conflict(f"{differing} of {table.name} ({where}) differs")
    for page in _pages(missing):
        writing.execute(table.insert(), page)
    return len(missing)


def _equal(name: str, there: Any, here: Any) -> bool:
    if there == here or name in _INCIDENTAL:
        return True
    if isinstance(there, float) and isinstance(here, float):
        return math.isclose(there, here, rel_tol=_TOLERANCE)
    # Two versions of zlib may pack the same counts differently.
    return name == "counts" and _unpacked(there) == _unpacked(here)


def _unpacked(blob: bytes) -> Any:
    try:
        histograms, sums = decode(blob), decode_sums(blob)
    except ValueError:
        return blob
    counts = {
        measure: (found.selection.tolist(), found.estimation.tolist(), found.unanswered)
        for measure, found in histograms.items()
    }
    return counts, None if sums is None else (sums.measures, sums.probabilities.tolist())


def _translated(table: Table, row: Mapping[Any, Any], ids: Mapping[str, Mapping[int, int]]) -> dict[str, Any]:
    """Returns a row with the numbers that its references have here."""
    values = {str(name): value for name, value in row.items()}
    for key in table.foreign_keys:
        numbers = ids.get(key.column.table.name)
        if numbers is not None and values[key.parent.name] is not None:
            values[key.parent.name] = numbers[values[key.parent.name]]
    return values


def _insert(writing: Connection, table: Table, row: Mapping[Any, Any]) -> int:
    values = {str(name): value for name, value in row.items() if name != "id"}
    if (next_one := next_number(writing, table)) is not None:
        values["id"] = next_one
    (number,) = writing.execute(table.insert().values(values)).inserted_primary_key or (0,)
    return int(number)


def _pages(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    remaining = iter(rows)
    while page := list(islice(remaining, PAGE)):
        yield page
