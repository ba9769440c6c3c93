"""The coverage that a threshold reached on the inputs that were certified, which did not calibrate it.

Invariant: samples of one input are no independent trials, so the error is that of a mean over inputs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from sqlalchemy import select

from rsuq_cli.results.database import Database
from rsuq_cli.results.tables import CertifiedSample, table_of

_SAMPLE = table_of(CertifiedSample)


class Reached(NamedTuple):
    """The share of noise samples that are certain, in [0, 1], its standard error, and of how many inputs it is.

    `error` is None where fewer than two inputs tell nothing of it.
    """

    coverage: float
    error: float | None
    inputs: int


def reached_coverage(db: Database, scoring_id: int) -> Reached | None:
    """Returns the mean over a scoring's inputs of the share of certain samples; None where it has no inputs."""
    wanted = select(_SAMPLE.c.uncertain_count, _SAMPLE.c.n).where(_SAMPLE.c.scoring_id == scoring_id)
    with db.read() as connection:
        rows = [(row.uncertain_count, row.n) for row in connection.execute(wanted)]
    if not rows:
        return None
    uncertain, samples = np.array(rows, dtype=float).T
    certain = 1 - uncertain / samples
    error = float(certain.std(ddof=1) / np.sqrt(len(certain))) if len(certain) > 1 else None
    return Reached(float(certain.mean()), error, len(certain))
