"""Every figure of the reports, computed by SQL over the stored certificates.

Invariant: nothing here writes, and no figure is computed from rows in Python: a figure is a ratio of counts and sums
that the database made over `certified_sample`, all inputs in the denominator, abstentions too. Values enter the SQL as
bound parameters only.

Speed: one sweep over a scoring's rows gives the shares and sums, and one more per curve counts the rows between any two
radii, so the time hardly depends on how many radii are asked for. Scorings are shared out to threads (SQLite computes
outside Python's lock).
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

from sqlalchemy import Connection, RowMapping, text

from rsuq_cli.certificates.definitions import CURVES, TERMS, CertifiedCurve, Measured, numbers, shares
from rsuq_cli.certificates.intervals import Share, wilson_interval
from rsuq_cli.errors import BadInput
from rsuq_cli.results.database import Database
from rsuq_cli.results.labels import tags_by_number
from rsuq_cli.results.selection import KINDS, Selection, chosen_scorings


class CurvePoint(NamedTuple):
    """A share of the inputs that holds at `radius` (pixel units), with its 95 % Wilson interval."""

    radius: float
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Figures(Measured):
    """The figures of one scoring over its inputs, with the settings they depend on. Radii in pixel units.

    `inputs` have a certificate, `planned` were asked for. Every figure of `certificates.definitions` is an attribute,
    and in `values` by its name. Averages are over all inputs, 0 where the class is wrong. `gain` =
    acr_ncl / acr_standard − 1 and `cc_cost` = 1 − acr_cc / acr_standard, None where acr_standard is 0.
    `clean_accuracy` is that of the smoothed classifier without rejection (right, and decided), `accuracy` that of the
    decision with it (right, and certain), `accuracy_answered` None where nothing was answered. `draws_mean` and
    `draws_median` are of the estimation samples of an input, `draws_at_max` is the share that had all n. `intervals`
    has the shares again, by name, with their intervals. `predictor` is as the run recorded it, None for one plain pass,
    and so is `preprocessing`, None where the network takes the data as they are.
    """

    run_id: int
    scoring_id: int
    kind: str
    status: str
    checkpoint_id: int | None
    model: str
    dataset: str
    split: str
    skip: int
    subset_sha256: str
    sigma: float
    n0: int
    n: int
    seed: int
    device: str
    precision: str
    source: str | None
    objective: str | None
    measure: str
    threshold: float | None
    threshold_coverage: float | None
    rule: str
    competitors: str
    alpha: float
    family_size: int
    bounds_version: int
    planned: int
    created_at: str
    warnings: tuple[str, ...]
    name: str | None
    predictor: Mapping[str, Any] | None
    tags: tuple[str, ...]
    inputs: int
    values: Mapping[str, float | None]
    draws_mean: float
    draws_median: float
    draws_at_max: float
    certified_standard: tuple[CurvePoint, ...]
    certified_cc: tuple[CurvePoint, ...]
    certified_ncl: tuple[CurvePoint, ...]
    intervals: Mapping[str, Share]
    preprocessing: Mapping[str, Any] | None = None


# Every term of the figures, over the rows that are selected.
SUMS = ", ".join(f"{term.total()} AS {name}" for name, term in TERMS.items())
_TOTALS = text(f"""
SELECT {SUMS}, AVG(n * 1.0) AS draws, MIN(n) AS fewest, MAX(n) AS most, COUNT(*) FILTER (WHERE n >= :n) AS at_max
FROM certified_sample WHERE scoring_id = :scoring_id
""")

_MEDIAN_DRAWS = text("""
SELECT AVG(n * 1.0) FROM (SELECT n FROM certified_sample WHERE scoring_id = :scoring_id ORDER BY n
                          LIMIT :middle OFFSET :below) AS middle
