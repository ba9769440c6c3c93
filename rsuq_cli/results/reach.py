"""How far the certificates of a scoring reach: the radii that so large a share of its right answers has.

Invariant: a radius is one that an input has, picked by SQL and never interpolated, so "at least half of the right
answers have a radius of at least r" is true as it stands.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import text

from rsuq_cli.results.database import Database

SHARES = (0.9, 0.5, 0.1)
# Of an input that is right and certain, the baseline's class may still be another one, or not be decided.
RADII: Mapping[str, str] = {
    "standard": "CASE WHEN standard_decided AND standard_class = label THEN radius_standard ELSE 0 END",
    "cc": "radius_cc",
    "ncl": "radius_ncl",
}


@dataclass(frozen=True)
class Reach:
    """Over the `right` inputs that are answered rightly and with certainty: for each of `SHARES`, the radius they have.

    Pixel units, by guarantee; no radii where nothing is answered rightly.
    """

    scoring_id: int
    right: int
    radii: Mapping[str, tuple[float, ...]]


def reach(db: Database, scoring_id: int) -> Reach:
    """Returns how far the certificates of a scoring reach among its right answers."""
    with db.read() as connection:
        count = text("SELECT COUNT(*) FROM certified_sample WHERE scoring_id = :scoring_id AND correct")
        right = int(connection.execute(count, {"scoring_id": scoring_id}).scalar_one())
        if not right:
            return Reach(scoring_id, 0, {})
        found = {
            name: tuple(
                float(
                    connection.execute(
                        text(f"""
                            SELECT {radius} AS radius FROM certified_sample
                            WHERE scoring_id = :scoring_id AND correct ORDER BY radius DESC LIMIT 1 OFFSET :above
                        """),
                        {"scoring_id": scoring_id, "above": math.ceil(share * right - 1e-9) - 1},
                    ).scalar_one()
                )
                for share in SHARES
            )
            for name, radius in RADII.items()
        }
    return Reach(scoring_id, right, found)
