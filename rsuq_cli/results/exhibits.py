"""What pictures and pages show of single inputs: certificates as columns, the inputs worth looking at, scores.

Invariant: nothing here writes, and values enter the SQL as bound parameters only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import text

from rsuq_cli.results.database import Database

_COLUMNS = (
    "input_index, label, class_index, standard_class, decision, standard_decided, at_ceiling, n, certain_count, "
    "uncertain_count, vote_count, radius_standard, radius_cc, radius_ncl, radius_uncertain, radius_explicit, "
    "competitors"
)
# Where both orders tie, the input's number decides, so that a page is the same each time it is made.
GALLERIES = {
    "widest": "class_index = label AND radius_ncl > radius_cc ORDER BY radius_ncl - radius_cc DESC, input_index",
    "wrong": "decision = 'certain' AND class_index <> label ORDER BY radius_cc DESC, input_index",
}


@dataclass(frozen=True)
class Exhibit:
    """One input of a gallery: label and class by number, radii in pixel units."""

    input_index: int
    label: int
    class_index: int
    decision: str
    radius_standard: float
    radius_cc: float
    radius_ncl: float


@dataclass(frozen=True)
class Scores:
    """The values of one score, larger = more out-of-distribution: of the run's data set, and of each set outside."""

    run_id: int
    dataset: str
    score: str
    inside: npt.NDArray[np.float64]
    outside: Mapping[str, npt.NDArray[np.float64]]


def certificate_columns(db: Database, scoring_id: int) -> dict[str, npt.NDArray[Any]]:
    """Returns the certificates of a scoring column by column, each `[N]`, in the order of the inputs."""
    statement = text(f"SELECT {_COLUMNS} FROM certified_sample WHERE scoring_id = :scoring_id ORDER BY input_index")
    with db.read() as connection:
        result = connection.execute(statement, {"scoring_id": scoring_id})
        names, rows = list(result.keys()), result.all()
    columns = zip(*rows, strict=True) if rows else ([] for _ in names)
    return {name: np.asarray(values) for name, values in zip(names, columns, strict=True)}


def largest_radius(db: Database, scoring_id: int) -> float:
    """Returns the largest radius of a scoring in pixel units, 0 where it has none."""
    statement = text("""
        SELECT MAX(radius_standard), MAX(radius_cc), MAX(radius_ncl) FROM certified_sample
        WHERE scoring_id = :scoring_id
    """)
    with db.read() as connection:
        return max(radius or 0.0 for radius in connection.execute(statement, {"scoring_id": scoring_id}).one())


def exhibits(db: Database, scoring_id: int, gallery: str, count: int) -> list[Exhibit]:
    """Returns the inputs of a gallery: `widest`, where NCL and CC differ most, or `wrong`, stated with confidence."""
    statement = text(f"""
        SELECT input_index, label, class_index, decision, radius_standard, radius_cc, radius_ncl
        FROM certified_sample WHERE scoring_id = :scoring_id AND {GALLERIES[gallery]} LIMIT :count
    """)
    with db.read() as connection:
        rows = connection.execute(statement, {"scoring_id": scoring_id, "count": count}).all()
    return [Exhibit(*row) for row in rows]


def scored_runs(db: Database) -> set[int]:
    """Returns the runs that have out-of-distribution scores."""
    with db.read() as connection:
        return set(connection.execute(text("SELECT DISTINCT run_id FROM ood_score")).scalars())


def ood_scores(db: Database, run_id: int, dataset: str) -> list[Scores]:
    """Returns the scores of a run on its own data set and on every other; without both there is nothing to compare."""
    statement = text("SELECT score, ood_set, value FROM ood_score WHERE run_id = :run_id ORDER BY score, ood_set")
    values: dict[str, dict[str, list[float]]] = {}
    with db.read() as connection:
        for score, ood_set, value in connection.execute(statement, {"run_id": run_id}):
            values.setdefault(score, {}).setdefault(ood_set, []).append(value)
    arrays = {score: {name: np.asarray(v) for name, v in sets.items()} for score, sets in values.items()}
    return [
        Scores(run_id, dataset, score, sets[dataset], {name: v for name, v in sets.items() if name != dataset})
        for score, sets in arrays.items()
        if dataset in sets and len(sets) > 1
    ]
