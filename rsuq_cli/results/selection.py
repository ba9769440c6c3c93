"""Which scorings a report is about.

Invariant: what a user names enters the SQL as bound parameters only. The order is that of runs and scorings.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, text

from rsuq_cli.errors import BadInput
from rsuq_cli.results.database import Database
from rsuq_cli.results.filters import Condition, parse_condition

# Runs whose certificates are shown and compared. A run of another kind has figures of its own: in one with inputs from
# elsewhere there is no right answer for those, and they must not count as wrong ones.
KINDS = ("certify", "import")

SETTINGS = """
SELECT run.id AS run_id, scoring.id AS scoring_id, run.kind, run.status, run.checkpoint_id, run.model, run.dataset,
       run.split, run.skip, run.subset_sha256, run.sigma, run.n0, run.n, run.seed, run.device, run.precision,
       run.source, checkpoint.objective, scoring.measure, scoring.threshold, scoring.coverage AS threshold_coverage,
       scoring.rule, scoring.competitors, scoring.alpha, scoring.family_size, scoring.bounds_version,
       run.inputs AS planned, run.created_at, run.warnings, run.name, run.configuration
FROM scoring JOIN run ON run.id = scoring.run_id LEFT JOIN checkpoint ON checkpoint.id = run.checkpoint_id
"""

# What --where may name: the settings, and the flags' words for two of them.
SETTING_COLUMNS = {
    name: name
    for name in (
        "run_id", "scoring_id", "kind", "status", "checkpoint_id", "model", "dataset", "split", "skip", "sigma", "n0",
        "n", "seed", "device", "precision", "source", "objective", "measure", "threshold", "threshold_coverage", "rule",
        "competitors", "alpha", "family_size", "bounds_version", "planned", "created_at", "name",
    )
} | {"uncertainty": "measure", "run": "run_id", "scoring": "scoring_id"}  # fmt: skip


@dataclass(frozen=True)
class Selection:
    """Conditions that all must hold; None, or nothing, leaves one out.

    A run has to have all of `tags`. `since` is a moment as the database writes it (`moment`). `latest` keeps, of the
    runs of one model, data set, kind and sigma that meet the others, the newest.
    """

    runs: Sequence[int] = ()
    scorings: Sequence[int] = ()
    dataset: str | None = None
    model: str | None = None
    sigma: float | None = None
    measure: str | None = None
    kinds: Sequence[str] = KINDS
    where: Condition | None = None
    since: str | None = None
    latest: bool = False
    name: str | None = None
    tags: Sequence[str] = ()


def where_settings(written: str) -> Condition:
    """Returns the condition on settings that a user wrote; raises BadInput for an unknown column or no condition."""
    return parse_condition(written, SETTING_COLUMNS)


def chosen_scorings(connection: Connection, selection: Selection) -> list[RowMapping]:
    """Returns the settings of every scoring that is selected, whether or not it has certificates."""
    exact = {name: getattr(selection, name) for name in ("dataset", "model", "sigma", "measure", "name")}
    values: dict[str, Any] = {name: value for name, value in exact.items() if value is not None}
    conditions = [f"{name} = :{name}" for name in values]
    lists: dict[str, Sequence[object]] = {"run_id": selection.runs, "scoring_id": selection.scorings}
    lists |= {"kind": selection.kinds}
    expanded = {name: list(members) for name, members in lists.items() if members}
    conditions += [f"{name} IN :{name}" for name in expanded]
    for at, tag in enumerate(dict.fromkeys(selection.tags)):
        conditions.append(f"run_id IN (SELECT run_id FROM run_tag WHERE tag = :tag_{at})")
        values[f"tag_{at}"] = tag
    if selection.since is not None:
        conditions.append("created_at >= :since")
        values["since"] = selection.since
    if selection.where is not None:
        conditions.append(selection.where.keeps("scoring_id", f"({SETTINGS}) AS every"))
    filtered = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    statement = text(f"SELECT * FROM ({SETTINGS}) AS chosen {filtered} ORDER BY run_id, scoring_id")
    statement = statement.bindparams(*(bindparam(name, expanding=True) for name in expanded))
    found = list(connection.execute(statement, values | expanded).mappings())
    return _newest(found) if selection.latest else found


def sigmas(db: Database, selection: Selection) -> list[float]:
    """Returns the noise levels of the selected scorings, ascending."""
    with db.read() as connection:
        return sorted({row["sigma"] for row in chosen_scorings(connection, selection)})


def moment(written: str, *, now: datetime | None = None) -> str:
    """Returns a date, a time, or a span before now such as 7d or 12h, as the database writes moments (UTC).

    Raises:
        BadInput: none of them.
    """
    if span := re.fullmatch(r"(\d{1,6})\s*([mhdw])", written.strip()):
        unit = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}[span[2]]
        start = (now or datetime.now(UTC)) - timedelta(**{unit: int(span[1])})
    else:
        try:
            start = datetime.fromisoformat(written.strip())
        except ValueError:
            raise BadInput(
                f"--since {written!r} is no date", "give 2026-01-31, 2026-01-31T12:00, or a span such as 7d or 12h"
            ) from None
    return start.astimezone(UTC).isoformat(timespec="milliseconds")


def _newest(found: Sequence[RowMapping]) -> list[RowMapping]:
    newest: dict[tuple[Any, ...], int] = {}
    for row in found:
        experiment = (row["kind"], row["model"], row["dataset"], row["sigma"])
        newest[experiment] = max(row["run_id"], newest.get(experiment, 0))
    kept = set(newest.values())
    return [row for row in found if row["run_id"] in kept]
