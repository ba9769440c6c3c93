"""Single inputs under chosen scorings: streamed rows, figures by class, and the share at the ceiling.

Invariant: rows come from the database one page at a time, in the order asked for; shares are over all inputs of the
class or scoring they are about.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping, bindparam, text

from rsuq_cli.certificates.definitions import CURVES, TERMS, numbers, shares
from rsuq_cli.certificates.intervals import Share, wilson_interval
from rsuq_cli.certificates.method import Method
from rsuq_cli.errors import BadInput, nearest
from rsuq_cli.results.database import Database
from rsuq_cli.results.figures import SUMS, sums_of
from rsuq_cli.results.filters import Condition, parse_condition
from rsuq_cli.results.selection import Selection, chosen_scorings

PAGE = 2048
SAMPLE_COLUMNS = (
    "input_index", "label", "class_index", "standard_class", "decision", "correct", "is_uncertain", "standard_decided",
    "at_ceiling", "n", "certain_count", "uncertain_count", "vote_count", "radius_standard", "radius_cc", "radius_ncl",
    "radius_uncertain", "radius_explicit", "rule", "competitors", "bounds_version",
)  # fmt: skip
# Columns of the view `certified`, and words for conditions that are often asked for.
INPUT_COLUMNS = {
    name: name
    for name in (*SAMPLE_COLUMNS, "scoring_id", "run_id", "model", "dataset", "split", "sigma", "n0", "measure",
                 "threshold", "alpha")
} | {
    "gap": "(radius_ncl - radius_cc)",
    "wrong_with_confidence": "(decision = 'certain' AND class_index <> label)",
    **{f"counts_{curve.guarantee}": f"({curve.where})" for curve in CURVES.values()},
}  # fmt: skip
_SECONDS = """(SELECT seconds FROM evidence WHERE evidence.run_id = certified.run_id
               AND evidence.input_index = certified.input_index) AS seconds"""
_FLAGS = ("correct", "is_uncertain", "standard_decided", "at_ceiling")
_PHRASE = re.compile(
    r"\b(?P<name>standard|cc|ncl)\s+(?P<verdict>holds|fails)\b(?:\s+at\s+(?P<radius>\d+\.?\d*|\.\d+)(?![\w.]))?",
    re.IGNORECASE,
)


_OF_A_CLASS = ("clean_accuracy", "accuracy", "coverage", "acr_standard", "acr_cc", "acr_ncl")


@dataclass(frozen=True)
class ClassFigures:
    """The figures of one scoring over the inputs of one label; averages over them all, radii in pixel units."""

    run_id: int
    scoring_id: int
    model: str
    measure: str
    threshold: float | None
    rule: str
    label: int
    name: str | None
    inputs: int
    clean_accuracy: Share
    accuracy: Share
    coverage: Share
    wrong_with_confidence: Share
    acr_standard: float
    acr_cc: float
    acr_ncl: float


@dataclass(frozen=True)
class CeilingShare:
    """How many inputs of a scoring have the largest radius that n samples can certify (`ceiling`, pixel units).

    `of_right` is their share among the inputs that smoothing without rejection gets right, `of_acr` the share of
    acr_standard that is theirs; both None where there is nothing to share.
    """

    run_id: int
    scoring_id: int
    model: str
    measure: str
    sigma: float
    n: int
    alpha: float
    ceiling: float
    inputs: int
    at_ceiling: Share
    of_right: float | None
    of_acr: float | None


def where_inputs(written: str) -> Condition:
    """Returns the condition on single inputs that a user wrote, such as `CC fails at 0.25, NCL holds at 0.25`.

    `holds at R` means right and certified at the radius R (0 where none is given), as in the certified curves; the rest
    are conditions on columns (`label = 3 and gap > 0.2`), joined by `and` or commas. Raises BadInput for others.
    """
    return parse_condition(_PHRASE.sub(_translated, written), INPUT_COLUMNS, option="--only")


def _translated(phrase: re.Match[str]) -> str:
    name = phrase["name"].lower()
    holds = f"(counts_{name} and radius_{name} >= {phrase['radius'] or 0})"
    return holds if phrase["verdict"].lower() == "holds" else f"not {holds}"


def stream_inputs(
    db: Database,
    selection: Selection,
    only: Condition | None = None,
    *,
    sort: str | None = None,
    limit: int | None = None,
    timed: bool = False,
) -> Iterator[dict[str, Any]]:
    """Yields one row for each input and scoring, with settings, certificate and class names.

    In the order of scorings and inputs, or of `sort` (a column, descending with a leading "-"). `timed` adds the
    seconds of sampling, None for an imported input.

    Raises:
        BadInput: `sort` is no column.
    """
    order = _order(sort)
    with db.read() as connection:
        chosen = {row["scoring_id"]: row for row in chosen_scorings(connection, selection)}
        names = _class_names(connection, chosen)
        columns = [
            "scoring_id",
            "run_id",
            "model",
            "dataset",
            "sigma",
            "measure",
            "threshold",
            "alpha",
            *SAMPLE_COLUMNS,
        ]
        conditions = ["scoring_id IN :scorings", *([only.sql] if only else [])]
        statement = text(f"""
            SELECT {", ".join([*columns, _SECONDS] if timed else columns)}
            FROM {only.named("certified") if only else "certified"} AS certified
            WHERE {" AND ".join(conditions)} ORDER BY {order} {"" if limit is None else "LIMIT :most"}
        """).bindparams(bindparam("scorings", expanding=True))
        values: dict[str, Any] = {"scorings": list(chosen), "most": limit}
        if limit is None:
            del values["most"]
        rows = connection.execution_options(stream_results=True, max_row_buffer=PAGE).execute(statement, values)
        for row in rows.mappings():
            yield _named(row, names.get(row["run_id"]))


def per_class(db: Database, selection: Selection) -> list[ClassFigures]:
    """Returns the figures of every selected scoring for each label, in the order of scorings and labels."""
    statement = text(f"""
        SELECT label, {SUMS}, {TERMS["answered"].total(among="class_index <> label")} AS wrong
        FROM certified_sample WHERE scoring_id = :scoring_id GROUP BY label ORDER BY label
    """)
    with db.read() as connection:
        chosen = chosen_scorings(connection, selection)
        names = _class_names(connection, {row["scoring_id"]: row for row in chosen})
        return [
            _class_figures(one, row, names.get(one["run_id"]))
            for one in chosen
            for row in connection.execute(statement, {"scoring_id": one["scoring_id"]}).mappings()
        ]


_CONFIGURATIONS = text("SELECT id, configuration FROM run WHERE id IN :runs").bindparams(
    bindparam("runs", expanding=True)
)


def ceiling_shares(db: Database, selection: Selection) -> list[CeilingShare]:
    """Returns for every selected scoring how much of it measures n instead of the model."""
    full = TERMS["reach_ceiling"].where
    statement = text(f"""
        SELECT {SUMS}, {TERMS["standard_correct"].total(among=full)} AS correct_full,
               {TERMS["radii_standard"].total(among=full)} AS radii_full
        FROM certified_sample WHERE scoring_id = :scoring_id
    """)
    with db.read() as connection:
        rows = [
            (one, connection.execute(statement, {"scoring_id": one["scoring_id"]}).mappings().one())
            for one in chosen_scorings(connection, selection)
        ]
        runs = connection.execute(_CONFIGURATIONS, {"runs": list({one["run_id"] for one, _ in rows})})
        configurations = {row.id: json.loads(row.configuration) for row in runs}
    return [_ceiling_share(one, row, configurations[one["run_id"]]) for one, row in rows if row["inputs"]]


def _class_figures(one: RowMapping, row: RowMapping, names: Sequence[str] | None) -> ClassFigures:
    sums = sums_of(row)
    found: dict[str, Any] = numbers(sums) | shares(sums)
    found = {name: found[name] for name in _OF_A_CLASS}
    return ClassFigures(
        **{name: one[name] for name in ("run_id", "scoring_id", "model", "measure", "threshold", "rule")},
        label=row["label"],
        name=_name(names, row["label"]),
        inputs=row["inputs"],
        wrong_with_confidence=_share(row["wrong"], row["inputs"]),
        **found,
    )


def _ceiling_share(one: RowMapping, row: RowMapping, configuration: Mapping[str, Any]) -> CeilingShare:
    method = Method.of_scoring(one["sigma"], dict(one), configuration)
    return CeilingShare(
        **{name: one[name] for name in ("run_id", "scoring_id", "model", "measure", "sigma", "n", "alpha")},
        ceiling=method.ceiling(one["n"]),
        inputs=row["inputs"],
        at_ceiling=shares(sums_of(row))["at_ceiling"],
        of_right=row["correct_full"] / row["standard_correct"] if row["standard_correct"] else None,
        of_acr=row["radii_full"] / row["radii_standard"] if row["radii_standard"] else None,
    )


def _order(sort: str | None) -> str:
    if sort is None:
        return "scoring_id, input_index"
    name = sort.removeprefix("-")
    if name not in INPUT_COLUMNS:
        raise BadInput(f"--sort: inputs have no column {name!r}", nearest(name, INPUT_COLUMNS))
    return f"{INPUT_COLUMNS[name]} {'DESC' if sort.startswith('-') else 'ASC'}, scoring_id, input_index"


def _class_names(connection: Any, chosen: Mapping[int, RowMapping]) -> dict[int, Sequence[str]]:
    statement = text("SELECT id, class_names FROM run WHERE id IN :runs AND class_names IS NOT NULL")
    runs = sorted({row["run_id"] for row in chosen.values()})
    rows = connection.execute(statement.bindparams(bindparam("runs", expanding=True)), {"runs": runs})
    return {row.id: json.loads(row.class_names) for row in rows}


def _named(row: RowMapping, names: Sequence[str] | None) -> dict[str, Any]:
    # SQLite has no booleans of its own: a raw query gives 0 and 1.
    flags = {name: bool(row[name]) for name in _FLAGS}
    return {
        **row, **flags, "label_name": _name(names, row["label"]), "class_name": _name(names, row["class_index"]),
    }  # fmt: skip


def _name(names: Sequence[str] | None, index: int) -> str | None:
    return names[index] if names is not None and 0 <= index < len(names) else None


def _share(count: int, of: int) -> Share:
    low, high = wilson_interval(count, of)
    return Share(count / of, float(low), float(high))