""")


def figures(
    db: Database,
    *,
    runs: Sequence[int] = (),
    dataset: str | None = None,
    model: str | None = None,
    sigma: float | None = None,
    measure: str | None = None,
    kind: str | Sequence[str] = KINDS,
    radii: Sequence[float] = (),
) -> list[Figures]:
    """Returns the figures of every scoring that matches, in the order of runs and scorings.

    None, or no runs, leaves a condition out. See `selected_figures` for the rest.
    """
    kinds = (kind,) if isinstance(kind, str) else kind
    return selected_figures(db, Selection(runs, (), dataset, model, sigma, measure, kinds), radii)


def selected_figures(db: Database, selection: Selection, radii: Sequence[float] = ()) -> list[Figures]:
    """Returns the figures of every scoring that is selected, in the order of runs and scorings.

    A scoring without a single certificate has no figures. The curves are evaluated at `radii` (pixel units), in the
    order given.

    Raises:
        BadInput: a radius that is negative or not finite.
    """
    if bad := [radius for radius in radii if not (math.isfinite(radius) and radius >= 0)]:
        raise BadInput(f"a radius must be a number from 0 up, not {bad[0]}", "for example --radii 0,0.25,0.5")
    with db.read() as connection:
        labelled = tags_by_number(connection, "run")
        settings = [
            {**_without_configuration(row), "tags": labelled.get(row["run_id"], ())}
            for row in chosen_scorings(connection, selection)
        ]
    workers = max(1, min(os.cpu_count() or 1, 4, len(settings)))
    with ThreadPoolExecutor(workers) as pool:
        shared = pool.map(lambda part: _part(db, part, radii), (settings[i::workers] for i in range(workers)))
        computed = [one for part in shared for one in part]
    return sorted(computed, key=lambda one: (one.run_id, one.scoring_id))


def _without_configuration(row: RowMapping) -> dict[str, Any]:
    """Returns the settings of a scoring, of the configuration the predictor and preprocessing alone."""
    settings = {str(name): value for name, value in row.items()}
    configuration = json.loads(settings.pop("configuration"))
    return settings | {name: configuration.get(name) for name in ("predictor", "preprocessing")}


def _part(db: Database, settings: Sequence[Mapping[str, Any]], radii: Sequence[float]) -> list[Figures]:
    ascending = sorted({float(radius) for radius in radii})
    with db.read() as connection:
        computed = (_figures(connection, row, radii, ascending) for row in settings)
        return [one for one in computed if one is not None]


def _figures(
    connection: Connection, settings: Mapping[str, Any], radii: Sequence[float], ascending: Sequence[float]
) -> Figures | None:
    scoring_id = settings["scoring_id"]
    totals = connection.execute(_TOTALS, {"scoring_id": scoring_id, "n": settings["n"]}).mappings().one()
    inputs = totals["inputs"]
    if not inputs:
        return None
    counts = {name: _curve_counts(connection, scoring_id, curve, ascending) for name, curve in CURVES.items()}
    curves = {name: _points(radii, ascending, counts[name], inputs) for name in CURVES}
    sums = sums_of(totals)
    return Figures(
        **{**settings, **curves, "warnings": tuple(json.loads(settings["warnings"] or "[]"))},
        inputs=inputs,
        values=numbers(sums),
        draws_mean=float(totals["draws"]),
        draws_median=_median_draws(connection, scoring_id, totals),
        draws_at_max=totals["at_max"] / inputs,
        intervals=shares(sums),
    )


def stored_sums(db: Database, scoring_id: int) -> dict[str, float]:
    """Returns the terms over the certificates that a scoring has so far."""
    with db.read() as connection:
        statement = text(f"SELECT {SUMS} FROM certified_sample WHERE scoring_id = :scoring_id")
        return sums_of(connection.execute(statement, {"scoring_id": scoring_id}).mappings().one())


def sums_of(row: RowMapping) -> dict[str, float]:
    """Returns the terms in a row that was selected by `SUMS`."""
    return {name: row[name] for name in TERMS}


def _median_draws(connection: Connection, scoring_id: int, totals: RowMapping) -> float:
    inputs = totals["inputs"]
    if totals["fewest"] == totals["most"]:
        return float(totals["most"])
    values = {"scoring_id": scoring_id, "middle": 2 - inputs % 2, "below": (inputs - 1) // 2}
    return float(connection.execute(_MEDIAN_DRAWS, values).scalar_one())


def _points(
    radii: Sequence[float], ascending: Sequence[float], counts: Sequence[int], inputs: int
) -> tuple[CurvePoint, ...]:
    at = dict(zip(ascending, counts, strict=True))
    successes = [at[float(radius)] for radius in radii]
    low, high = wilson_interval(successes, inputs)
    return tuple(
        CurvePoint(float(radius), count / inputs, float(low[i]), float(high[i]))
        for i, (radius, count) in enumerate(zip(radii, successes, strict=True))
    )


def _curve_counts(
    connection: Connection, scoring_id: int, curve: CertifiedCurve, ascending: Sequence[float]
) -> list[int]:
    """Returns how many of the rows that count reach each radius, from how many lie between any two."""
    statement = text(f"""
        SELECT {_passed(curve.column, 0, len(ascending))} AS passed, COUNT(*) AS inputs
        FROM certified_sample WHERE scoring_id = :scoring_id AND {curve.where} GROUP BY 1
    """)
    values = {"scoring_id": scoring_id} | {f"radius_{i}": radius for i, radius in enumerate(ascending)}
    between: dict[int, int] = {row.passed: row.inputs for row in connection.execute(statement, values)}
    from_the_top = accumulate(between.get(passed, 0) for passed in range(len(ascending), 0, -1))
    return list(from_the_top)[::-1]


def _passed(column: str, first: int, last: int) -> str:
    """Returns SQL for how many of the ascending radii a value reaches: bisection, so few comparisons for any number."""
    if first == last:
        return str(first)
    middle = (first + last) // 2
    above, below = _passed(column, middle + 1, last), _passed(column, first, middle)
    return f"CASE WHEN {column} >= :radius_{middle} THEN {above} ELSE {below} END"
