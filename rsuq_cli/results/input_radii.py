"""What every input adds to the average radii of a scoring.

Invariant: the terms are those of `certificates.definitions`, as the database computes them, so that the averages of
these columns are the figures that every report shows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from sqlalchemy import text

from rsuq_cli.certificates.definitions import TERMS
from rsuq_cli.results.database import Database

Array = npt.NDArray[np.float64]


class InputRadii(NamedTuple):
    """Radii in pixel units by input `[N]`, 0 where the class is wrong; `input_index` `[N]` ascends."""

    input_index: npt.NDArray[np.int64]
    standard: Array
    cc: Array
    ncl: Array


_COLUMNS = ", ".join(f"{TERMS[f'radii_{name}'].row} AS {name}" for name in ("standard", "cc", "ncl"))


def input_radii(db: Database, scoring_id: int) -> InputRadii:
    """Returns what every input of a scoring adds to its average radii."""
    statement = text(
        f"SELECT input_index, {_COLUMNS} FROM certified_sample WHERE scoring_id = :scoring_id ORDER BY input_index"
    )
    with db.read() as connection:
        rows = connection.execute(statement, {"scoring_id": scoring_id}).all()
    index, *radii = (np.array([row[at] for row in rows], dtype=np.float64) for at in range(4))
    return InputRadii(index.astype(np.int64), *radii)
