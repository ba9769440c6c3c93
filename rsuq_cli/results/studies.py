"""Studies: their plans as they were given, and which runs belong to them.

Invariant: a study holds no figure; what its runs are is in their own rows, and a run that is deleted leaves it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Delete, delete, insert, select, update

from rsuq_cli.errors import BadInput, nearest
from rsuq_cli.results.database import Database
from rsuq_cli.results.tables import Study, StudyRun, table_of

_STUDY, _MEMBER = table_of(Study), table_of(StudyRun)


@dataclass(frozen=True)
class Member:
    """A run of a study, and where in the grid it stands; `seed` is that of the training."""

    run_id: int
    network: str
    objective: str
    sigma: float
    seed: int
    predictor: str


@dataclass(frozen=True)
class StudyRow:
    """A study: its plan as it was written, its moments, and its runs in the order of the grid."""

    id: int
    name: str
    plan: str
    created_at: str
    updated_at: str
    members: tuple[Member, ...]


def keep_study(db: Database, name: str, plan: str) -> int:
    """Returns the number of the study of this name, which has this plan now; the runs that it has stay."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    with db.transaction() as connection:
        number = connection.execute(select(_STUDY.c.id).where(_STUDY.c.name == name)).scalar()
        if number is not None:
            connection.execute(update(_STUDY).where(_STUDY.c.id == number).values(plan=plan, updated_at=now))
            return int(number)
        made = connection.execute(insert(_STUDY).values(name=name, plan=plan, created_at=now, updated_at=now))
        return int(made.inserted_primary_key[0])  # type: ignore[index]


def add_member(db: Database, study: int, member: Member) -> None:
    """Adds a run to a study, or puts one that it has in another place of the grid."""
    values = {"study_id": study, **member.__dict__}
    with db.transaction() as connection:
        connection.execute(_of(study).where(_MEMBER.c.run_id == member.run_id))
        connection.execute(insert(_MEMBER).values(**values))


def keep_only(db: Database, study: int, runs: Collection[int]) -> int:
    """Takes all other runs out of a study, and returns how many those were; the runs themselves stay."""
    with db.transaction() as connection:
        return connection.execute(_of(study).where(_MEMBER.c.run_id.not_in(list(runs)))).rowcount


def study_named(db: Database, name: str) -> StudyRow:
    """Returns the study of this name; raises BadInput, with the nearest names, where there is none."""
    found = list_studies(db)
    for one in found:
        if one.name == name:
            return one
    names = [one.name for one in found]
    raise BadInput(f"there is no study {name!r}", nearest(name, names) if names else "`rsuq study plan.toml` makes one")


def list_studies(db: Database) -> list[StudyRow]:
    """Returns every study, the oldest first."""
    with db.read() as connection:
        rows = list(connection.execute(select(_STUDY).order_by(_STUDY.c.id)).mappings())
        members = list(connection.execute(select(_MEMBER).order_by(_MEMBER.c.study_id, _MEMBER.c.run_id)).mappings())
    of_study: dict[int, list[Member]] = {}
    for row in members:
        values = {name: row[name] for name in Member.__dataclass_fields__}
        of_study.setdefault(row["study_id"], []).append(Member(**values))
    return [StudyRow(**row, members=tuple(of_study.get(row["id"], ()))) for row in rows]


def _of(study: int) -> Delete:
    """Returns the statement that takes runs out of a study, all of them."""
    return delete(_MEMBER).where(_MEMBER.c.study_id == study)
