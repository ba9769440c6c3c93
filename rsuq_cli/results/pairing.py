"""Two scorings compared on the inputs that both have.

Invariant: sums and counts over the pairs are the database's; only inputs that both scorings certified, with the same
label, are pairs. Differences are second minus first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, text

from rsuq_cli.certificates.definitions import CURVES, TERMS, TITLES
from rsuq_cli.certificates.differences import Difference, difference_of_means, difference_of_shares
from rsuq_cli.errors import BadInput
from rsuq_cli.results.database import Database
from rsuq_cli.results.figures import Figures, selected_figures
from rsuq_cli.results.selection import Selection


@dataclass(frozen=True)
class PairedShare:
    """Certified accuracy of both at a radius (pixel units), their difference, and the inputs where only one holds."""

    radius: float
    first: float
    second: float
    only_first: int
    only_second: int
    difference: Difference


@dataclass(frozen=True)
class PairedGuarantee:
    """One guarantee of two scorings on their common inputs; ACR in pixel units."""

    guarantee: str
    acr_first: float
    acr_second: float
    acr_difference: Difference
    certified: tuple[PairedShare, ...]


@dataclass(frozen=True)
class Paired:
    """Two scorings on the `pairs` inputs that both have; `unpaired` are inputs that only one of them has."""

    first: Figures
    second: Figures
    pairs: int
    unpaired: int
    guarantees: tuple[PairedGuarantee, ...]


def paired(db: Database, first: int, second: int, radii: Sequence[float] = ()) -> Paired:
    """Returns two scorings compared on their common inputs: ACR, and certified accuracy at each radius (pixel units).

    Where one of them never rejects (rule standard), the standard guarantee is all they have in common.

    Raises:
        BadInput: there is no such scoring, it has no certificates, or the two have no input in common.
    """
    if first == second:
        raise BadInput(f"scoring {first} is to be compared with itself", "give two scorings: --paired 1 2")
    one, other = (_figures(db, scoring) for scoring in (first, second))
    if one.dataset != other.dataset or one.split != other.split:
        raise BadInput(
            f"scoring {first} is on {one.dataset} ({one.split}), scoring {second} on {other.dataset} ({other.split}): "
            "they have no input in common",
            "pair scorings of one data set",
        )
    names = ["standard"] if "standard" in (one.rule, other.rule) else list(TITLES)
    with db.read() as connection:
        _check_labels(connection, first, second)
        rows = {name: _sums(connection, first, second, name, radii) for name in names}
    pairs = rows["standard"]["pairs"]
    if not pairs:
        raise BadInput(f"scorings {first} and {second} have no input in common", "pair scorings of the same inputs")
    guarantees = tuple(_guarantee(name, row, radii) for name, row in rows.items())
    return Paired(one, other, pairs, one.inputs + other.inputs - 2 * pairs, guarantees)


def _figures(db: Database, scoring: int) -> Figures:
    found = selected_figures(db, Selection(scorings=[scoring]))
    if not found:
        raise BadInput(
            f"there is no scoring {scoring} with certificates", "`rsuq report` shows them in its first column"
        )
    return found[0]


def _check_labels(connection: Connection, first: int, second: int) -> None:
    statement = text("""
        SELECT a.input_index FROM certified_sample AS a
        JOIN certified_sample AS b ON b.input_index = a.input_index AND b.scoring_id = :second
        WHERE a.scoring_id = :first AND a.label <> b.label ORDER BY a.input_index LIMIT 1
    """)
    odd = connection.execute(statement, {"first": first, "second": second}).scalar()
    if odd is not None:
        raise BadInput(
            f"input {odd} has another label in scoring {first} than in scoring {second}: they are other data",
            "pair scorings of the same inputs",
        )


def _sums(connection: Connection, first: int, second: int, guarantee: str, radii: Sequence[float]) -> RowMapping:
    curve = CURVES[f"certified_{guarantee}"]
    holds = [
        f"CASE WHEN ({curve.where}) AND {curve.column} >= :radius_{i} THEN 1 ELSE 0 END AS holds_{i}"
        for i in range(len(radii))
    ]
    columns = ", ".join(["input_index", f"{TERMS[f'radii_{guarantee}'].row} AS radius", *holds])
    counts = [
        f"SUM(a.holds_{i} * b.holds_{i}) AS both_{i}, SUM(a.holds_{i} * (1 - b.holds_{i})) AS first_{i}, "
        f"SUM((1 - a.holds_{i}) * b.holds_{i}) AS second_{i}"
        for i in range(len(radii))
    ]
    sums = (
        "COUNT(*) AS pairs, SUM(a.radius) AS first, SUM(b.radius) AS second, SUM(b.radius - a.radius) AS difference, "
        "SUM((b.radius - a.radius) * (b.radius - a.radius)) AS squares"
    )
    statement = text(f"""
        SELECT {", ".join([sums, *counts])}
        FROM (SELECT {columns} FROM certified_sample WHERE scoring_id = :first) AS a
        JOIN (SELECT {columns} FROM certified_sample WHERE scoring_id = :second) AS b ON b.input_index = a.input_index
    """)
    values = {"first": first, "second": second} | {f"radius_{i}": radius for i, radius in enumerate(radii)}
    return connection.execute(statement, values).mappings().one()


def _guarantee(name: str, row: RowMapping, radii: Sequence[float]) -> PairedGuarantee:
    pairs = row["pairs"]
    return PairedGuarantee(
        name,
        row["first"] / pairs,
        row["second"] / pairs,
        difference_of_means(pairs, row["difference"], row["squares"]),
        tuple(_share(radius, pairs, *(row[f"{part}_{i}"] for part in ("both", "first", "second")))
              for i, radius in enumerate(radii)),
    )  # fmt: skip


def _share(radius: float, pairs: int, both: int, only_first: int, only_second: int) -> PairedShare:
    neither = pairs - both - only_first - only_second
    return PairedShare(
        float(radius),
        (both + only_first) / pairs,
        (both + only_second) / pairs,
        only_first,
        only_second,
        difference_of_shares(both, only_first, only_second, neither),
    )
