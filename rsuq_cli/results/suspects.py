"""Stored certificates that a wrong bound may be behind, with the evidence to make them again.

Invariant: what is not among them cannot have been touched. Before every bound was checked by its tail, scipy's inverse
of the incomplete beta function was trusted, and it is wrong for many totals where one of its two parameters is exactly
1000: where a count, or what it leaves of the total, is 999 or 1000. Bounds that hold at every look never used it, and
imported certificates were not made here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from typing import Any, NamedTuple

from sqlalchemy import RowMapping, text

from rsuq_cli.results.database import Database
from rsuq_cli.results.rows import SampleRow

_PAGE = 256
_SCORINGS = """
SELECT scoring.id AS scoring_id, scoring.run_id, scoring.measure, scoring.threshold, scoring.rule, scoring.competitors,
       scoring.alpha, scoring.family_size, scoring.bounds_version, run.sigma, run.configuration
FROM scoring JOIN run ON run.id = scoring.run_id
WHERE run.kind = 'certify' AND run.n >= 999 AND scoring.threshold IS NOT NULL AND {which} ORDER BY scoring.id
"""
_COLUMNS = [field.name for field in fields(SampleRow) if field.init]
_ROWS = """
SELECT {columns}, evidence.counts FROM certified_sample AS sample
JOIN evidence ON evidence.run_id = :run_id AND evidence.input_index = sample.input_index
WHERE sample.scoring_id = :scoring_id AND sample.input_index > :last AND sample.n >= 999 AND ({touched})
ORDER BY sample.input_index LIMIT :page
"""
_ROUND = "({amount} IN (999, 1000) OR sample.n - ({amount}) IN (999, 1000))"
_WRONG = "sample.n - sample.certain_count - sample.uncertain_count"


class Suspect(NamedTuple):
    """A certificate as it is stored, and the counts of its input, compressed."""

    stored: SampleRow
    counts: bytes


def suspicious_scorings(db: Database, run_id: int | None = None) -> list[dict[str, Any]]:
    """Returns the settings of every scoring, of one run or of all, that may have touched certificates."""
    which = "TRUE" if run_id is None else "run.id = :run_id"
    with db.read() as connection:
        rows = connection.execute(text(_SCORINGS.format(which=which)), {} if run_id is None else {"run_id": run_id})
        found = [dict(row) | {"configuration": json.loads(row["configuration"])} for row in rows.mappings()]
    return [one for one in found if "stopping" not in one["configuration"]]


def suspects(db: Database, scoring: dict[str, Any]) -> Iterator[list[Suspect]]:
    """Yields the certificates of a scoring that may be wrong, some at a time in the order of the inputs."""
    statement = text(_ROWS.format(columns=", ".join(f"sample.{name}" for name in _COLUMNS), touched=_touched(scoring)))
    last = -1
    while True:
        values = {"run_id": scoring["run_id"], "scoring_id": scoring["scoring_id"], "last": last, "page": _PAGE}
        with db.read() as connection:
            page = [_suspect(row) for row in connection.execute(statement, values).mappings()]
        if not page:
            return
        yield page
        last = page[-1].stored.input_index


def _touched(scoring: dict[str, Any]) -> str:
    """Returns SQL for whether a bound of the scoring may be on a round count; some of the counts are not stored."""
    amounts = ["sample.certain_count", "sample.certain_count + sample.uncertain_count", "sample.vote_count"]
    # The class with the most votes, where it is not the certified one, and with competitors of their own any other.
    hidden = [f"{_WRONG} >= 999 AND {_WRONG} > sample.certain_count"]
    if scoring["rule"] != "majority" or scoring["competitors"] != "merged":
        amounts.append("sample.uncertain_count")
        hidden += [f"{_WRONG} >= 999", "sample.n - sample.vote_count >= 999"]
    return " OR ".join([*(_ROUND.format(amount=amount) for amount in amounts), *(f"({one})" for one in hidden)])


def _suspect(row: RowMapping) -> Suspect:
    values = {name: row[name] for name in _COLUMNS}
    flags = {name: bool(row[name]) for name in ("standard_decided", "at_ceiling")}
    return Suspect(SampleRow(**(values | flags)), row["counts"])
